"""Reads the replies of rules files into functions that return the bytes to send; mistakes are added with lines."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from pipectl.core.codecs.base import Codec
from pipectl.core.codecs.httpstatus import REASONS
from pipectl.core.errors import CodecError, FrameError
from pipectl.core.pipe.frames import Framing

from . import faults
from .faults import Fault, Outgoing
from .rules_lines import Mistakes, Path
from .rules_template import Groups, JsonTemplate, Scene, Template, from_base64, lines

# What a reply consists of: exactly one of these.
_CONTENTS = ("text", "hex", "base64", "json", "file", "lines", "empty", "none", "echo", "http", "frames")
_HTTP_CONTENTS = ("body", "json", "hex", "file")
_FAULTS = tuple(name for name in faults.KINDS if name not in faults.ARRIVALS and name != "empty")
_KEYS = (*_CONTENTS, "field", "raw", "join", *_FAULTS)

# Returns a content, or None if nothing is sent.
_Make = Callable[[Scene], bytes | None]


class Wire:
    """Turns a body into the bytes to send: a frame of a codec or of a `--frame` rule, or the body as it is."""

    def __init__(self, framing: Framing | None = None, codec: type[Codec] | None = None) -> None:
        from pipectl.core.pipe.framing import parse

        self.codec = codec
        # Also of a codec, if it has one, so that a reply may be one that the protocol does not allow.
        self.framing = parse(codec.framing) if codec is not None and codec.framing != "chunk" else framing
        self._maker = codec() if codec is not None else None

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        """Return the frame of a body; raises CodecError or FrameError if there is none."""
        if self._maker is not None and (fields or self.framing is None):
            has_frames = type(self._maker).wrap is not Codec.wrap
            return self._maker.wrap(fields, body) if fields or has_frames else body
        try:
            return body if self.framing is None else self.framing.wrap(body)
        except ValueError as error:
            raise FrameError(str(error)) from None


class Reply:
    """What is sent for a message: frames, each with its faults."""

    def __init__(self, kind: str, make: Callable[[Scene], tuple[Outgoing, ...]]) -> None:
        # A description for a summary.
        self.kind = kind
        self.make = make


NOTHING = Reply("none", lambda _scene: ())


class ReplyReader:
    """Reads the replies of one file."""

    def __init__(self, mistakes: Mistakes, wire: Wire, folder: FilePath | None, *, is_message: bool | None) -> None:
        """`folder` is the folder of the rules file; None if the rules are not in a file."""
        self._mistakes = mistakes
        self._wire = wire
        self._folder = folder
        self._is_message = is_message

    def read(self, table: Any, groups: Groups, path: Path) -> Reply:
        """Return a reply; after a mistake, one that sends nothing."""
        with self._mistakes.at(path):
            return self._read(_table(table, "a reply"), groups, path)
        return NOTHING

    def _read(self, table: dict[str, Any], groups: Groups, path: Path) -> Reply:
        given = [key for key in _CONTENTS if key in table]
        if not self._mistakes.keys(table, _KEYS, path) and not given:
            return NOTHING  # the unknown key may have been meant as the content
        if len(given) != 1 and not (not given and "field" in table):
            has = " and ".join(f"`{key}`" for key in given) or "nothing"
            raise ValueError(f"a reply must have one of {', '.join(_CONTENTS)}; this one has {has}")
        kind = given[0] if given else "field"
        if kind == "frames":
            return self._frames(table, groups, path)
        if "join" in table:
            self._mistakes.add((*path, "join"), "`join` needs `frames`")
        struck = self._faults(table, path)
        make, is_constant = self._content(kind, table, groups, path)
        wrap = self._wrapping(kind, table, groups, path)

        def outgoing(scene: Scene) -> tuple[Outgoing, ...]:
            body = make(scene)
            if body is None:
                return (Outgoing(None, b"", struck),) if struck else ()
            return (Outgoing(wrap(scene, body), body, struck),)

        if is_constant and not self._mistakes.errors:
            self._try(outgoing, (*path, kind))
        return Reply(" ".join([kind, *map(str, struck)]), outgoing)

    def _try(self, outgoing: Callable[[Any], object], path: Path) -> None:
        """Create a constant reply, to check that the codec has a frame for it."""
        try:
            outgoing(None)
        except (CodecError, FrameError) as error:
            self._mistakes.add(path, error.reason)

    def _frames(self, table: dict[str, Any], groups: Groups, path: Path) -> Reply:
        """Return a reply of several frames, of which `join` are sent in one write."""
        for key in table:
            if key in _FAULTS or key in ("field", "raw"):
                self._mistakes.add((*path, key), f"write `{key}` in one of the `frames`")
        found = self._mistakes.get(table, "frames", list, path, [])
        parts = [self.read(one, groups, (*path, "frames", index)) for index, one in enumerate(found)]
        count = self._mistakes.get(table, "join", int, path, 1)
        if count < 1:
            self._mistakes.add((*path, "join"), "`join` must be 1 or more")

        def outgoing(scene: Scene) -> tuple[Outgoing, ...]:
            frames = [frame for part in parts for frame in part.make(scene)]
            return tuple(_joined(frames[at : at + count]) for at in range(0, len(frames), max(1, count)))

        return Reply(f"{len(parts)} frames", outgoing)

    def _faults(self, table: dict[str, Any], path: Path) -> tuple[Fault, ...]:
        found = []
        for name in _FAULTS:
            if name in table and table[name] is not False:
                with self._mistakes.at((*path, name)):
                    found.append(faults.fault(name, _fault_value(table[name])))
        return tuple(found)

    def _wrapping(
        self, kind: str, table: dict[str, Any], groups: Groups, path: Path
    ) -> Callable[[Scene, bytes], bytes]:
        """Return the function that wraps a body in a frame."""
        is_raw = self._mistakes.get(table, "raw", bool, path, default=False) or kind in ("http", "empty")
        if "field" not in table:
            return (lambda _scene, body: body) if is_raw else (lambda _scene, body: self._wire.wrap({}, body))
        if is_raw or self._wire.codec is None:
            needs = f"is not possible with `{'raw' if 'raw' in table else kind}`" if is_raw else "needs a codec"
            self._mistakes.add((*path, "field"), f"`field` {needs}")
        fields = JsonTemplate({})
        with self._mistakes.at((*path, "field")):
            fields = JsonTemplate(_table(table["field"], "`field`"), groups)
        return lambda scene, body: self._wire.wrap(fields.value(scene), body)

    def _content(self, kind: str, table: dict[str, Any], groups: Groups, path: Path) -> tuple[_Make, bool]:
        """Return the function that returns the content, and whether that is constant."""
        value, where = table.get(kind), (*path, kind)
        with self._mistakes.at(where):
            if kind in ("empty", "none", "echo") and value is not True:
                raise ValueError(f"`{kind}` can only be true")
            if kind == "empty" and self._is_message is False:
                raise ValueError("a byte pipe has no empty messages")
            if kind == "echo":
                return (lambda scene: scene.message.body), False
            if kind == "none":
                return (lambda _scene: None), False
            if kind == "http":
                return self._http(_table(value, "`http`"), groups, where), False
            if kind in ("empty", "field"):
                return (lambda _scene: b""), not _has_templates(table.get("field"))
            made = self._made(kind, value, groups)
            return made.render, made.is_constant and not _has_templates(table.get("field"))
        return (lambda _scene: None), False

    def _made(self, kind: str, value: Any, groups: Groups) -> "Template | JsonTemplate | _Bytes":
        """Return the template or bytes of a content of a simple kind; raises ValueError."""
        if kind == "json":
            return JsonTemplate(value, groups)
        if kind == "lines" and isinstance(value, list) and all(isinstance(one, str) for one in value):
            return Template(lines(value), groups)
        if kind == "lines" or not isinstance(value, str):
            raise ValueError(f"`{kind}` must be {'an array of strings' if kind == 'lines' else 'a string'}")
        if kind == "base64":
            return _Bytes(from_base64(value))
        if kind == "file":
            return _Bytes(self._file(value))
        return Template(value, groups, is_hex=kind == "hex")

    def _file(self, name: str) -> bytes:
        """Return the content of a file in the folder of the rules file; raises ValueError for any other."""
        if self._folder is None:
            raise ValueError("`file` needs a rules file that is in a folder")
        folder = self._folder.resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder):
            raise ValueError(f"`{name}` is not in the folder of the rules file")
        if path.exists() and not path.is_file():
            raise ValueError(f"`{name}` is not a file")
        try:
            return path.read_bytes()
        except OSError as error:
            raise ValueError(f"`{name}` cannot be read: {error.strerror or error}") from None

    def _http(self, table: dict[str, Any], groups: Groups, path: Path) -> _Make:
        """Return the function that returns an HTTP response, with its Content-Length."""
        self._mistakes.keys(table, ("status", "headers", *_HTTP_CONTENTS), path)
        status = self._mistakes.get(table, "status", int, path, 200)
        if not 100 <= status <= 999:
            self._mistakes.add((*path, "status"), f"`{status}` is not a status")
        headers = self._headers(table, groups, path)
        contents = [key for key in _HTTP_CONTENTS if key in table]
        if len(contents) > 1:
            self._mistakes.add(path, f"use only one of {', '.join(_HTTP_CONTENTS)}")
        made: Template | JsonTemplate | _Bytes = _Bytes(b"")
        if contents:
            with self._mistakes.at((*path, contents[0])):
                made = self._made(contents[0], table[contents[0]], groups)
        if "json" in table and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", Template("application/json")))
        return lambda scene: _response(status, headers, made.render(scene), scene)

    def _headers(self, table: dict[str, Any], groups: Groups, path: Path) -> list[tuple[str, Template]]:
        found = []
        for name, value in self._mistakes.get(table, "headers", dict, path, {}).items():
            with self._mistakes.at((*path, "headers", name)):
                if not isinstance(value, str | int) or not name.isascii() or not name.replace("-", "a").isidentifier():
                    raise ValueError(f"`{name}` must be the name of a header, and its value a string")
                found.append((name, Template(str(value), groups)))
        return found


class _Bytes:
    """A constant content."""

    is_constant = True

    def __init__(self, data: bytes) -> None:
        self._data = data

    def render(self, scene: Scene | None = None) -> bytes:
        """Return the bytes."""
        del scene
        return self._data


def _response(status: int, headers: Sequence[tuple[str, Template]], body: bytes, scene: Scene) -> bytes:
    has_body = status >= 200 and status not in (204, 304)
    head = [f"HTTP/1.1 {status} {REASONS.get(status, '')}"]
    # Inserted data of a client must not begin another header.
    head += [f"{name}: {' '.join(value.text(scene).split())}" for name, value in headers]
    names = {name.lower() for name, _ in headers}
    if has_body and not names & {"content-length", "transfer-encoding"}:
        head.append(f"Content-Length: {len(body)}")
    is_head = scene.message.head is not None and scene.message.head.method == "HEAD"
    return "\r\n".join([*head, "", ""]).encode() + (body if has_body and not is_head else b"")


def _joined(frames: Sequence[Outgoing]) -> Outgoing:
    if len(frames) == 1:
        return frames[0]
    data = [frame.data for frame in frames if frame.data is not None]
    struck = tuple(fault for frame in frames for fault in frame.faults)
    return Outgoing(b"".join(data) if data else None, b"".join(frame.shown for frame in frames), struck)


def _fault_value(value: Any) -> str | None:
    """Return the value of a fault in the syntax of `--fault`."""
    if value is True:
        return None
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _has_templates(fields: Any) -> bool:
    return isinstance(fields, dict) and any(isinstance(one, str) and "${" in one for one in fields.values())


def _table(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a table, not `{value}`")
    return value
