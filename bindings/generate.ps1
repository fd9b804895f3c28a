# generate.sh for PowerShell: regenerates bindings/Generated from native/include/hpcnet.h. What the generator is and where
# it comes from is said there.
#
# Usage: generate.ps1            uses ClangSharpPInvokeGenerator from PATH
#        $env:CLANGSHARP = '<path of the generator>'; generate.ps1
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

$generator = if ($env:CLANGSHARP) { $env:CLANGSHARP } else { 'ClangSharpPInvokeGenerator' }
if (-not (Get-Command $generator -ErrorAction SilentlyContinue)) {
    Write-Error "generate.ps1: '$generator' was not found. Install it (dotnet tool install --global ClangSharpPInvokeGenerator) or set CLANGSHARP to its path."
}

New-Item -ItemType Directory -Force Generated | Out-Null
# Before the generator reads it: a header edited meanwhile then fails the test instead of passing it.
$hash = (Get-FileHash -Algorithm SHA256 ../native/include/hpcnet.h).Hash.ToLowerInvariant()
& $generator '@hpcnet.rsp'
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }

$text = (Get-Content -Raw generated-header.txt) + @"

namespace HpcNet.Interop;

/// <summary>Which header the bindings were generated from.</summary>
internal static class HeaderHash
{
    /// <summary>SHA-256 of native/include/hpcnet.h at generation, lower-case hexadecimal.</summary>
    public const string Sha256 = "$hash";
}

"@
# LF, UTF-8 without a mark: the same bytes as generate.sh writes.
[IO.File]::WriteAllText("$PSScriptRoot/Generated/HeaderHash.g.cs", $text.Replace("`r`n", "`n"))
