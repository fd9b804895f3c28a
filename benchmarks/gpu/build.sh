#!/bin/sh
# Makes one folder with everything that run.sh needs on a machine without network, .NET SDK, CMake and compiler:
#
#   build.sh [FOLDER]      default: build/gpu/bundle
#
# HPCNET_CASES=folder takes the cases from there instead of tests/cases, HPCNET_NATIVE_BUILD=folder uses that CMake build of the native tests.
# Needs what a build of HpcNet needs, and GoogleTest. The folder stays below 60 MB.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/build/gpu/bundle}
cases=${HPCNET_CASES:-$root/tests/cases}
native=${HPCNET_NATIVE_BUILD:-$root/build/gpu/native}
programs=$root/build/gpu/programs
most=60000000
suites="opencl_test opencl_kernels_test program_test recurrent_test mma_test small_network_test"

# Only a folder that this script made is emptied.
if [ -e "$out" ] && [ ! -f "$out/.bundle" ] && [ -n "$(ls -A "$out")" ]; then
    echo "$out is not empty and was not made by this script" >&2
    exit 1
fi
rm -rf "$out" "$programs"
mkdir -p "$out/cases" "$out/peers" "$programs/native" "$programs/host"
touch "$out/.bundle"

cmake -S "$root" -B "$native" -DCMAKE_BUILD_TYPE=Release -DHPC_BUILD_TESTS=ON >/dev/null
cmake --build "$native" --parallel --target $suites
for suite in $suites; do
    cp "$native/native/tests/$suite" "$programs/native/"
    strip "$programs/native/$suite"
done

dotnet publish "$here" -c Release -r linux-x64 --self-contained -o "$programs/host" -v quiet -nologo -nodeReuse:false -p:UseSharedCompilation=false
# As one file they are less than half the size; run.sh unpacks it.
tar -C "$programs" --exclude='*.pdb' --exclude='*.xml' -czf "$out/programs.tar.gz" .

cp -R "$cases/reference" "$out/cases/"
cp "$here/run.sh" "$here/gpu.py" "$here/pytorch_gpu.py" "$out/"
cp "$root/benchmarks/peers/compare.py" "$root/benchmarks/peers/peer.py" "$out/peers/"
git -C "$root" rev-parse HEAD >"$out/commit" 2>/dev/null || echo unknown >"$out/commit"

size=$(du -sb "$out" | cut -f1)
echo "$out: $((size / 1000000)) MB; run it there with: sh run.sh"
if [ "$size" -ge "$most" ]; then
    echo "that is more than $((most / 1000000)) MB" >&2
    exit 1
fi
