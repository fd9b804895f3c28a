#!/bin/sh
# Fails if the built native core needs more of a machine than it promises, or shows more of itself than its ABI:
#   - no C++ or OpenMP run-time library among what it needs,
#   - no GLIBC symbol version above 2.35,
#   - no exported symbol that does not begin with hpc_, and at least one that does.
#
#   check_prerequisites.sh path/to/libhpcnet.so
set -eu
export LC_ALL=C

if [ $# -ne 1 ] || [ ! -r "$1" ]; then
    echo "usage: $0 path/to/libhpcnet.so (readable)" >&2
    exit 2
fi
library=$1
highest=2.35
failed=0

# Into variables first: a reader that fails in the middle of a pipe would look like a library without any faults.
dynamic=$(readelf --wide --dynamic "$library")
versions=$(readelf --wide --version-info "$library")
symbols=$(readelf --wide --dyn-syms "$library")

needed=$(printf '%s\n' "$dynamic" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
for name in $needed; do
    case $name in
        libstdc++.* | libc++.* | libc++abi.* | libgcc_s.* | libgomp.* | libomp.* | libiomp5.* | libatomic.* | libquadmath.*)
            echo "$library needs $name" >&2
            failed=1
            ;;
    esac
done

# Only what is asked of others counts: the section of version needs, not that of definitions.
asked=$(printf '%s\n' "$versions" | sed -n 's/.*Name: \(GLIBC_[0-9][0-9.]*\).*/\1/p' | sort -u)
if [ -z "$asked" ]; then
    echo "$library asks for no GLIBC version at all: is it a shared library for Linux?" >&2
    failed=1
fi
for version in $asked; do
    number=${version#GLIBC_}
    last=$(printf '%s\n%s\n' "$number" "$highest" | sort -V | tail -n 1)
    if [ "$last" != "$highest" ]; then
        users=$(printf '%s\n' "$symbols" | sed -n "s/.* \([^ ]*\)@$version\( .*\)\{0,1\}\$/\1/p" | tr '\n' ' ')
        echo "$library asks for $version (above $highest): $users" >&2
        failed=1
    fi
done

# Defined (section index not UND), with the version suffix cut off.
exported=$(printf '%s\n' "$symbols" | awk '$1 ~ /^[0-9]+:$/ && $7 != "UND" && $8 != "" { sub(/@.*/, "", $8); print $8 }')
own=0
foreign=0
for name in $exported; do
    case $name in
        hpc_*) own=$((own + 1)) ;;
        *)
            foreign=$((foreign + 1))
            [ "$foreign" -gt 10 ] || echo "$library exports $name" >&2
            failed=1
            ;;
    esac
done
[ "$foreign" -le 10 ] || echo "$library exports $((foreign - 10)) more symbols that do not begin with hpc_" >&2
if [ "$own" -eq 0 ]; then
    echo "$library exports nothing that begins with hpc_" >&2
    failed=1
fi

[ "$failed" -eq 0 ] || exit 1
newest=$(printf '%s\n' $asked | sed 's/GLIBC_//' | sort -V | tail -n 1)
echo "$library: $own functions exported, highest GLIBC version $newest, needs $(printf '%s ' $needed)"
