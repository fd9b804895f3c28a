#!/bin/sh
# Counts the instructions of steady steps (counted_steps.cpp) with valgrind's callgrind and compares them with the kept numbers in
# instruction_counts.txt: a guard against getting slower that no neighbour on the machine can disturb.
#
#   check_instructions.sh path/to/counted_steps COMPILER           compares (in CTest: Instructions)
#   check_instructions.sh path/to/counted_steps COMPILER --keep    writes the numbers of this compiler down
#
# One thread, AVX2: valgrind has no AVX-512, and shows every program the same processor, so that the numbers depend on the compiler
# and hardly on the machine. More than 3 % above the kept number fails. So does more than 3 % below: a number that is too high is
# slack for the next change to get slower in, and a step that does much less may be doing less than it should. Where the change
# is meant, --keep is the answer.
#
# Exit code 77 (a skip for CTest) where valgrind or numbers of this compiler are missing, unless HPCNET_REQUIRE_VALGRIND is 1.
set -eu
export LC_ALL=C

if [ $# -lt 2 ] || [ ! -x "$1" ] || { [ $# -gt 2 ] && [ "$3" != --keep ]; }; then
    echo "usage: $0 path/to/counted_steps COMPILER [--keep]" >&2
    exit 2
fi
program=$1
compiler=$2
keeps=${3:-}
file=$(dirname "$0")/instruction_counts.txt
slack=3

missing() {
    echo "$1"
    if [ "${HPCNET_REQUIRE_VALGRIND:-}" = 1 ] || [ -n "$keeps" ]; then exit 1; fi
    exit 77
}
command -v valgrind >/dev/null || missing "valgrind is not installed"
if [ -z "$keeps" ] && ! grep -q "^$compiler " "$file"; then
    missing "no kept numbers of $compiler in $file; the target keep_instruction_counts writes them"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Reads "workload steps", writes "workload instructions-per-step".
count() {
    while read -r workload steps; do
        HPCNET_ISA=avx2 valgrind --quiet --tool=callgrind --callgrind-out-file="$folder/profile" --toggle-collect='counted_steps*' \
            "$program" "$workload" >"$folder/log" 2>&1 </dev/null || { echo "$workload did not run:" >&2; cat "$folder/log" >&2; return 1; }
        total=$(sed -n 's/^totals: //p' "$folder/profile")
        [ "${total:-0}" -ge "$steps" ] || { echo "$workload: callgrind counted nothing in counted_steps" >&2; return 1; }
        echo "$workload $((total / steps))"
    done
}
"$program" >"$folder/workloads"
count <"$folder/workloads" >"$folder/counts" || exit 1

if [ -n "$keeps" ]; then
    { grep -v "^$compiler " "$file" || true; } >"$folder/file"
    while read -r workload count; do printf '%-10s %-12s %12s\n' "$compiler" "$workload" "$count"; done <"$folder/counts" >>"$folder/file"
    cp "$folder/file" "$file"
    cat "$folder/counts"
    exit 0
fi

# Every workload has its number, and every number its workload.
awk -v compiler="$compiler" -v slack="$slack" '
    FNR == NR { if ($1 == compiler) kept[$2] = $3; next }
    !($1 in kept) { printf "%-12s has no kept number\n", $1; bad = 1; next }
    {
        change = 100 * ($2 - kept[$1]) / kept[$1]
        word = change > slack ? "MORE" : change < -slack ? "LESS" : "good"
        if (word != "good") bad = 1
        printf "%-12s %12d instructions a step, kept %12d: %+6.2f %%  %s\n", $1, $2, kept[$1], change, word
        delete kept[$1]
    }
    END {
        for (workload in kept) { printf "%-12s is kept and was not counted\n", workload; bad = 1 }
        if (bad) print "more than " slack " % off; if that is meant: cmake --build BUILD_FOLDER --target keep_instruction_counts"
        exit bad
    }' "$file" "$folder/counts"
