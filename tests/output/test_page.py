"""The page of a recording: whole, self-contained, and deaf to what peers have sent."""

import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from pipectl.core.codecs import codec_class
from pipectl.core.codecs.base import Side
from pipectl.core.recording.conversation import Conversations, Mask
from pipectl.core.recording.recording import Closed, Event, Header, Opened, Recording, Said
from pipectl.output import page

HEADER = Header(r"\\.\pipe\svc-tap", r"\\.\pipe\svc", True, "lines", "2026-11-26T10:00:00Z")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EVIL = b"</pre><script>document.title='owned'</script><img src=x onerror=\"alert()\"> & \x1b[31m \xe2\x80\xae"
EVENTS: tuple[Event, ...] = (
    Opened(0, 1, {"pid": 7, "image": r"C:\app\<b>.exe"}),
    Said(0.001, 1, Side.CLIENT, b"ping\n"),
    Said(0.002, 1, Side.SERVER, b"pong\n"),
    Opened(0.003, 2),
    Said(0.004, 2, Side.CLIENT, EVIL + b"\n"),
    Said(0.005, 2, Side.SERVER, b"\x00\xff\n"),
    Said(0.006, 1, Side.CLIENT, b"", is_end=True),
    Closed(0.007, 1, "client"),
    Closed(0.008, 2, "server", 109, "broken <i>"),
)


def written(*events: Event) -> str:
    conversations = Conversations(lambda _side, _first: codec_class("lines")(), Mask())
    return "".join(page.page(HEADER, conversations.replay(Recording(HEADER, events))))


def test_the_hash_of_the_script_is_that_of_the_policy() -> None:
    found = re.search(r"<script>(.*?)</script>", written(), re.DOTALL)
    assert found
    computed = b64encode(sha256(found[1].encode()).digest()).decode()
    assert f"sha256-{computed}" == page.SCRIPT_HASH
    assert f"script-src '{page.SCRIPT_HASH}'" in written()


def test_both_sides_are_there_with_times_and_who() -> None:
    text = written(*EVENTS)
    assert text.count('<details class="client"') == 2
    assert text.count('<details class="server"') == 2
    assert 'data-c="1"><summary><i>#1</i><time>0.002 (+1.0ms)</time><b>pong</b>' in text
    assert "pid 7, &lt;b&gt;.exe" in text
    assert "end of data" in text
    assert "closed by the server" in text


def test_it_loads_nothing() -> None:
    text = written(*EVENTS[:3])
    assert "default-src 'none'" in text
    assert not re.search(r"\bsrc=|\bhref=|@import|url\(|https?:", text)


def test_what_peers_have_sent_is_text() -> None:
    text = written(*EVENTS)
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_long_body_is_cut_and_says_so() -> None:
    text = written(Said(0, 1, Side.CLIENT, b"x" * 100_000 + b"\n"))
    assert "... 34,464 more bytes" in text
    assert len(text) < 80_000


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_it_and_counts_what_is_found(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    # As if somebody had typed: the script reads the field when it begins.
    file.write_text(written(*EVENTS).replace('placeholder="Search"', 'value="PONG"'), encoding="utf-8")
    line = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", file.as_uri()]
    shown = subprocess.run(line, capture_output=True, timeout=60, check=True).stdout.decode()
    assert '<small id="n">1 of 9</small>' in shown
    assert shown.count('hidden=""') == 8
    assert '<option value="2">client #2</option>' in shown
    assert "<title>\\\\.\\pipe\\svc-tap" in shown
