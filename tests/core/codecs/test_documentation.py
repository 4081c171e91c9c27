"""docs/codecs.md: the table has every codec, and the example is a codec that keeps its promises."""

import re
from pathlib import Path

import pytest

from pipectl.core.codecs import CODECS
from pipectl.core.codecs.base import FrameKind
from pipectl.core.codecs.plugins import find
from pipectl.testing import check_codec

from .talks import C, S, decoded, secrets_of

TEXT = (Path(__file__).parents[3] / "docs" / "codecs.md").read_text(encoding="utf-8")
EXAMPLE, CHECK = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def name(tmp_path: Path) -> str:
    """What `--codec` is given for the example."""
    path = tmp_path / "meter.py"
    path.write_text(EXAMPLE, encoding="utf-8")
    return f"{path}:Meter"


def test_the_table_has_every_codec() -> None:
    assert re.findall(r"^\| `([\w-]+)` \| [^|]+\| [^|]*\| [^|]+\|$", TEXT, re.MULTILINE) == [*CODECS]


def test_the_example_decodes_its_protocol(name: str) -> None:
    status, set_it, reply = bytes.fromhex("00020107"), bytes.fromhex("00040208abcd"), bytes.fromhex("000481072a00")
    frames = decoded(find(name)(), (C, status + set_it), (S, reply))
    assert [(frame.kind, frame.summary, frame.ident) for frame in frames] == [
        (FrameKind.REQUEST, "status", "7"),
        (FrameKind.REQUEST, "set abcd", "8"),
        (FrameKind.REPLY, "status is 2a00", "7"),
    ]
    assert [secrets_of(frame) for frame in frames] == [[], [b"\xab\xcd"], []]


def test_the_check_of_the_example_passes(name: str) -> None:
    calls: list[object] = []

    def check(codec: object, samples: list[bytes]) -> None:
        calls.append(codec)
        check_codec(find(name), samples, timing=False)

    exec(CHECK.replace("from pipectl.testing import check_codec", ""), {"check_codec": check, "Meter": None})
    assert calls == [None]
