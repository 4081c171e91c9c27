<#
.SYNOPSIS
Checks pipectl in PowerShell: the ways to quote of docs/quoting.md, bytes through files and pipes, and exit codes.

.DESCRIPTION
Runs in Windows PowerShell 5.1 and in PowerShell 7. Prints a line for each check, `ok`, `not ok` or `skipped`. The exit
code is 1 if a check is not ok.

.PARAMETER Exe
The pipectl.exe to check.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File scripts\shells\check.ps1 dist\pipectl.exe

.EXAMPLE
pwsh -File scripts/shells/check.ps1 dist/pipectl.exe
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)]
    [string] $Exe
)

Set-StrictMode -Version Latest
# Windows PowerShell makes an error record of each line that a program writes to a redirected stderr.
$ErrorActionPreference = 'Continue'
$OutputEncoding = [Text.UTF8Encoding]::new()

$Exe = (Resolve-Path -LiteralPath $Exe).ProviderPath
$version = $PSVersionTable.PSVersion
$quotesArguments = $version -ge [version] '7.3'
$keepsBytes = $version -ge [version] '7.4'
$name = "pipectl-check-$PID"
$folder = Join-Path ([IO.Path]::GetTempPath()) $name
$script:failed = 0
$servers = @()

function Test-Same([string] $What, [string] $Expected, [string] $Actual) {
    if ($Expected -ceq $Actual) {
        Write-Output "ok - $What"
    } else {
        Write-Output "not ok - ${What}: expected '$Expected', got '$Actual'"
        $script:failed = 1
    }
}

function Get-ExitCode([string[]] $Arguments) {
    & $Exe $Arguments *> $null
    $LASTEXITCODE
}

function Get-FileText([string] $Path) {
    if (Test-Path -LiteralPath $Path) { [IO.File]::ReadAllText($Path) } else { 'no file' }
}

function Get-FileHex([string] $Path) {
    if (Test-Path -LiteralPath $Path) { [BitConverter]::ToString([IO.File]::ReadAllBytes($Path)) } else { 'no file' }
}

function Start-Server([string] $Pipe) {
    # It also ends on its own: to stop a one-file exe ends the first of its two processes, which the second notices.
    $words = 'serve', $Pipe, '--idle-timeout', '60', '--log', 'none', '--quiet'
    Start-Process -FilePath $Exe -ArgumentList $words -WindowStyle Hidden -PassThru
    & $Exe wait $Pipe --for exists --timeout 60 *> $null
}

Write-Output "PowerShell $version"
$null = New-Item -ItemType Directory -Path $folder
try {
    Test-Same '--version' 'True' ((& $Exe --version) -match '^pipectl \d')

    $servers += Start-Server $name
    $servers += Start-Server ($name + '$x/below')
    Test-Same 'text' 'ping' (& $Exe call $name ping)
    if ($quotesArguments) {
        Test-Same 'JSON in single quotes' '{"cmd":"ping"}' (& $Exe call $name '{"cmd":"ping"}')
        Test-Same 'an empty argument arrives' 0 (Get-ExitCode 'call', $name, '')
    } else {
        Test-Same 'JSON in single quotes, with backslashes' '{"cmd":"ping"}' (& $Exe call $name '{\"cmd\":\"ping\"}')
        Test-Same 'JSON in single quotes loses its own' '{cmd:ping}' (& $Exe call $name '{"cmd":"ping"}')
        Test-Same 'an empty argument is dropped' 2 (Get-ExitCode 'call', $name, '')
    }
    Test-Same '--empty' 0 (Get-ExitCode 'call', $name, '--empty')
    Test-Same 'JSON on stdin' '{"cmd":"ping"}' ('{"cmd":"ping"}' | & $Exe call $name '-' --chomp)

    # Made of numbers: Windows PowerShell reads a script without a byte order mark in the code page of the system.
    $text = [string] [char] 0x17E + [char] 0x6F22
    & $Exe call $name $text -o "$folder\argument"
    Test-Same 'text beyond ASCII in an argument' $text (Get-FileText "$folder\argument")
    $text | & $Exe call $name '-' --chomp -o "$folder\stdin"
    Test-Same 'text beyond ASCII on stdin' $text (Get-FileText "$folder\stdin")

    Test-Same 'a name with slashes' 'ping' (& $Exe call //./pipe/$name ping)
    Test-Same 'a name with backslashes' 'ping' (& $Exe call \\.\pipe\$name ping)
    Test-Same 'a name with a dollar sign, in single quotes' 'ping' (& $Exe call ($name + '$x\below') ping)

    $bytes = New-Object byte[] 100000
    (New-Object Random).NextBytes($bytes)
    [IO.File]::WriteAllBytes("$folder\in", $bytes)
    $sent = Get-FileHex "$folder\in"
    & $Exe call $name --data-file "$folder\in" -o "$folder\out"
    Test-Same 'bytes from a file to a file' 'True' ($sent -ceq (Get-FileHex "$folder\out"))
    if ($keepsBytes) {
        & $Exe call $name --data-file "$folder\in" > "$folder\redirected"
        Test-Same 'bytes through a redirection' 'True' ($sent -ceq (Get-FileHex "$folder\redirected"))
        & $Exe call $name --data-file "$folder\in" | & $Exe call $name '-' -o "$folder\piped"
        Test-Same 'bytes through a pipe of the shell' 'True' ($sent -ceq (Get-FileHex "$folder\piped"))
    } else {
        Write-Output 'skipped - bytes through redirections and pipes, which PowerShell keeps from 7.4 on'
    }

    Test-Same 'exit code of a pipe that is not found' 3 (Get-ExitCode 'call', "$name-absent", 'ping')
    Test-Same 'exit code of a wait that times out' 6 (Get-ExitCode 'wait', $name, '--for', 'gone', '--timeout', '0.2')
    Test-Same 'exit code of a wrong command line' 2 (Get-ExitCode 'call')
} finally {
    $servers | Stop-Process -Force -ErrorAction SilentlyContinue
    Remove-Item -LiteralPath $folder -Recurse -Force -ErrorAction SilentlyContinue
}
exit $script:failed
