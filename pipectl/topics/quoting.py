"""`pipectl help quoting`. Written by scripts/gen_docs.py: change docs/quoting.md instead."""

TEXT = r"""QUOTING, STDIN AND SHELLS

How a request and a name of a pipe get through PowerShell, cmd, Git Bash and
WSL unchanged. What never needs quotes: a short name (`svc`), a file
(`--data-file request.json`), and stdin (`-`).

JSON on the command line

A Windows program gets one command line and splits it itself, by the rules of
the C runtime
(https://learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments).
A double quote reaches it only as `\"`. PowerShell up to 7.2 does not add that
backslash; PowerShell 7.3 does (about_Parsing
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
  backslash at its end then quotes the quote: `'C:\my dir\'` takes the next
  argument with it. Leave out the last backslash, or double it.
- cmd expands `%NAME%` also in quotes, and takes `&`, `|`, `<` and `>` for its
  own after an odd number of quotes, whether or not they have a backslash. Put
  such a request into a file.
- PowerShell and bash expand `$` in double quotes. Use single quotes:
  `'MSSQL$SQLEXPRESS/sql/query'`.

The same request from a file or a string, which works in each version:

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

A name with backslashes may be written with slashes:
`MSSQL$SQLEXPRESS/sql/query`.

Text on stdin

PowerShell, `'ping' | pipectl call svc -`
    what pipectl gets: `ping` and a line ending (CR LF): remove it with
      `--chomp`
Windows PowerShell 5.1, text beyond ASCII
    what pipectl gets: `?`, because `$OutputEncoding` is ASCII. Set it first:
      `$OutputEncoding = [Text.UTF8Encoding]::new()`
PowerShell 7, text beyond ASCII
    what pipectl gets: UTF-8
PowerShell before 7.4, `Get-Content -Raw file | ...`
    what pipectl gets: text, decoded and encoded again: use `--data-file file`
      for binary data
PowerShell 7.4 and newer, `program | pipectl ...`
    what pipectl gets: the bytes of the program
cmd and bash, `... < file`
    what pipectl gets: the bytes of the file; PowerShell has no `<`

See about_Preference_Variables
(https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_preference_variables)
for `$OutputEncoding`, and what is new in PowerShell 7.4
(https://learn.microsoft.com/powershell/scripting/whats-new/what-s-new-in-powershell-74)
for bytes.

stdin and files are sent as they are. Only three things change them: a byte
order mark at the beginning is removed, and text in UTF-16 that has one becomes
UTF-8; `--encoding` and `--escapes` read them as UTF-8 text; `--hex` and
`--base64` decode them. A line of `transact` never has its line ending.

Replies have the same trouble on their way back: the `>` of Windows PowerShell
5.1 decodes them and writes UTF-16. `-o FILE` writes their bytes, whatever the
shell is.

Git Bash changes arguments that begin with a slash

MSYS2 converts them to Windows paths
(https://www.msys2.org/docs/filesystem-paths/) before any program sees them:

you write                           pipectl gets
`pipectl call svc /status`          `C:/Program Files/Git/status`
`pipectl popen -- ipconfig /all`    `C:/Program Files/Git/all`
`pipectl serve svc --exec sort /r`  `R:/`

Double the slash (`//all`), or turn the conversion off:
`MSYS2_ARG_CONV_EXCL='*' pipectl ...`. When pipectl sees such an argument in a
shell of MSYS2, it says so on stderr.

WSL

`pipectl.exe` runs from WSL, on Windows' side:

- The full name with its ending: `pipectl.exe call svc ping`.
- Paths of Linux mean nothing to it: `--data-file "$(wslpath -w
  request.json)"`.
- Variables cross only if `WSLENV` names them: `export WSLENV=NO_COLOR:$WSLENV`
  (WSL interoperability (https://learn.microsoft.com/windows/wsl/filesystems)).
- A Linux program has no named pipes of Windows; pipectl is the way to them,
  one request at a time.

What the shells do is taken from their documentation. How the C runtime splits
each command line above is tested, also with the bash of Linux and the cmd of
Wine. The scripts in `scripts/shells` check the same in PowerShell, cmd and Git
Bash; they have not been run on Windows yet.
"""
