"""What the bytes on a pipe mean: one module per protocol family, and the table of their names."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .base import Codec, Side


class Entry(NamedTuple):
    """The place of a codec's class, and copies of the class's title and pipe name patterns."""

    place: str
    title: str
    pipes: tuple[str, ...] = ()


# Each is imported only when it is used. They are listed and tried in this order.
CODECS = {
    "text": Entry("plain:Text", "text in UTF-8"),
    "hex": Entry("plain:Hex", "bytes in hex"),
    "lines": Entry("plain:Lines", "lines, each a request or a reply"),
    "json-lines": Entry("json_:JsonLines", "JSON values, one on each line", ("mpv*", "*qmp*", "watchman*")),
    "json": Entry(
        "json_:JsonValues",
        "JSON values one after another",
        ("*geth.ipc", "org.keepassxc.keepassxc.browserserver*"),
    ),
    "u32json": Entry(
        "json_:U32Json", "JSON after a length of four bytes, as in native messaging", ("*chrome.nativemessaging*",)
    ),
    "jsonrpc": Entry("rpc:JsonRpc", "JSON-RPC with Content-Length headers"),
    "lsp": Entry("rpc:Lsp", "Language Server Protocol: JSON-RPC with Content-Length headers", ("lsp-*", "*\\lsp-*")),
    "http": Entry("http_:Http", "HTTP/1", ("*\\tailscale\\tailscaled",)),
    "docker": Entry(
        "docker:Docker",
        "Docker Engine API: HTTP/1, with the streams of attach and exec",
        ("docker_engine*", "dockerdesktop*engine", "docker_cli*", "podman-machine-*"),
    ),
    "ssh-agent": Entry("agent:SshAgent", "OpenSSH agent", ("openssh-ssh-agent", "pageant.*")),
    "discord": Entry("discord:Discord", "Discord IPC (rich presence)", ("discord-ipc-*",)),
}


def codec_class(name: str) -> "type[Codec]":
    """Return the class of a built-in codec. Raises CodecError for an unknown name, with similar names."""
    if name not in CODECS:
        from difflib import get_close_matches

        from pipectl.core.errors import CodecError

        like = " or ".join(get_close_matches(name.lower(), CODECS, 3)) or "one of " + ", ".join(CODECS)
        raise CodecError(f"no codec is called {name!r}: use {like}")
    from importlib import import_module

    module, _, class_name = CODECS[name].place.partition(":")
    found: type[Codec] = getattr(import_module(f"{__name__}.{module}"), class_name)
    return found


def guess(pipe: str, side: "Side", first: bytes) -> "type[Codec]":
    """Return the codec for a pipe by its name or, if no pattern matches, by the first bytes of one side.

    `pipe` is a name in any form, such as `\\\\.\\pipe\\NAME`. If no protocol fits, the codec is `text` or `hex`.
    """
    from fnmatch import fnmatchcase

    name = pipe.lower().replace("/", "\\").partition("\\pipe\\")[2] or pipe.lower()
    for codec, entry in CODECS.items():
        if any(fnmatchcase(name, pattern) for pattern in entry.pipes):
            return codec_class(codec)
    return max(map(codec_class, CODECS), key=lambda one: one.guess(side, first[:64]))
