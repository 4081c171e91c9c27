"""Codecs of somebody else: how they are found, and that a broken one harms nothing."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.codecs.base import Codec, Frame, FrameKind, Side
from pipectl.core.codecs.discord import Discord
from pipectl.core.codecs.http_ import Http
from pipectl.core.codecs.plain import Lines
from pipectl.core.codecs.plugins import GROUP, find, guarded
from pipectl.core.errors import CodecError
from pipectl.core.recording.conversation import Conversation, Decoded, Mask
from pipectl.core.recording.recording import Said
from pipectl.testing import check_codec

from .talks import C, S, decoded
from .test_http import SAMPLES

PLUGIN = """
from pipectl.core.codecs.plain import Lines

class Shout(Lines):
    name = "shout"
    title = "lines in capitals"

class Other: pass
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "shout.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return path


def test_a_built_in_codec_is_found_by_its_name() -> None:
    assert find("http") is Http


def test_a_class_in_a_file_is_found(plugin: Path) -> None:
    found = find(f"{plugin}:Shout")
    assert (found.name, found.title, found.framing) == ("shout", "lines in capitals", "line")
    assert [frame.body for frame in decoded(found(), (C, b"one\ntwo\n"))] == [b"one", b"two"]
    assert found().wrap({}, b"x") == b"x\n"


def test_an_installed_codec_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("installed", "pipectl.core.codecs.plain:Lines", GROUP)
    monkeypatch.setattr(
        "importlib.metadata.entry_points",
        lambda **wanted: [entry] if wanted == {"group": GROUP, "name": "installed"} else [],
    )
    assert find("installed").framing == "line"


def test_without_metadata_there_are_no_installed_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "importlib.metadata", None)
    with pytest.raises(CodecError, match="no codec is called"):
        find("uninstalled")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("{plugin}:Missing", "has no class 'Missing'"),
        ("{plugin}:Other", "is not a subclass"),
        ("{plugin}x.py:Missing", "cannot be loaded: FileNotFoundError"),
        ("{broken}:Any", "cannot be loaded: ZeroDivisionError"),
        ("htpp", "use http"),
    ],
)
def test_what_is_no_codec_is_refused(plugin: Path, tmp_path: Path, name: str, reason: str) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0", encoding="utf-8")
    with pytest.raises(CodecError, match=reason):
        find(name.format(plugin=plugin, broken=broken))


def test_a_guarded_codec_keeps_the_promises_of_the_codec() -> None:
    check_codec(guarded(Http), SAMPLES, timing=False)
    assert guarded(Discord).makes_frames()


class _Bad(Lines):
    """Breaks in the line `bad`."""

    def feed(self, side: Side, data: bytes, *, message: bool = False) -> Iterator[Frame]:
        for frame in super().feed(side, data, message=message):
            yield self.spoilt(frame) if frame.body == b"bad" else frame

    def spoilt(self, frame: Frame) -> Any:
        raise NotImplementedError


def bad(spoil: Callable[[Frame], Any]) -> type[Codec]:
    return type("Bad", (_Bad,), {"name": "bad", "spoilt": staticmethod(spoil)})


def divide(_frame: Frame) -> Any:
    return 1 / 0


SPOILING = {
    "raises": divide,
    "has a frame without bytes": lambda frame: frame._replace(data=b""),
    "changes bytes": lambda frame: frame._replace(data=b"BAD\n"),
    "is no frame": lambda _frame: "bad",
    "has bytes in its fields": lambda frame: frame._replace(fields={"a": b"b"}),
    "has an unknown kind": lambda frame: frame._replace(kind="strange"),
    "has half a surrogate pair in its summary": lambda frame: frame._replace(summary="\ud800"),
}


@pytest.mark.parametrize("spoil", SPOILING.values(), ids=SPOILING)
def test_from_where_a_codec_breaks_its_connection_is_raw_and_no_byte_is_lost(spoil: Callable[[Frame], Any]) -> None:
    failures: list[Exception] = []
    found = guarded(bad(spoil))
    conversation = Conversation(1, lambda _side, _first: found(), Mask(), failed=failures.append)
    parts = [
        *conversation.feed(Said(0, 1, C, b"good\nba")),
        *conversation.feed(Said(1, 1, C, b"d\n")),
        *conversation.feed(Said(2, 1, S, b"more\n")),
        *conversation.end(3),
    ]
    frames = [one.frame for one in parts if isinstance(one, Decoded)]
    assert b"".join(frame.data for frame in frames) == b"good\nbad\nmore\n"
    first, *rest = [frame.kind for frame in frames]
    assert (first, {*rest}) == (FrameKind.REQUEST, {FrameKind.RAW})
    assert [type(error) for error in failures] == [CodecError]


def test_a_codec_that_keeps_everything_is_stopped() -> None:
    codec = guarded(type("Keeps", (Lines,), {"name": "keeps", "feed": lambda *_, **__: iter(())}))(max_frame=1000)
    with pytest.raises(CodecError, match="it keeps"):
        codec.feed(C, b"x" * 100_000)


def test_a_codec_that_forgets_the_end_is_found() -> None:
    codec = guarded(type("Forgets", (Lines,), {"name": "forgets", "end": lambda *_: iter(())}))()
    assert not [*codec.feed(C, b"rest")]
    with pytest.raises(CodecError, match="lost the last 4 bytes"):
        codec.end(C)


def test_what_wrap_raises_is_an_error_of_the_codec() -> None:
    codec = guarded(type("Wraps", (Lines,), {"name": "wraps", "wrap": lambda *_: divide(Frame(C, b"", b""))}))()
    with pytest.raises(CodecError, match="ZeroDivisionError"):
        codec.wrap({}, b"")
