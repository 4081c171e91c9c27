"""`pipectl help codecs`. Written by scripts/gen_docs.py: change docs/codecs.md instead."""

TEXT = r"""CODECS: WHAT THE BYTES ON A PIPE MEAN

A codec decodes a protocol. It finds the end of each message, summarizes it in
one line, and knows which parts are secret.

    > pipectl call docker_engine --codec docker "GET /_ping"
    > pipectl call openssh-ssh-agent --codec ssh-agent REQUEST_IDENTITIES
    > type requests.txt | pipectl transact mpvsocket --codec json-lines --json
    > pipectl read svc --codec C:\codecs\meter.py:Meter

- `call` and `transact` send DATA as a message of the protocol, and show the
  reply decoded. The codec determines where the reply ends: events before it
  are shown too, and a chunked reply is read to its end. `--until` overrides
  this.
- `read` shows each message as it arrives. `connect` also sends each line of
  stdin as a message.
- `tap` and `decode` show both sides; `relay --record` masks the secrets of
  both. Their default, `auto`, chooses the codec by the name of the pipe, or
  else by the first bytes.
- `--json` adds `decoded`: the kind, the summary and the fields of each
  message. `--as raw` prints only the bodies.
- `--codec` also does the framing, and so excludes `--frame`.

`text`
    protocol: text in UTF-8
    pipes: any
    DATA of `call`: sent unchanged
`hex`
    protocol: any bytes
    pipes: any
    DATA of `call`: sent unchanged
`lines`
    protocol: lines, each a request or a reply
    pipes: any
    DATA of `call`: a line
`json-lines`
    protocol: JSON, one value on each line
    pipes: `mpv*`, `*qmp*`, `watchman*`
    DATA of `call`: JSON
`json`
    protocol: JSON values one after another
    pipes: `*geth.ipc`, KeePassXC
    DATA of `call`: JSON
`u32json`
    protocol: JSON after a length of 4 bytes, little-endian
    pipes: native messaging
    DATA of `call`: JSON
`jsonrpc`
    protocol: JSON-RPC after Content-Length headers
    pipes: any
    DATA of `call`: JSON
`lsp`
    protocol: the same, with documents and error names of the Language Server
      Protocol
    pipes: `lsp-*`
    DATA of `call`: JSON
`http`
    protocol: HTTP/1.0 and HTTP/1.1
    pipes: Tailscale
    DATA of `call`: `GET /path`, or headers and a body below it
`docker`
    protocol: the same, with stdout and stderr of attach and exec
    pipes: `docker_engine*`, `podman-machine-*`, Docker Desktop
    DATA of `call`: as `http`
`ssh-agent`
    protocol: OpenSSH agent
    pipes: `openssh-ssh-agent`, `pageant.*`
    DATA of `call`: a type such as `REQUEST_IDENTITIES`, or the message without
      its length (`--hex 0b`)
`discord`
    protocol: Discord IPC
    pipes: `discord-ipc-*`
    DATA of `call`: JSON; with `client_id`, it is a handshake

DATA that is already a whole message of the protocol is sent unchanged.

What is shown

Each message has a kind: `request`, `reply`, `event` (sent without a request),
`error` (a reply), `raw` (bytes that the codec does not decode) or `bad` (bytes
that violate the protocol, with the reason). After a bad message, `lines`,
`json-lines`, `jsonrpc`, `u32json`, `ssh-agent` and `discord` continue with the
next one if they can find it. Otherwise the rest of that side is raw.

- JSON that programs interpret differently is bad: a key that occurs twice,
  `NaN`, a number too large for a float, half of a surrogate pair, more than
  200 levels.
- `http` refuses heads that programs interpret differently: Content-Lengths
  that differ, a length together with chunks, bare line feeds, folded headers,
  more than 64 KiB. A chunked response is a reply and an event for each chunk.
  After `101` or `CONNECT` both sides are raw; `docker` reads the parts of
  stdout and stderr if there is no terminal.
- A message has at most 16 MiB. The body of a longer HTTP message is raw; for
  other protocols, the rest of that side is raw.

Secrets

Secrets are masked with asterisks of the same length, on the screen, in
`--json` and in recordings. `--secrets` shows them.

`http`, `docker`
    secret: the headers Authorization, Proxy-Authorization, Cookie, Set-Cookie,
      X-Registry-Auth, X-Registry-Config, X-Api-Key, X-Auth-Token and similar
      ones
`docker`
    secret: also members of JSON bodies: password, auth, identitytoken,
      registrytoken, token, joinToken, unlockKey, secret
`ssh-agent`
    secret: private keys, passphrases, PINs and signatures
`discord`
    secret: access and refresh tokens, and the code of AUTHORIZE

The other codecs know no secrets: `tap --redact REGEX` masks what you name.

Write a codec

`--codec FILE.py:CLASS` loads a class from a file. The file is code and runs
with your rights: pipectl loads it only if the command line names it, never
because a recording does. A subclass of `StreamCodec` reads one message from a
stream that may arrive in any pieces:

    from pipectl.core.codecs.base import Frame
    from pipectl.core.codecs.streamed import StreamCodec, bad, kind_of

    OPERATIONS = {1: "status", 2: "set", 129: "status is", 130: "was set"}


    class Meter(StreamCodec):
        # Two bytes of length, an operation, the number of the request, and a value.
        name = "meter"
        title = "electricity meters"
        framing = "u16be"

        def read(self, side, stream):
            yield from stream.size(2)  # waits for so many bytes
            size = 2 + int.from_bytes(stream.received[:2], "big")
            yield from stream.size(size, header=2)
            data = stream.take(size)
            if size < 4:
                yield bad(side, data, "a message without a number")
                return
            operation, number = OPERATIONS.get(data[2], f"operation {data[2]}"), data[3]
            summary = f"{operation} {data[4:].hex()}".rstrip()
            fields = {"operation": operation, "number": number}
            secrets = [slice(4, size)] if data[2] == 2 and size > 4 else []
            yield Frame(side, data, data[2:], kind_of(side), summary, fields, str(number), tuple(secrets))

        def wrap(self, fields, body):
            return len(body).to_bytes(2, "big") + body

`ident` (here `str(number)`) pairs a reply with its request; without it, they
are paired in order. `secrets` are slices of `data`. Test a codec with messages
that it understands; the check adds damaged ones, in all pieces:

    from pipectl.testing import check_codec

    check_codec(Meter, [bytes.fromhex("0002 0107"), bytes.fromhex("0004 8107 2a00")])

It raises AssertionError, with a way to reproduce it, if the codec raises,
loses bytes, depends on how the input is split, keeps too much, takes more than
linear time, or cannot read what it wraps.

The exe supports only `FILE.py:CLASS`, with only the Python modules that
pipectl itself uses. For pipectl's Python package, a package can register
codecs by name:

    [project.entry-points."pipectl.codecs"]
    meter = "meter:Meter"

If your codec raises, loses bytes, or yields frames that cannot be shown, the
rest of that connection is raw, with one warning. Nothing protects against a
codec that does not return.
"""
