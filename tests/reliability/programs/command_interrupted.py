"""Ctrl+C at each point of a command line, and again at every point after it, up to the end of the process.

`command_interrupted.py PIPE STRIDE` prints how many points it has tested; with a stride of 7, every seventh. A profile
function raises the first signal and a trace function the others; `interrupted.py` describes the points.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pipectl.cli
from pipectl import PipeServer

OURS = __file__
# A wait that a signal interrupts starts again recursively.
MOST = 500


class LeftError(BaseException):
    """The process would have ended here, with this exit code."""


def leave(code: int) -> None:
    sys.setprofile(None)
    sys.settrace(None)
    raise LeftError(code)


def nothing(*_: object) -> None:
    pass


class CtrlC:
    """Raises SIGINT at the point `first`, and at each call of a Python function after it, up to MOST."""

    def __init__(self, first: int) -> None:
        self._left = first
        self.came = 0

    def profile(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename != OURS:
            self._left -= 1
            if not self._left:
                self.came = 1
                sys.setprofile(None)
                sys.settrace(self._trace)
                signal.raise_signal(signal.SIGINT)

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and self.came < MOST and frame.f_code.co_filename != OURS:
            self.came += 1
            signal.raise_signal(signal.SIGINT)


def run(arguments: Sequence[str], ctrl_c: CtrlC | None) -> tuple[int, str, str]:
    """Run a command line like a process; return the exit code, stdout and stderr."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    ours = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams
    sys.argv = ["pipectl", *arguments]
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # like `__main__`
    try:
        if ctrl_c is not None:
            sys.setprofile(ctrl_c.profile)
        pipectl.cli.main()
    except (LeftError, SystemExit) as left:
        code = left.args[0]
    finally:
        sys.setprofile(None)
        sys.settrace(None)
        sys.stdout, sys.stderr = ours
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in streams)
    return code, stdout, stderr


def at_each_point(stride: int, expected: int, *arguments: str) -> int:
    """Run a command line with Ctrl+C at each point, until it ends before the point; return the number of points."""
    whole = run(arguments, None)  # imports everything
    assert whole[0] == expected, whole
    first = tried = 0
    while True:
        first += stride
        ctrl_c = CtrlC(first)
        code, stdout, stderr = run(arguments, ctrl_c)
        if not ctrl_c.came:
            assert (code, stdout) == whole[:2]
            return tried
        tried += 1
        told = (arguments, first, ctrl_c.came, code, stdout, stderr)
        assert code == 130, told
        assert stdout in ("", whole[1]), told
        assert "Traceback" not in stderr, told
        assert "ignored" not in stderr, told
        assert "unexpected" not in stderr, told


def main(pipe: str, stride: int) -> None:
    os._exit = leave  # type: ignore[assignment]
    # These threads would affect a later run in this process.
    pipectl.cli._end_late = nothing
    pipectl.cli._Interrupts._repeat = nothing  # type: ignore[method-assign, assignment]
    with PipeServer(pipe, lambda _client, data: data):
        lines: list[tuple[int, list[str]]] = [
            (0, ["call", pipe, "ping"]),
            (0, ["call", pipe, "ping", "--until", "idle:0.001", "-v"]),
            (6, ["peek", pipe, "--timeout", "0.001"]),
            (2, ["call", pipe, "--until", "nonsense"]),
            (0, ["serve", f"{pipe}-served", "--idle-timeout", "0"]),
        ]
        tried = [at_each_point(stride, expected, *line) for expected, line in lines]
        # The search for similar names walks through the handles of all processes, which is slow: test fewer points.
        tried += [at_each_point(17 * stride, 3, "call", f"{pipe}-absent", "ping", "--json")]
    sys.stdout.write(" + ".join(map(str, tried)))


main(sys.argv[1], int(sys.argv[2]))
