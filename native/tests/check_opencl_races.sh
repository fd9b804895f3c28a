#!/bin/sh
# Runs the OpenCL kernels on tiny shapes under oclgrind, which looks for races, wrong addresses, barriers that not all
# work-items reach and wrong calls: check_opencl_races.sh <opencl_kernels_test>
#
# oclgrind reports into its log and not by its exit code: the log must stay empty. Exit code 77 where oclgrind is not
# installed (a skip for CTest), unless HPCNET_REQUIRE_OPENCL is 1.
set -eu

program=$1
seconds=300

library=
for candidate in "${OCLGRIND_ICD:-}" /usr/lib/oclgrind/liboclgrind-rt-icd.so /usr/lib/*/oclgrind/liboclgrind-rt-icd.so \
    /usr/local/lib/oclgrind/liboclgrind-rt-icd.so; do
    if [ -n "$candidate" ] && [ -f "$candidate" ]; then
        library=$candidate
        break
    fi
done
if [ -z "$library" ]; then
    echo "oclgrind is not installed"
    if [ "${HPCNET_REQUIRE_OPENCL:-}" = 1 ]; then exit 1; fi
    exit 77
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
log=$folder/log
: >"$log"

status=0
OCL_ICD_VENDORS=$library HPCNET_REQUIRE_OPENCL=1 OCLGRIND_DATA_RACES=1 OCLGRIND_CHECK_API=1 OCLGRIND_LOG=$log \
    timeout "$seconds" "$program" --gtest_brief=1 || status=$?

if [ -s "$log" ]; then
    echo "oclgrind found:"
    head -c 20000 "$log"
    exit 1
fi
if [ "$status" -eq 124 ]; then echo "not done after $seconds seconds"; fi
exit "$status"
