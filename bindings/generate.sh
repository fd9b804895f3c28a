#!/usr/bin/env bash
# Regenerates bindings/Generated from native/include/hpcnet.h: the bindings themselves (Native.g.cs) and the header's
# SHA-256 (HeaderHash.g.cs), which a test holds against the header so that the two cannot drift apart.
#
# The generator is ClangSharpPInvokeGenerator 22.1 (https://github.com/dotnet/ClangSharp, MIT). It is published as a .NET
# tool of that name; it loads two native libraries, libclang and libClangSharp, of the same version (packages libClang and
# libClangSharp), which have to lie beside it or on the loader's path. It is needed only here: the output is checked in and
# the build does not run it.
#
# Usage: generate.sh            uses ClangSharpPInvokeGenerator from PATH
#        CLANGSHARP=<path of the generator> generate.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

generator=${CLANGSHARP:-ClangSharpPInvokeGenerator}
if ! command -v "$generator" > /dev/null; then
    echo "generate.sh: '$generator' was not found. Install it (dotnet tool install --global ClangSharpPInvokeGenerator)" \
        "or set CLANGSHARP to its path." >&2
    exit 1
fi

mkdir -p Generated
# Before the generator reads it: a header edited meanwhile then fails the test instead of passing it.
hash=$(sha256sum ../native/include/hpcnet.h | cut -d ' ' -f 1)
"$generator" @hpcnet.rsp

{
    cat generated-header.txt
    cat << END

namespace HpcNet.Interop;

/// <summary>Which header the bindings were generated from.</summary>
internal static class HeaderHash
{
    /// <summary>SHA-256 of native/include/hpcnet.h at generation, lower-case hexadecimal.</summary>
    public const string Sha256 = "$hash";
}
END
} > Generated/HeaderHash.g.cs
