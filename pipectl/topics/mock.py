"""`pipectl help mock`. Written by scripts/gen_docs.py: change docs/mock.md instead."""

TEXT = r"""MOCK SERVERS: RULES THAT SAY WHAT IS ANSWERED

`pipectl serve PIPE --rules FILE` replaces a server in tests: the first rule
that applies to a message answers it. A rules file is TOML, or JSON of the same
structure. It contains no code, starts no program, and names no pipe.

    # door.toml
    version = 1
    type = "byte"
    frame = "line"

    [[rule]]
    name = "unlock"
    state = "start"
    when = { text = "unlock 1234" }
    set = "open"
    reply = { text = "unlocked" }

    [[rule]]
    name = "status"
    when = { text = "status" }
    replies = [{ text = "busy", delay = "50ms" }, { text = "door ${client.number} was asked ${n} times" }]

    [[rule]]
    name = "anything else"
    reply = { json = { error = "unknown", got = "${body}" } }
    expect = "any"

    > pipectl serve door --rules door.toml --check
    door.toml:6: `unlock`: in state start, {"text": "unlock 1234"} -> text
    door.toml:13: `status`: {"text": "status"} -> text delay=50ms, then text
    door.toml:18: `anything else`: any message -> json

Start it with `pipectl serve door --rules door.toml --seed 1`, and then:

    > pipectl call door "unlock 1234" --frame line
    unlocked
    > pipectl call door status --frame line
    busy
    > pipectl call door status --frame line
    door 3 was asked 2 times
    > pipectl call door dance --frame line
    {"error":"unknown","got":"dance"}

`--check`
    effect: reads the file, lists the rules, and exits; with code 2 if there
      are mistakes
`--strict`
    effect: exits with code 12 at the first message that no rule applies to,
      that is not a valid frame, or that is cut off
`--expect-all`
    effect: exits with code 12 if a rule was not used, or not as often as its
      `expect` says; use it with `--once`, `--count`, `--messages` or
      `--idle-timeout`
`--watch`
    effect: reloads the file when it changes, and the files of `file = ...`
      with it. While it has mistakes, the previous rules stay in use, and the
      log says why
`--seed N`
    effect: repeats all random choices of a run
`--fault`
    effect: adds faults to all replies

All mistakes are reported before the pipe is created, each with its line:

    error: door.toml:15: unknown key `txt`: did you mean `text`?

The file

`version = 1`
    meaning: required
`type = "byte"`
    meaning: type of the pipe, `byte` or `message`; `--type` overrides it
`frame = "line"`
    meaning: how a stream is split into messages, and how replies are framed:
      see framing
`codec = "ssh-agent"`
    meaning: instead of `frame`: a protocol (codecs), which also names fields
`greeting = { ... }`
    meaning: a reply that is sent to each new client first
`unmatched = "none"`
    meaning: the answer to a message that no rule applies to: `none`, `close`,
      `echo`, or a reply
`scope = "client"`
    meaning: whether each client has its own state, or all share one (`server`)
`[[rule]]`
    meaning: the rules; the first one that applies is used

`name = "status"`
    meaning: its name in the log
`when = { ... }`
    meaning: conditions, which must all hold; without any, the rule applies to
      every message
`reply = { ... }`
    meaning: what is sent
`replies = [{ ... }, { ... }]`
    meaning: one after another, then the last one again and again; with `cycle
      = true`, all of them again
`state = "open"`
    meaning: the rule applies only in this state, or in one of several:
      `["open", "half"]`. A client begins in `start`
`set = "open"`
    meaning: the state after it
`times = 3`
    meaning: after three uses the rule no longer applies
`chance = 0.1`
    meaning: the rule applies to one message in ten
`expect = 2`
    meaning: with `--expect-all`, how often the rule must be used; `"any"`
      allows any number of times. Default: at least once

Uses are counted for all clients together, because many programs connect again
for each request.

Conditions

`text = "ping"`
    holds for: this text exactly; `starts`, `ends` and `contains` for parts of
      it
`regex = "^get (\\w+)$"`
    holds for: a match of a Python regular expression, anywhere in the first 64
      KiB
`hex = "01 ?? 4? *"`
    holds for: these bytes; `??` is any byte, `?` any digit, `*` any number of
      bytes
`size = ">1k"`
    holds for: this size: `5`, `"<=5"`, `">1k"`
`empty = true`
    holds for: an empty message
`nth = 1`
    holds for: the first message of a client; `">1"` all others
`json = { "/params/name" = "x" }`
    holds for: JSON with this value at a JSON pointer; also `{ regex = "^x" }`
      and `{ exists = false }`
`field = { op = "ping" }`
    holds for: this value of a field that the codec names; in the same forms
`http = { method = "GET", path = "/v[0-9]+/.*" }`
    holds for: an HTTP request whose parts match these regular expressions as a
      whole; also `query` (a text, or `{ name = "..." }`) and `header = {
      accept = ".*json" }`
`client = { exe = "app.exe", user = "ann" }`
    holds for: a client with this program and user; also `pid` and `remote =
      true`
`not = { ... }`, `any = [{ ... }, { ... }]`
    holds for: a message for which the condition does not hold; for which one
      of several holds

Replies

A reply has one of these keys, and any faults, such as `delay = "200ms"`,
`truncate = 10` or `close = "reset"`:

`text = "pong"`, `lines = ["a", "b"]`
    what is sent: a text as UTF-8; lines with a line feed after each
`hex = "81 00"`, `base64 = "gQA="`
    what is sent: bytes
`json = { id = "${json:/id}" }`
    what is sent: JSON
`file = "big.bin"`
    what is sent: the content of a file in the folder of the rules file, or
      below it
`http = { status = 404, headers = { X = "1" }, json = { } }`
    what is sent: an HTTP response with its length; the content is `body`,
      `json`, `hex` or `file`
`echo = true`
    what is sent: the message itself
`empty = true`
    what is sent: an empty message, on a message pipe
`none = true`
    what is sent: nothing; with `close` or `stall` as the way it ends
`frames = [{ ... }, { ... }]`
    what is sent: several replies, each a frame or message of its own; `join =
      2` sends two of them in one write

- `field = { op = "pong" }` sets what the codec's frame needs besides the
  content.
- `raw = true` sends the content without a frame around it.
- A reply does not have to be valid. With a codec the frame is valid, but its
  content is not checked.

Placeholders in `text`, `lines`, `hex`, `json`, `body` and `headers`:

`${body}`, `${hex}`, `${hex:1:3}`
    becomes: the message; its bytes in hex; some of them, as in a Python slice
`${1}`, `${name}`
    becomes: a group of a regular expression in `when`; not of those in `any`
      and `not`
`${json:/id}`, `${field:op}`
    becomes: a value of the message. If it is the entire JSON string, a number
      stays a number
`${client.pid}`, `${client.exe}`, `${client.user}`, `${client.number}`
    becomes: the client's process, program, user, and number
`${n}`, `${count}`
    becomes: how often the rule was used; how many messages the client has sent
`${now}`, `${unix}`
    becomes: the time in UTC: ISO 8601, or seconds since 1970
`${uuid}`, `${random:8}`
    becomes: a random UUID; 8 random bytes
`$${`
    becomes: `${` itself

In `hex`, the bytes themselves are inserted; elsewhere `${hex}` and
`${random:8}` are hex digits. Data from a client is never interpreted as a
placeholder, and cannot add a header to an HTTP response.

Invalid data

- A client that sends an invalid frame is disconnected, and the log says
  `invalid`. With an HTTP codec it gets a 400 response first.
- A client that disconnects in the middle of a frame is reported too. No rule
  applies to the incomplete frame.
- Regular expressions run in the server's only thread: one that takes
  exponential time blocks all clients.
- A rule with `client = { user = ... }` may wait for a domain controller.

Examples

examples/rules (../examples/rules) in the source has files for real clients,
each tested with the client it names: Docker's API (docker-py, dockerode), an
SSH agent (ssh2), a language server (vscode-jsonrpc), Discord (pypresence), and
a binary protocol with many faults.
"""
