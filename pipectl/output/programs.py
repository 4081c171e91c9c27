"""Passes on the output of a program as it arrives: bytes to files, text to a terminal, lines as JSON."""

from typing import Any

from pipectl.core.children.search import batch_file, is_program
from pipectl.core.children.text import ProgramText

from . import Output
from .text import for_json, json_line

# The longest unfinished line, in bytes, that JSON waits for.
_LONGEST_LINE = 64 << 10


class ProgramOutput:
    """Passes on the stdout and stderr of a program; each stream may be written from a thread of its own.

    A terminal and JSON get text: in `encoding`, or else a terminal in UTF-8 or the console's code page, JSON in UTF-8.
    """

    def __init__(self, output: Output, encoding: str | None = None) -> None:
        self._output = output
        self._encoding = encoding
        self._streams = {"stdout": output.stream, "stderr": output.stderr}
        self._texts = {name: ProgramText(encoding) for name, stream in self._streams.items() if stream.is_terminal}
        self._begun = {"stdout": b"", "stderr": b""}

    def write(self, name: str, data: bytes) -> None:
        """Pass on the next piece of `stdout` or `stderr` at once; as JSON, only whole lines."""
        if self._output.is_json:
            self._write_lines(name, self._begun[name] + data)
        else:
            text = self._texts.get(name)
            self._streams[name].write(data if text is None else text.decode(data))

    def finish(self, **end: Any) -> None:
        """Pass on the rest when the program has ended; JSON also has an event with how it ended."""
        if not self._output.is_json:
            for name, text in self._texts.items():
                self._streams[name].write(text.decode(b"", is_last=True))
            return
        for name, rest in self._begun.items():
            self._write_event(name, rest)
        self._output.stream.write(json_line({"event": "exit", **end}))

    def _write_lines(self, name: str, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if len(data) - end > _LONGEST_LINE:
            end = len(data)
        self._begun[name] = data[end:]
        self._write_event(name, data[:end])

    def _write_event(self, name: str, data: bytes) -> None:
        if data:
            self._output.stream.write(json_line({"event": name, "data": for_json(data, self._encoding or "utf-8")}))


def warn_if_missing(output: Output, program: str) -> None:
    """Warn if there is no such program, and suggest a batch file of that name, if there is one."""
    if is_program(program):
        return
    batch = batch_file(program)
    output.warning(f"`{program}` is not found" + (f"; a batch file needs its ending: `{batch}`" if batch else ""))
