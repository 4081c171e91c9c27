"""Finds a codec by the value of `--codec`: a built-in codec, an installed one, or a class in a file.

Loading a file runs its code, so only the user can name one; the name in a recording or of a pipe never loads a file.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from pipectl.core.errors import CodecError

from . import CODECS, codec_class
from .base import Codec, Frame, FrameKind, Side

# The entry point group in which other packages register codecs.
GROUP = "pipectl.codecs"
# The number of bytes that a plugin may keep in addition to `max_frame`.
_MOST_MORE = 64 << 10

_T = TypeVar("_T")


@lru_cache
def find(name: str) -> type[Codec]:
    r"""Return the codec of a name such as `docker`, `mine` or `C:\codecs\mine.py:Mine`; raises CodecError.

    A codec that is not built-in is wrapped in `Guarded`, so that its errors do no harm.
    """
    if name in CODECS:
        return codec_class(name)
    path, _, class_name = name.rpartition(":")
    found = _from_file(path, class_name) if path.lower().endswith(".py") else _installed(name)
    if found is None:
        return codec_class(name)  # raises CodecError, which lists the codecs
    if not (isinstance(found, type) and issubclass(found, Codec)):
        raise CodecError(f"{name} is not a subclass of pipectl.core.codecs.base.Codec")
    return guarded(found)


def _from_file(path: str, class_name: str) -> Any:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(f"pipectl_codec_{abs(hash(path))}", path)
    if spec is None or spec.loader is None:
        raise CodecError(f"{path} is not a file of Python")
    module = module_from_spec(spec)
    _run(path, lambda: spec.loader.exec_module(module))  # type: ignore[union-attr] # it was checked
    found = getattr(module, class_name, None)
    if found is None:
        raise CodecError(f"{path} has no class {class_name!r}")
    return found


def _installed(name: str) -> Any:
    try:
        from importlib.metadata import entry_points
    except ImportError:  # in the exe, for which no packages can be installed
        return None
    entry = next(iter(entry_points(group=GROUP, name=name)), None)
    return None if entry is None else _run(name, entry.load)


def _run(what: str, load: Callable[[], _T]) -> _T:
    try:
        return load()
    except Exception as error:
        raise CodecError(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error


class Guarded(Codec):
    """A third-party codec whose guarantees are checked: after the CodecError of a violation, callers use raw bytes.

    The checks: no other exception, no byte lost, changed or kept beyond the limit, and frames that can be shown. There
    is no protection against a codec that does not return.
    """

    plugin: ClassVar[type[Codec]]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._codec = _run(self.name, lambda: self.plugin(*arguments, **options))
        self._unframed = {side: bytearray() for side in Side}

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        self._unframed[side] += data
        frames = self._checked(lambda: self._codec.feed(side, data, message=message))
        if len(self._unframed[side]) > self.max_frame + _MOST_MORE:
            raise self._broken(f"it keeps {len(self._unframed[side])} bytes")
        return iter(frames)

    def end(self, side: Side) -> Iterator[Frame]:
        frames = self._checked(lambda: self._codec.end(side))
        if self._unframed[side]:
            raise self._broken(f"it has lost the last {len(self._unframed[side])} bytes of the {side}")
        return iter(frames)

    def wrap(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        try:
            return bytes(self._codec.wrap(fields, body))
        except CodecError:
            raise
        except Exception as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error

    @classmethod
    def makes_frames(cls) -> bool:
        return cls.plugin.makes_frames()

    def ends_reply(self, frame: Frame) -> bool:
        try:
            return bool(self._codec.ends_reply(frame))
        except Exception as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error

    def _checked(self, frames: Callable[[], Iterable[Frame]]) -> list[Frame]:
        try:
            found = list(frames())
            for frame in found:
                _check_shape(frame)
        except Exception as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error
        for frame in found:
            unframed = self._unframed[frame.side]
            if not unframed.startswith(frame.data):
                raise self._broken(f"a frame has other bytes than the {frame.side} has sent")
            del unframed[: len(frame.data)]
        return found

    def _broken(self, reason: str) -> CodecError:
        return CodecError(f"the codec {self.name} failed: {reason}")


def guarded(plugin: type[Codec]) -> type[Codec]:
    """Return a subclass of `Guarded` for a plugin, with the plugin's class variables."""
    words = {
        key: getattr(plugin, key) for key in ("title", "pipes", "framing", "wireshark", "hint") if hasattr(plugin, key)
    }
    name = getattr(plugin, "name", plugin.__name__)
    return type(plugin.__name__, (Guarded,), {"title": name, **words, "name": name, "plugin": plugin})


def _check_shape(frame: Frame) -> None:
    """Raise TypeError or ValueError for a frame that cannot be shown."""
    if not isinstance(frame, Frame) or not isinstance(frame.data, bytes) or not isinstance(frame.body, bytes):
        raise TypeError(f"{type(frame).__name__} is not a Frame of bytes")
    if not frame.data:
        raise ValueError("a frame without bytes")
    Side(frame.side), FrameKind(frame.kind)
    frame.summary.encode()
    json.dumps(dict(frame.fields), allow_nan=False)
    for secret in frame.secrets:
        secret.indices(len(frame.data))
