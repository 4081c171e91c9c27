<#
.SYNOPSIS
Builds pipectl.exe, tests it, and writes it with its checksums and bill of materials to `dist`.

.DESCRIPTION
Needs Windows and Python 3.11 or newer; everything else is installed into `.dev` of the checkout, as requirements.lock
has it, and used again by the next build. The work itself is done by `python scripts/dev.py build`.

.PARAMETER OneFolder
Builds a folder, which starts faster, and its zip, instead of one file.

.PARAMETER CertificateThumbprint
Signs the exe with this certificate of your store. Needs signtool, of the Windows SDK.

.PARAMETER Output
Where the results go, instead of `dist` in the checkout; relative to the current folder.

.PARAMETER Python
The Python to build with. The exe contains this Python.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File scripts\build_exe.ps1

.EXAMPLE
./scripts/build_exe.ps1 -OneFolder -CertificateThumbprint 0123456789ABCDEF0123456789ABCDEF01234567
#>
[CmdletBinding()]
param(
    [switch] $OneFolder,
    [ValidatePattern('^[0-9A-Fa-f]{40}$')]
    [string] $CertificateThumbprint,
    [string] $Output,
    [string] $Python = 'python'
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# Without Python, `python` is a program of Windows that only tells of the Store, and ends with 9009.
$isFound = Get-Command $Python -CommandType Application -ErrorAction SilentlyContinue
if ($isFound) { & $Python -c 'import sys; sys.exit(sys.version_info < (3, 11))' }
if (-not $isFound -or $LASTEXITCODE -ne 0) {
    Write-Host "error: '$Python' is not Python 3.11 or newer: install that, or name it with -Python"
    exit 1
}

$build = @((Join-Path $PSScriptRoot 'dev.py'), 'build')
if ($OneFolder) { $build += '--one-folder' }
if ($CertificateThumbprint) { $build += '--sign', $CertificateThumbprint }
if ($Output) {
    # Relative to where this is called, and not to the checkout, where dev.py works.
    $build += '--output', $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Output)
}

& $Python $build
exit $LASTEXITCODE
