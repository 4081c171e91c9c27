"""`pipectl help framing`. Written by scripts/gen_docs.py: change docs/framing.md instead."""

TEXT = r"""FRAMING: WHERE A REPLY ENDS

A message pipe keeps messages apart, and pipectl always returns one whole
message. A byte pipe is a stream: nothing in it marks the end of a reply, so
you must say where it ends. `pipectl info svc` shows the type of a pipe.

`idle:0.2`
    the reply ends: when nothing has come for 0.2 s; the default
    for: an unknown protocol, by hand
`newline`
    the reply ends: after a line feed
    for: line protocols; send the line with `--newline`
`eof`
    the reply ends: when the server closes the pipe
    for: one reply per connection
`bytes:1k`
    the reply ends: after 1024 bytes
    for: replies of a fixed size
`frame:u32le`
    the reply ends: after as many bytes as the 4-byte length before them says
    for: protocols with a length prefix

- `frame:` takes `u16le`, `u16be`, `u32le` and `u32be`. The length is no part
  of the reply, and the request gets one too.
- A size has a unit of 1024 (`64k`, `1m`), a duration any of `ms`, `s`, `m`,
  `h` (`200ms`, `1m30s`).
- If the server closes before the end of a frame or of a count, the exit code
  is 7. If the end does not come in time, it is 6: try `--until idle:0.2` to
  see what came.
- An empty request is a message on a message pipe. On a byte pipe it would send
  nothing, and `call` refuses it.

    pipectl call svc status --newline --until newline
    pipectl call svc --hex 01000000 --until frame:u32le --as hex
"""
