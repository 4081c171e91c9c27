"""`pipectl help json`. Written by scripts/gen_docs.py: change docs/json.md instead."""

TEXT = r"""JSON

`--json` (short for `--format json`) prints one JSON object per line, on stdout
and on stderr. The lines are ASCII, so they survive any code page. Each object
has `"schema": 1`; the number changes when a field is removed or changes its
meaning, and new fields may appear without a change.

Fields that are unknown, or hidden from this user, are omitted; no field is
`null`. Times are in seconds. A pipe without a limit of instances has
`"unlimited": true` and no `max_instances`.

`call`
    objects: the reply
    schema: call
`transact`
    objects: one for each exchange, as it completes
    schema: transact
`connect`, `read`
    objects: one for each message, frame or piece of a stream
    schema: connect, read
`write`
    objects: what was sent
    schema: write
`serve`
    objects: one for each event, as it happens; the first is `listening`:
      clients can connect
    schema: serve
`relay`
    objects: one for each event, as it happens; the first is `listening`
    schema: relay
`tap`
    objects: the lines of a recording, with each frame decoded
    schema: tap
`decode`
    objects: the same, of a recording
    schema: decode
`replay`
    objects: one for each conversation that was played
    schema: replay
`client-pid`
    objects: one for each event; the first is `listening`
    schema: client-pid
`peek`
    objects: the unread data
    schema: peek
`info`
    objects: all facts about the pipe
    schema: info
`state`
    objects: the state; after a change, `before` and `after`
    schema: state
`wait`
    objects: the condition that was met, and the time it took
    schema: wait
`list`
    objects: one per pipe
    schema: list
`who`
    objects: one per pipe, with its ends and what could not be inspected
    schema: who
`watch`
    objects: one per change, as it happens
    schema: watch
`doctor`
    objects: the verdict, the checks that led to it, and a fix; it contains the
      exit code
    schema: doctor
`audit`
    objects: one per finding, and a summary
    schema: audit
`bench`
    objects: the measurements; times in seconds
    schema: bench
`popen`
    objects: one per chunk of whole output lines, and one at the end
    schema: popen
`selftest`
    objects: one per claim, and a summary
    schema: selftest
a recording
    objects: one for each event, in a file
    schema: recording
any
    objects: a note or a warning, on stderr
    schema: message
any
    objects: an error, on stderr
    schema: error

Shared definitions, such as payloads and processes, are in common.

Payloads

A payload is `{"size", "text"}` if it is valid text in the encoding of
`--encoding`, so that encoding the text again yields the same bytes; otherwise
it is `{"size", "base64"}`. With `--as hex` it is always `{"size", "hex"}`,
with `--as base64` always `{"size", "base64"}`.

    {"schema": 1, "pipe": "\\\\.\\pipe\\svc", "ended_by": "message", "seconds": 0.000312, "reply": {"size": 4, "text": "pong"}}
    {"schema": 1, "pipe": "\\\\.\\pipe\\svc", "ended_by": "idle:0.2", "seconds": 0.203101, "reply": {"size": 2, "base64": "AP8="}}

Messages

Notes and warnings are objects too, on stderr. `--quiet` suppresses notes.

    {"schema": 1, "note": "serving \\\\.\\pipe\\svc"}

Errors

An error is an object on stderr. It contains the command's exit code.

    {"schema": 1, "error": {"message": "CreateFileW on \\\\.\\pipe\\svc: The system cannot find the file specified. (ERROR_FILE_NOT_FOUND, 2)", "function": "CreateFileW", "pipe": "\\\\.\\pipe\\svc", "code": 2, "symbol": "ERROR_FILE_NOT_FOUND", "exit_code": 3, "hint": "See which pipes exist: `pipectl list`"}}

If a part of the reply arrived before a timeout, it is in `partial`, and the
exit code is 10.

In PowerShell

    $reply = pipectl call svc ping --json | ConvertFrom-Json
    $reply.reply.text

    pipectl list --json | ConvertFrom-Json | Where-Object instances -gt 5
    pipectl serve svc --json | ForEach-Object { ($_ | ConvertFrom-Json).event }
"""
