"""Formats a recording as one page of HTML: both sides next to each other, with times, and a search field.

The page loads nothing, and its policy allows only its own script, by its hash: what peers have sent is only text.
"""

from collections.abc import Iterable, Iterator

from pipectl.core.codecs.base import FrameKind
from pipectl.core.names import escape
from pipectl.core.recording.conversation import Decoded, Part
from pipectl.core.recording.recording import Closed, Header, Opened, Said

from .frames import FrameView, Story, Wanted, short_time
from .text import for_person, size_in_words

# The most bytes of a body that the page shows.
_MOST = 64 << 10
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})

_SCRIPT = """
const all=[...document.querySelectorAll('main>*')],q=document.getElementById('q'),c=document.getElementById('c'),
n=document.getElementById('n');
function look(){const w=q.value.toLowerCase();let k=0;for(const e of all){e.hidden=(c.value&&e.dataset.c!==c.value)||
(w&&!(e.t??=e.textContent.toLowerCase()).includes(w));k+=!e.hidden}n.textContent=k+' of '+all.length}
for(const v of new Set(all.map(e=>e.dataset.c)))c.add(new Option('client #'+v,v));
document.getElementById('o').onclick=()=>{const d=document.querySelectorAll('details'),s=![...d].some(e=>e.open);
d.forEach(e=>e.open=s)};
q.oninput=c.onchange=look;look()
"""
# The hash of the script, by `openssl dgst -sha256 -binary | base64`; a test compares it.
SCRIPT_HASH = "sha256-+A+TtGsAgMAYmr9Mv1hEkFq8vvJ4MKEv/VWAqOn6LJ0="

_STYLE = """
:root{color-scheme:light dark}
body{font:14px/1.4 system-ui,sans-serif;margin:0}
header{position:sticky;top:0;background:Canvas;padding:.6em 1em;border-bottom:1px solid #8886;z-index:1}
h1{font-size:1.1em;margin:0 0 .3em}header p{margin:.2em 0;color:GrayText}
input{width:22em;max-width:50%}
main{padding:.5em 1em}main>*{margin:.2em 0;padding:.2em .5em;border-radius:4px}
main>p{text-align:center;color:GrayText}
details{width:47%;border-left:4px solid #48a;background:#48a2}
.server{margin-left:auto!important;border-color:#4a6;background:#4a62}
.bad,.error{border-color:#c44;background:#c442}
summary{display:flex;gap:.8em;cursor:pointer}summary b{flex:1;font-weight:normal;overflow-wrap:anywhere}
time,small,i{color:GrayText;white-space:nowrap;font-style:normal;font-variant-numeric:tabular-nums}
pre{margin:.3em 0;overflow:auto;max-height:30em;font:12px/1.35 ui-monospace,Consolas,monospace}
[hidden]{display:none}
"""


def page(header: Header, parts: Iterable[Part]) -> Iterator[str]:
    """Yield the page, piece by piece."""
    title = _text(f"{header.pipe or 'bytes'}{f' -> {header.target}' if header.target else ''}")
    kind = "message" if header.is_message else "byte"
    facts = _text(
        f"{kind} pipe, codec {header.codec}, recorded {header.started or 'at an unknown time'} by {header.by}"
    )
    policy = f"default-src 'none';style-src 'unsafe-inline';script-src '{SCRIPT_HASH}'"
    yield (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><title>{title}</title><style>{_STYLE}</style>\n<header><h1>{title}</h1><p>{facts}</p>'
        f'<input id="q" type="search" placeholder="Search" autofocus> <select id="c"><option value="">all clients'
        f'</option></select> <button id="o">Open or close all</button> <small id="n"></small></header>\n<main>\n'
    )
    story = Story(FrameView(), Wanted(), is_message=header.is_message)
    for part in parts:
        shown = story.shown(part)
        match part:
            case Decoded():
                yield _frame(part)
            case Opened() | Closed() | Said(is_end=True) if shown is not None:
                yield f'<p data-c="{part.client}">{_text(shown.line())}</p>\n'
    yield f"</main>\n<script>{_SCRIPT}</script></html>\n"


def _frame(one: Decoded) -> str:
    frame = one.frame
    line = FrameView().what(one)
    after = "" if one.seconds is None else f" (+{short_time(one.seconds)})"
    body = frame.body or frame.data
    more = f"\n... {len(body) - _MOST:,} more bytes" if len(body) > _MOST else ""
    kind = f" {frame.kind.value}" if frame.kind in (FrameKind.BAD, FrameKind.ERROR) else ""
    return (
        f'<details class="{frame.side.value}{kind}" data-c="{one.client}"><summary><i>#{one.client}</i>'
        f"<time>{one.t:.3f}{after}</time><b>{_text(line)}</b><small>{size_in_words(len(frame.data))}</small></summary>"
        f"<pre>{(for_person(body[:_MOST], 'auto', 'utf-8') + more).translate(_ENTITIES)}</pre></details>\n"
    )


def _text(text: str) -> str:
    return escape(text).translate(_ENTITIES)
