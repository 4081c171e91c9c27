"""`pipectl help quoting`. Written by scripts/gen_docs.py: change docs/quoting.md instead."""

TEXT = r"""QUOTING, STDIN AND SHELLS

How to pass requests and pipe names through PowerShell, cmd, Git Bash and WSL
unchanged. Some forms never need quotes: a short name (`svc`), a file
(`--data-file request.json`), and stdin (`-`).

JSON on the command line

A Windows program receives a single command line and splits it by the rules of
the C runtime
(https://learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments).
A double quote in an argument must be written as `\"` there. PowerShell 7.3 and
newer add that backslash; PowerShell up to 7.2 does not (about_Parsing
(https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_parsing)).

PowerShell 7.3 and newer
    write: `'{"cmd":"ping"}'`
    pipectl gets: `{"cmd":"ping"}`
Windows PowerShell 5.1, PowerShell 7.0 to 7.2
    write: `'{\"cmd\":\"ping\"}'`
    pipectl gets: `{"cmd":"ping"}`
the same, without backslashes
    write: `'{"cmd":"ping"}'`
    pipectl gets: `{cmd:ping}`
cmd
    write: `"{\"cmd\":\"ping\"}"`
    pipectl gets: `{"cmd":"ping"}`
Git Bash, WSL
    write: `'{"cmd":"ping"}'`
    pipectl gets: `{"cmd":"ping"}`

- To see what arrives, serve an echo: `pipectl serve test` in one window,
  `pipectl call test ...` in another.
- PowerShell up to 7.2 drops an empty argument `""`. Use `--empty`.
- PowerShell up to 7.2 puts quotes around an argument with a space, and a
  backslash at its end then escapes the closing quote: `'C:\my dir\'` swallows
  the next argument. Omit the last backslash, or double it.
- cmd expands `%NAME%` even in quotes, and interprets `&`, `|`, `<` and `>`
  after an odd number of quotes, even if these have a backslash. Put such a
  request into a file.
- PowerShell and bash expand `$` in double quotes. Use single quotes:
  `'MSSQL$SQLEXPRESS/sql/query'`.

The same request from a file or through stdin works in every version:

    pipectl call svc --data-file request.json
    '{"cmd":"ping"}' | pipectl call svc - --chomp

The name of a pipe

`svc`
    in PowerShell, cmd: `svc`
    in Git Bash, WSL: `svc`
`//./pipe/svc`
    in PowerShell, cmd: `//./pipe/svc`
    in Git Bash, WSL: `//./pipe/svc`
`\\.\pipe\svc`
    in PowerShell, cmd: `\\.\pipe\svc`
    in Git Bash, WSL: `\.pipesvc`, which is refused
`"\\.\pipe\svc"`
    in PowerShell, cmd: `\\.\pipe\svc`
    in Git Bash, WSL: `\.\pipe\svc`, which is understood
`'\\.\pipe\svc'`
    in PowerShell, cmd: `\\.\pipe\svc`; in cmd with the quotes
    in Git Bash, WSL: `\\.\pipe\svc`

Slashes can replace the backslashes in a name: `MSSQL$SQLEXPRESS/sql/query`.

Text on stdin

PowerShell, `'ping' | pipectl call svc -`
    what pipectl gets: `ping` and a line ending (CR LF): remove it with
      `--chomp`
Windows PowerShell 5.1, non-ASCII text
    what pipectl gets: `?`, because `$OutputEncoding` is ASCII. Set it first:
      `$OutputEncoding = [Text.UTF8Encoding]::new()`
PowerShell 7, non-ASCII text
    what pipectl gets: UTF-8
PowerShell before 7.4, `Get-Content -Raw file | ...`
    what pipectl gets: text that was decoded and encoded again: use
      `--data-file file` for binary data
PowerShell 7.4 and newer, `program | pipectl ...`
    what pipectl gets: the bytes of the program
cmd and bash, `... < file`
    what pipectl gets: the bytes of the file; PowerShell has no `<`

See about_Preference_Variables
(https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_preference_variables)
for `$OutputEncoding`, and what is new in PowerShell 7.4
(https://learn.microsoft.com/powershell/scripting/whats-new/what-s-new-in-powershell-74)
for bytes.

Data from stdin and files is sent unchanged, with three exceptions: a byte
order mark at the beginning is removed, and UTF-16 text with one is converted
to UTF-8; `--encoding` and `--escapes` read the data as UTF-8 text; `--hex` and
`--base64` decode it. `transact` sends the lines of stdin without their line
endings.

Replies have the same problem on their way back: `>` in Windows PowerShell 5.1
decodes them and writes UTF-16. `-o FILE` writes the exact bytes in every
shell.

Git Bash converts arguments that begin with a slash

MSYS2 converts them to Windows paths
(https://www.msys2.org/docs/filesystem-paths/) before any program sees them:

you write                           pipectl gets
`pipectl call svc /status`          `C:/Program Files/Git/status`
`pipectl popen -- ipconfig /all`    `C:/Program Files/Git/all`
`pipectl serve svc --exec sort /r`  `R:/`

Double the slash (`//all`), or turn the conversion off:
`MSYS2_ARG_CONV_EXCL='*' pipectl ...`. If pipectl detects such an argument in
an MSYS2 shell, it prints a note on stderr.

WSL

You can start `pipectl.exe` from WSL; it runs on the Windows side:

- Write the name with its extension: `pipectl.exe call svc ping`.
- Convert Linux paths: `--data-file "$(wslpath -w request.json)"`.
- Environment variables are passed on only if `WSLENV` lists them: `export
  WSLENV=NO_COLOR:$WSLENV` (WSL interoperability
  (https://learn.microsoft.com/windows/wsl/filesystems)).
- Linux programs cannot open Windows named pipes themselves, but they can run
  pipectl, for example once per request.

The behavior of the shells is taken from their documentation. The tests verify
how the C runtime splits each command line above, also with the bash of Linux
and the cmd of Wine. The scripts in `scripts/shells` check the same in
PowerShell, cmd and Git Bash; they have not been run on Windows yet.
"""
