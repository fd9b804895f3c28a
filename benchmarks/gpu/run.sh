#!/bin/sh
# On a machine with a GPU, in the folder that build.sh made; needs a driver with OpenCL, and for comparisons python3 with PyTorch
# (PYTHON names another one):
#
#   run.sh [RESULTS]          default: results beside this file
#   run.sh --only tests|comparison [RESULTS]    one half, with all of the time for itself
#   run.sh --dry [RESULTS]    tries the script itself on any OpenCL device and on PyTorch's CPU, with tiny shapes; measures nothing
#
# Runs the native OpenCL suite, the reference cases, `hpcnet tune` where the tool has it, `hpcnet bench`, and the comparison with
# PyTorch, in under ten minutes: what does not fit into SECONDS_IN_ALL (environment, default 560) is left out and named. Everything
# that was written on the way is in RESULTS; results.json and results.md have the numbers with the date and the machine.
set -u

here=$(cd "$(dirname "$0")" && pwd)
dry= only=
while :; do
    case ${1:-} in
    --dry) dry=--dry ;;
    --only)
        only=${2:-}
        case $only in tests | comparison) ;; *) echo "--only takes tests or comparison" >&2; exit 2 ;; esac
        shift
        ;;
    -*) echo "usage: run.sh [--dry] [--only tests|comparison] [RESULTS]" >&2; exit 2 ;;
    *) break ;;
    esac
    shift
done
results=${1:-$here/results}
mkdir -p "$results" || exit 1
results=$(cd "$results" && pwd)
began=$(date +%s)
budget=${SECONDS_IN_ALL:-560}
left() { echo $((budget - $(date +%s) + began)); }
say() { printf '== %s (%s s left)\n' "$*" "$(left)"; }

# A driver in a container often comes without the registry of OpenCL, and in a folder that the loader does not search.
if ! ldconfig -p 2>/dev/null | grep -q libnvidia-opencl.so.1; then
    for folder in /usr/local/nvidia/lib64 /usr/local/nvidia/lib /usr/lib/x86_64-linux-gnu /usr/lib64; do
        if [ -e "$folder/libnvidia-opencl.so.1" ]; then
            LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
            export LD_LIBRARY_PATH
            break
        fi
    done
fi
# The native tests keep built kernels below this.
export TMPDIR="${TMPDIR:-/tmp}"
export HPCNET_REQUIRE_OPENCL=1 HPCNET_CASES="$here/cases" DOTNET_CLI_TELEMETRY_OPTOUT=1

programs=$(mktemp -d) || exit 1
trap 'rm -rf "$programs"' EXIT
tar -C "$programs" -xzf "$here/programs.tar.gz" || exit 1
host=$programs/host/HpcNet.Gpu
cd "$results" || exit 1

{
    date -u '+%Y-%m-%d %H:%M UTC'
    uname -srm
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit --format=csv 2>/dev/null
} >machine.txt
say "machine"
cat machine.txt
timeout 60 "$host" hpcnet doctor >doctor.txt 2>&1
"$host" hpcnet doctor 2>/dev/null | grep -i opencl | head -5
if [ -z "$dry" ] && ! grep -q '(GPU)' doctor.txt; then
    cat doctor.txt >&2
    echo "no GPU is to be had through OpenCL here: what was looked for is above" >&2
    exit 1
fi

# step NAME SECONDS COMMAND...: its output in NAME.txt, a line with how it ended in steps.txt. A comparison alone keeps what tests left.
[ "$only" = comparison ] || : >steps.txt
touch steps.txt
step() {
    name=$1 limit=$2
    shift 2
    if [ "$(left)" -lt 15 ]; then
        echo "$name left-out 0" >>steps.txt
        say "$name: left out, no time"
        return
    fi
    [ "$limit" -gt "$(left)" ] && limit=$(left)
    say "$name, at most $limit s"
    start=$(date +%s)
    timeout "$limit" "$@" >"$name.txt" 2>&1
    code=$?
    echo "$name $code $(($(date +%s) - start))" >>steps.txt
    echo "   exit code $code after $(($(date +%s) - start)) s: $(grep -v '^ *$' "$name.txt" | tail -1)"
}

# Help of a command that is not there is the tool's own, and no error.
tunes() { "$host" hpcnet --help 2>/dev/null | grep -q '^  tune '; }

# A native suite in as many processes as there are processors: most of its time goes into the driver's compiler, on one of them.
shards=$(nproc 2>/dev/null || echo 2)
[ "$shards" -le 8 ] || shards=8
suite() {
    name=$1 limit=$2 filter=$3
    # shellcheck disable=SC2016
    step "$name" "$limit" sh -c '
        program=$1 filter=$2 shards=$3 folder=$4 code=0 running=
        for i in $(seq 0 $((shards - 1))); do
            GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i "$program" --gtest_brief=1 "--gtest_filter=$filter" >"$folder/$i" 2>&1 &
            running="$running $!"
        done
        for process in $running; do wait "$process" || code=1; done
        cat "$folder"/[0-9]*
        rm -f "$folder"/[0-9]*
        exit $code' sh "$programs/native/$name" "$filter" "$shards" "$programs"
}

if [ "$only" = comparison ]; then
    if tunes; then step tune 60 "$host" hpcnet tune --device opencl --seconds 45; fi
elif [ -n "$dry" ]; then
    suite opencl_test 120 'OpenClRun*:OpenClMemory*'
    step cases 200 "$host" cases opencl
    if tunes; then step tune-help 20 "$host" hpcnet tune --help; fi
    step bench 60 "$host" hpcnet bench --device opencl --workload gemm-64x64x64-nn tabular --milliseconds 50 --json bench.json
else
    suite opencl_test 60 '*'
    suite opencl_kernels_test 100 '*'
    suite program_test 60 '*opencl*'
    suite recurrent_test 40 '*opencl*'
    # Tensor cores where the card has them, bit by bit, and the networks that are one launch.
    suite mma_test 60 '*'
    suite small_network_test 100 '*'
    step cases 70 "$host" cases opencl
    # The shapes below are slow to tune one by one: what is not done in this time keeps its defaults.
    if tunes; then step tune 60 "$host" hpcnet tune --device opencl --seconds 45; fi
    step bench 40 "$host" hpcnet bench --device opencl --milliseconds 200 --json bench.json --workload \
        gemm-4096x4096x4096-nn gemm-1024x1024x1024-nn gemm-128x512x784-nn tabular mnist wide1024 adam-39845888 \
        activation-tanh-16777216
fi

python=${PYTHON:-python3}
code=0
if [ "$only" = tests ]; then
    :
elif command -v "$python" >/dev/null 2>&1; then
    say "comparison"
    # shellcheck disable=SC2086
    timeout "$(($(left) > 30 ? $(left) : 30))" "$python" "$here/gpu.py" $dry --host "$host" --results "$results" --seconds "$(($(left) - 10))"
    code=$?
else
    echo "python3 is not here: no comparison, no results.json" >&2
    code=1
fi
say "done; everything is in $results"
failed=$(awk '$2 != 0 && $2 != "left-out" { print $1 }' steps.txt)
[ -z "$failed" ] || { echo "failed: $failed" >&2; code=1; }
exit "$code"
