"""What a person sees on a terminal: tables, a line at the bottom, colored talk. The only file that knows rich."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

# Seconds between two drawings of the line at the bottom.
_REDRAW = 0.1


class Screen:
    """The terminal behind stdout and stderr."""

    def __init__(self) -> None:
        self._consoles: dict[bool, Console] = {}
        self._live: Live | None = None
        self._progress = ""
        self._redraw: Timer | None = None

    def talk(self, text: str, label: str, style: str) -> None:
        """Print a text of the program on stderr, with a colored label or in color."""
        line = Text.assemble((f"{label}: ", style), text) if label else Text(text, style)
        self._console(to_stderr=True).print(line, soft_wrap=True)

    @property
    def is_live(self) -> bool:
        """Whether a line stays at the bottom."""
        return self._live is not None

    def print_above(self, line: str) -> None:
        """Print a line of data above the one that stays at the bottom."""
        if self._live is not None:
            self._live.console.print(line, soft_wrap=True)

    def draw_fields(self, fields: Iterable[Sequence[str]], *, to_stderr: bool = False) -> None:
        """Draw labels and words, a line each."""
        table = _table(None)
        table.show_header = False
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for label, value in fields:
            table.add_row(label, value)
        self._console(to_stderr=to_stderr).print(table)

    def draw_rows(self, heads: Iterable[str], rows: Iterable[Iterable[str]], title: str | None) -> None:
        """Draw a table with a head."""
        table = _table(title)
        for head in heads:
            table.add_column(head, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._console(to_stderr=False).print(table)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep a line at the bottom for `progress`. It is drawn only when it changed, so that waiting costs nothing."""
        with Live(console=self._console(to_stderr=True), auto_refresh=False, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def progress(self, text: str) -> None:
        """Change the line at the bottom; drawn at most ten times a second, the last text always."""
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
            self._consoles[to_stderr] = Console(stderr=to_stderr, markup=False, emoji=False, highlight=False)
        return self._consoles[to_stderr]


def _table(title: str | None) -> Table:
    return Table(title=Text(title) if title else None, title_justify="left", box=box.ROUNDED, header_style="bold")
