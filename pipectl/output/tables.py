"""Draws on a terminal: tables, a status line, colored messages. The only module that imports rich."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Literal, TextIO, cast

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from .text import column_lines

# Seconds between two updates of the status line.
_REDRAW = 0.1
# The least columns for values beside their labels; if there are fewer, values are drawn below their labels.
_LEAST = 30


class Screen:
    """The terminals behind stdout and stderr; those of MSYS, which are pipes, must be marked.

    `color` is `auto`, `always` or `never`; `auto` depends on the terminal, and NO_COLOR.
    """

    def __init__(self, stdout_is_msys: bool = False, stderr_is_msys: bool = False, color: str = "auto") -> None:
        self._color = color
        self._is_msys = {False: stdout_is_msys, True: stderr_is_msys}
        self._consoles: dict[bool, Console] = {}
        self._live: Live | None = None
        self._progress = ""
        self._redraw: Timer | None = None

    def print_message(self, text: str, label: str, style: str) -> None:
        """Print a message of the program on stderr, with a colored label or in color."""
        line = Text.assemble((f"{label}: ", style), text) if label else Text(text, style)
        self._console(to_stderr=True).print(line, soft_wrap=True)

    @property
    def is_live(self) -> bool:
        """Whether there is a status line."""
        return self._live is not None

    def print_above(self, line: str) -> None:
        """Print a line of data above the status line."""
        if self._live is not None:
            self._live.console.print(line, soft_wrap=True)

    def draw_fields(self, fields: Sequence[Sequence[str]]) -> None:
        """Draw labels and values, one per line. Values are wrapped only by the terminal, so that they copy whole."""
        console = self._console(to_stderr=False)
        width = max((len(label) for label, _ in fields), default=0) + 2
        for label, value in fields:
            if width + _LEAST <= console.width:
                console.print(Text.assemble((label.ljust(width), "cyan"), value), soft_wrap=True)
                continue
            if label:
                console.print(Text(label, "cyan"), soft_wrap=True)
            console.print(Text(f"  {value}"), soft_wrap=True)

    def draw_rows(self, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
        """Draw rows below their heads."""
        console = self._console(to_stderr=False)
        if title:
            console.print(Text(title, "italic"), soft_wrap=True)
        head, *lines = column_lines([heads, *rows])
        if max(map(cell_len, [head, *lines])) > console.width:  # the widest column may wrap at the end
            widths = [max(map(cell_len, column)) for column in zip(heads, *rows, strict=True)]
            widest = widths.index(max(widths))
            head, *lines = column_lines([[*row[:widest], *row[widest + 1 :], row[widest]] for row in [heads, *rows]])
        console.print(Text(head, "bold"), soft_wrap=True)
        for line in lines:
            console.print(Text(line), soft_wrap=True)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep a status line for `progress`. It is drawn only when it has changed, so that waiting costs nothing."""
        with Live(console=self._console(to_stderr=True), auto_refresh=False, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def progress(self, text: str) -> None:
        """Change the status line, which is drawn at most ten times a second; the last text is always drawn."""
        self._progress = text
        if self._redraw is None:
            self._redraw = Timer(_REDRAW, self._draw_progress)
            self._redraw.daemon = True
            self._redraw.start()

    def _draw_progress(self) -> None:
        self._redraw = None
        if (live := self._live) is not None:
            live.update(Text(self._progress, style="dim"), refresh=True)

    def _console(self, *, to_stderr: bool) -> Console:
        if to_stderr not in self._consoles:
            self._consoles[to_stderr] = _console(
                to_stderr=to_stderr, is_msys=self._is_msys[to_stderr], color=self._color
            )
        return self._consoles[to_stderr]


def _console(*, to_stderr: bool, is_msys: bool, color: str) -> Console:
    """Return the console of a stream; rich checks Windows terminal features only on stdout, which may be a file."""
    stream = cast("TextIO", sys.stderr if to_stderr else sys.stdout)
    if is_msys:
        stream.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[attr-defined]
    is_forced = color == "always"
    knows_colors = is_msys or takes_escapes(stream) or is_forced
    colors: Literal["auto", "standard"] | None = None if color == "never" else "standard" if is_forced else "auto"
    return Console(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        color_system=colors,
        no_color=False if is_forced else None,
        force_terminal=True if is_msys or is_forced else None,
        legacy_windows=False if knows_colors else None,
    )


def takes_escapes(stream: TextIO) -> bool:
    """Enable escape sequences on the console behind a stream; return whether it supports them."""
    if sys.platform != "win32":
        return True
    from pipectl.core.win32.consoles import obey_escapes

    return obey_escapes(stream)
