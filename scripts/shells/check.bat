@echo off
rem Check pipectl in cmd: the ways to quote of docs/quoting.md, bytes through files and redirections, and exit codes.
rem
rem   scripts\shells\check.bat dist\pipectl.exe
rem
rem Prints a line for each check, "ok" or "not ok". The exit code is 1 if a check is not ok.
setlocal DisableDelayedExpansion
if "%~1" == "" (
    echo usage: %~nx0 PIPECTL.EXE 1>&2
    exit /b 2
)
set "EXE=%~f1"
set "NAME=pipectl-check-%RANDOM%%RANDOM%"
set "FOLDER=%TEMP%\%NAME%"
set FAILED=0
mkdir "%FOLDER%"

rem A server ends on its own: cmd has nothing that ends a program of which it does not know the number.
start "" /b "%EXE%" serve %NAME% --idle-timeout 30 --log none --quiet < nul > nul 2> nul
"%EXE%" wait %NAME% --for exists --timeout 60 > nul 2> nul
call :same "serve a plain name" 0 %ERRORLEVEL%
start "" /b "%EXE%" serve "%NAME%$x\below" --idle-timeout 30 --log none --quiet < nul > nul 2> nul
"%EXE%" wait "%NAME%$x\below" --for exists --timeout 60 > nul 2> nul
call :same "serve a name with a dollar sign" 0 %ERRORLEVEL%
"%EXE%" call %NAME%$x\below ping > "%FOLDER%\out"
call :reads "a name with a dollar sign" ping

"%EXE%" --version > "%FOLDER%\out"
call :same "--version" 0 %ERRORLEVEL%
"%EXE%" call %NAME% ping > "%FOLDER%\out"
call :reads "text" ping
"%EXE%" call %NAME% "{\"cmd\":\"ping\"}" > "%FOLDER%\out"
call :reads "JSON in double quotes, with backslashes" {"cmd":"ping"}
echo {"cmd":"ping"}| "%EXE%" call %NAME% - --chomp > "%FOLDER%\out"
call :reads "JSON on stdin" {"cmd":"ping"}
"%EXE%" call %NAME% "" > nul 2> nul
call :same "an empty argument" 0 %ERRORLEVEL%

"%EXE%" call //./pipe/%NAME% ping > "%FOLDER%\out"
call :reads "a name with slashes" ping
"%EXE%" call \\.\pipe\%NAME% ping > "%FOLDER%\out"
call :reads "a name with backslashes" ping

rem The exe itself is the payload: a few megabytes that have every byte.
"%EXE%" call %NAME% --data-file "%EXE%" -o "%FOLDER%\bytes.bin"
rem fc compares byte by byte where a file ends in .exe or .bin; Wine has no `fc /b`.
fc "%EXE%" "%FOLDER%\bytes.bin" > nul
call :same "bytes from a file to a file" 0 %ERRORLEVEL%
"%EXE%" call %NAME% - < "%EXE%" > "%FOLDER%\redirected.bin"
fc "%EXE%" "%FOLDER%\redirected.bin" > nul
call :same "bytes through redirections" 0 %ERRORLEVEL%

"%EXE%" call %NAME%-absent ping > nul 2> nul
call :same "exit code of a pipe that is not found" 3 %ERRORLEVEL%
"%EXE%" wait %NAME% --for gone --timeout 0.2 > nul 2> nul
call :same "exit code of a wait that times out" 6 %ERRORLEVEL%
"%EXE%" call > nul 2> nul
call :same "exit code of a wrong command line" 2 %ERRORLEVEL%

rmdir /s /q "%FOLDER%"
exit /b %FAILED%

:same
if "%~2" == "%~3" (
    echo ok - %~1
) else (
    echo not ok - %~1: expected %~2, got %~3
    set FAILED=1
)
exit /b 0

rem :reads WHAT TEXT compares the first line of the output with a text, which has no space.
:reads
set "ACTUAL="
rem Without a line ending, not every cmd reads the last character.
echo.>> "%FOLDER%\out"
set /p "ACTUAL=" < "%FOLDER%\out"
if [%ACTUAL%] == [%2] (
    echo ok - %~1
) else (
    echo not ok - %~1: expected %2, got %ACTUAL%
    set FAILED=1
)
exit /b 0
