"""`pipectl help faults`. Written by scripts/gen_docs.py: change docs/faults.md instead."""

TEXT = r"""FAULTS: TEST WHAT A CLIENT DOES WHEN A REPLY IS LATE, CUT OR LOST

`--fault NAME[=VALUE][@PROBABILITY]` makes `serve` send its replies late,
damaged or not at all, so that you can test how the client copes. `relay` does
the same to the replies of a real server. The option can be repeated. With a
probability, a fault occurs only some of the time: `drop@0.1` or `drop@10%`.
Each fault that occurs is logged; with `--json`, it is an event `fault`.

`delay=50ms`
    effect: sends the reply 50 ms later; the order of replies stays the same
`jitter=20ms`
    effect: varies the delay by up to 20 ms either way; without `delay`, delays
      the reply by up to 20 ms
`rate=4k`
    effect: sends at most 4096 bytes a second; a message stays whole
`split=7`, `split=1,4`
    effect: sends pieces of 7 bytes; or of 1 and 4 bytes, and then the rest. On
      a message pipe each piece is a message
`gap=5ms`
    effect: waits 5 ms between pieces
`truncate`, `truncate=10`
    effect: sends only the first half, or the first 10 bytes
`cut`, `cut=10`
    effect: like `truncate`, and then closes the pipe
`drop`
    effect: sends nothing
`duplicate`, `duplicate=2`
    effect: sends the reply twice, or three times
`garbage=8`, `garbage=8:before`, `garbage=8:over`
    effect: adds 8 random bytes at the end or at the beginning, or overwrites 8
      bytes
`flip`, `flip=3`
    effect: flips one bit, or three
`empty`
    effect: sends an empty message before the reply (message pipes only)
`stall`
    effect: sends no reply, and stops reading: once the buffer is full, the
      client's writes block
`close`, `close=before`, `close=middle`
    effect: closes the pipe after the reply, instead of it, or after its first
      half. The client reads what was sent, and then gets ERROR_BROKEN_PIPE
      (109)
`close=reset`
    effect: disconnects the client instead of replying. Data that the client
      has not read is lost, and it gets ERROR_PIPE_NOT_CONNECTED (233)
`refuse`
    effect: disconnects a new client at once (233)
`busy=2s`
    effect: has no free instance for 2 seconds after a client connects:
      ERROR_PIPE_BUSY (231)
`absent=2s`
    effect: removes the pipe for 2 seconds after a client disconnects:
      ERROR_FILE_NOT_FOUND (2), or 231 while others are connected

- `mild`, `bad` and `terrible` are lists of faults. `mild` only delays replies,
  `bad` also loses some, and `terrible` has most of the faults in the table.
- The order of the options does not matter: faults that change the bytes are
  applied first, then `duplicate`, `empty` and the pieces, then the delays. If
  several faults close the pipe, the first one on the command line counts. With
  `--frame`, the length or the delimiter is part of the bytes that are changed.
- A delayed reply delays only its own client. The server reads that client's
  next message afterwards.
- The random choices depend on `--seed`, on the number of the client and on its
  messages, but not on timing or on other clients. The server prints its seed
  when it starts. With the same seed, the same messages get the same faults.
- A server with a limit of clients (`--instances`) needs its instance back, so
  `close` disconnects the client once it has read everything. The client then
  gets 233 instead of 109.

In a relay

`pipectl relay LISTEN TARGET --fault ...` applies the same faults to the data
that it relays:

- `--fault-from client` affects the requests instead of the replies, `both`
  affects both. In the event `fault`, `from` names the side that sent the data.
- `close` closes both sides, and `close=reset` resets both. After `stall` the
  relay reads nothing more from that side; the other direction goes on.
- Without messages (byte pipes, TCP, programs), each read counts as one
  message, and the timing decides how much one read returns. `--frame` on both
  sides, such as `--frame listen:line --frame target:line`, makes each frame a
  message. Faults are applied after that, so they also damage lengths and
  delimiters.
- `refuse` disconnects the client before the target is opened. `busy` and
  `absent` are for `serve` only.

    pipectl serve svc --reply pong --fault delay=2s@0.1 --fault drop@0.05
    pipectl serve svc --fault bad --seed 4711
    pipectl serve svc --type byte --fault split=1 --fault gap=10ms
    pipectl relay docker-slow docker_engine --fault delay=300ms --fault cut@0.1
"""
