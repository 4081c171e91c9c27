<#
.SYNOPSIS
Builds pipectl.exe, tests it, and writes it with its checksums and bill of materials to `dist`.

.DESCRIPTION
Needs Windows and Python 3.11 or newer; everything else is installed into `.dev` of the checkout, as requirements.lock
has it, and used again by the next build. The work itself is done by `python scripts/dev.py build`.

.PARAMETER OneFolder
Builds a folder, which starts quicker, and its zip, instead of one file.

.PARAMETER CertificateThumbprint
Signs the exe with this certificate of your store. Needs signtool, of the Windows SDK.

.PARAMETER Output
Where the results go, instead of `dist`.

.PARAMETER Python
The Python to build with. The exe contains this Python.

.EXAMPLE
./scripts/build_exe.ps1

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

if (-not (Get-Command $Python -CommandType Application -ErrorAction SilentlyContinue)) {
    Write-Host "error: '$Python' is not found: install Python 3.11 or newer, or name it with -Python"
    exit 1
}

$build = @((Join-Path $PSScriptRoot 'dev.py'), 'build')
if ($OneFolder) { $build += '--one-folder' }
if ($CertificateThumbprint) { $build += '--sign', $CertificateThumbprint }
if ($Output) { $build += '--output', $Output }

& $Python $build
exit $LASTEXITCODE
