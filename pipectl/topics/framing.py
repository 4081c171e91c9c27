"""`pipectl help framing`. Written by scripts/gen_docs.py: change docs/framing.md instead."""

TEXT = r"""FRAMING: WHERE A MESSAGE ENDS IN A STREAM

A message pipe keeps messages apart, and pipectl reads and writes whole ones. A
byte pipe is a stream: nothing in it marks the end of a message, so you choose
a rule. Some message pipes carry a stream too, such as Docker's. `pipectl info
svc` shows the type of a pipe.

The same rules work in all commands:

- `--until RULE` (`call`, `transact`, `read`): where a reply ends. The request
  is sent unchanged, and a delimiter is printed.
- `--frame RULE` (`call`, `transact`, `read`, `write`, `connect`, `serve`):
  both directions are frames. Data is sent as a frame, and received frames are
  printed or processed without their length or delimiter.
- `--frame SIDE:RULE` (`relay`): one side carries frames, and each of them is a
  message on the other side.

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
    a frame: a length of 8 to 64 bits, little-endian (`le`) or big-endian
      (`be`), then the body
    used by: native messaging (`u32le`), OpenSSH agent (`u32be`)
`u32be+self`
    a frame: the same; the length includes its own bytes
    used by:
`u24le+1`
    a frame: the same; after the length, 1 more byte follows that it does not
      count, and that belongs to the body
    used by: MySQL
`varint`
    a frame: a length as a protobuf varint, then the body
    used by:
`content-length`
    a frame: headers, an empty line, and the number of bytes in Content-Length
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
    a frame: all data until 0.2 s of silence; the default of `call` on a byte
      pipe
    used by: an unknown protocol, by hand
`eof`
    a frame: all data until the other end closes, or sends an empty message
    used by: one reply per connection

- Sizes use units of 1024 (`64k`, `1m`); durations use `ms`, `s`, `m` and `h`
  (`200ms`, `1m30s`).
- `--max-message` limits a frame. A length beyond it is an error as soon as the
  length is known, before memory is used.
- If the other end closes within a frame, `call` exits with code 7. If the end
  of a reply does not arrive in time, the exit code is 6, or 10 with the part
  that arrived: try `--until idle:0.2` to see all of it. For an invalid frame
  it is 10.
- `line`, `crlf` and `nul` add the delimiter if it is missing. A body that
  contains the delimiter becomes several frames.
- `http` handles responses without a body (204, 304, and replies to HEAD with
  `call`), chunks, interim responses (1xx), and raw data after a 101 or a
  CONNECT. It rejects data that servers interpret differently: two lengths,
  bare line feeds, folded headers.
- `json` finds the end of a value, and does not validate its content.
- An empty request is a message on a message pipe. On a byte pipe it would send
  nothing, so `call` refuses it.

    pipectl call svc status --frame line
    pipectl call svc --hex 01000000 --frame u32le --as hex
    pipectl call docker_engine --escapes "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n" --until http
"""
