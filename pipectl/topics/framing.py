"""`pipectl help framing`. Written by scripts/gen_docs.py: change docs/framing.md instead."""

TEXT = r"""FRAMING: WHERE A MESSAGE ENDS IN A STREAM

A message pipe keeps messages apart, and pipectl reads and writes whole ones. A
byte pipe is a stream: nothing in it marks the end of a message, so a rule has
to. Some message pipes carry a stream too, such as Docker's. `pipectl info svc`
shows the type of a pipe.

The same rules work everywhere:

- `--until RULE` (`call`, `transact`, `read`): where a reply ends. What is sent
  stays as it is, and a delimiter is printed.
- `--frame RULE` (`call`, `transact`, `read`, `write`, `connect`, `serve`):
  both directions are frames. What is sent is made a frame, and what was
  received is printed or answered without its length or delimiter.

`line`
    a frame: ends with a line feed (LF); a carriage return before it belongs to
      the delimiter
    used by: mpv, JSON lines, most line protocols
`crlf`
    a frame: ends with CR LF
    used by: QMP
`nul`
    a frame: ends with a zero byte
    used by:
`u8`, `u16le`, `u16be`, `u24le`, `u24be`, `u32le`, `u32be`, `u64le`, `u64be`
    a frame: a length in that many bits, least significant byte first (`le`) or
      last (`be`), then the body
    used by: native messaging (`u32le`), OpenSSH agent (`u32be`)
`u32be+self`
    a frame: the same, where the length counts its own bytes too
    used by:
`u24le+1`
    a frame: the same, where 1 more byte follows that the length does not
      count; it belongs to the body
    used by: MySQL
`varint`
    a frame: a length as protobuf writes it, then the body
    used by:
`content-length`
    a frame: headers, an empty line, and as many bytes as Content-Length says
    used by: LSP, DAP
`http`
    a frame: an HTTP/1.x request or response, headers included
    used by: Docker, Podman
`json`
    a frame: one JSON value; white space between values is optional
    used by: geth, KeePassXC
`pkt`
    a frame: Git's pkt-lines up to a flush packet
    used by: git fsmonitor
`bytes:1k`
    a frame: 1024 bytes
    used by: fixed sizes
`idle:0.2`
    a frame: whatever comes until 0.2 s of silence; the default of `call` on a
      byte pipe
    used by: an unknown protocol, by hand
`eof`
    a frame: whatever comes until the other end closes, or sends an empty
      message
    used by: one reply per connection

- A size has a unit of 1024 (`64k`, `1m`), a duration any of `ms`, `s`, `m`,
  `h` (`200ms`, `1m30s`).
- `--max-message` limits a frame. A length beyond it is an error as soon as the
  length is known, before memory is taken.
- If the other end closes within a frame, `call` ends with exit code 7. If the
  end of a reply does not come in time, the exit code is 6, or 10 with the part
  that came: try `--until idle:0.2` to see all of it. Bytes that are no frame
  of the rule are exit code 10.
- `line`, `crlf` and `nul` add the delimiter unless it is there. A body that
  contains one becomes several frames.
- `http` knows responses without a body (204, 304, and the one to the HEAD of a
  `call`), chunks, interim responses (1xx), and that no more messages follow a
  101 or a CONNECT. It refuses what one server may read differently from
  another: two lengths, bare line feeds, folded headers.
- `json` finds the end of a value, and does not check what is in it.
- An empty request is a message on a message pipe. On a byte pipe it would send
  nothing, and `call` refuses it.

    pipectl call svc status --frame line
    pipectl call svc --hex 01000000 --frame u32le --as hex
    pipectl call docker_engine --escapes "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n" --until http
"""
