"""`pipectl help json`. Written by scripts/gen_docs.py: change docs/json.md instead."""

TEXT = r"""JSON

`--json` (or `--output json`) makes objects of what a command prints: one a
line, in ASCII alone, so that any tool on any code page reads them right, and
each with `"schema": 1`. That number changes when a field changes its meaning
or goes; new fields may come without it.

What is absent is not known, or not to this user: no field is ever `null`.

`call`
    objects: the reply
    schema: call
`transact`
    objects: one for each exchange, as it is done
    schema: transact
`serve`
    objects: one for each event, as it happens
    schema: serve
`client-pid`
    objects: one for each event; or the server of a pipe that is served already
    schema: client-pid
`peek`
    objects: what waits to be read
    schema: peek
`info`
    objects: what is known of the pipe
    schema: info
`state`
    objects: the state; after a change, `before` and `after`
    schema: state
`wait`
    objects: what was waited for, and how long
    schema: wait
`list`
    objects: one for each pipe
    schema: list
`popen`
    objects: one for each piece of output, and one at the end
    schema: popen
any
    objects: an error, on stderr
    schema: error

What they share, such as payloads and processes, is in common.

Payloads

Bytes are `{"size", "text"}` if their text, in the encoding of `--encoding`,
can be turned back into the same bytes, and `{"size", "base64"}` if not.

    {"schema": 1, "pipe": "\\\\.\\pipe\\svc", "ended_by": "message", "seconds": 0.000312, "reply": {"size": 4, "text": "pong"}}
    {"schema": 1, "pipe": "\\\\.\\pipe\\svc", "ended_by": "idle:0.2", "seconds": 0.203101, "reply": {"size": 2, "base64": "AP8="}}

Errors

An error is an object too, on stderr; the exit code is in it, and is the
command's own (exit codes).

    {"schema": 1, "error": {"message": "CreateFileW on \\\\.\\pipe\\svc: The system cannot find the file specified. (ERROR_FILE_NOT_FOUND, 2)", "function": "CreateFileW", "pipe": "\\\\.\\pipe\\svc", "code": 2, "symbol": "ERROR_FILE_NOT_FOUND", "exit_code": 3, "hint": "See which pipes there are: `pipectl list`"}}

In PowerShell

    $reply = pipectl call svc ping --json | ConvertFrom-Json
    $reply.reply.text

    pipectl list --json | ConvertFrom-Json | Where-Object instances -gt 5
    pipectl serve svc --json | ForEach-Object { ($_ | ConvertFrom-Json).event }
"""
