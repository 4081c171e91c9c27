"""A pipectl that a test can give Ctrl+C."""

import sys
import time

from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import connect_named_pipe
from tests.runner import Result, Running

# pipectl, and a thread that gives it Ctrl+C when the test closes a pipe: a signal from outside needs a console.
_PROGRAM = """
import signal, sys, threading, time
from contextlib import suppress
from pipectl.cli import cli
from pipectl.core.pipe.connection import connect
from pipectl.core.errors import PipeClosedError
from pipectl.core.win32.handle import heed_break

begun = []

def interrupt(trigger):
    with trigger, suppress(PipeClosedError):
        trigger.receive()
    begun.append(time.perf_counter())
    HOW

threading.Thread(target=interrupt, args=[connect(sys.argv[1])]).start()
try:
    cli(sys.argv[2:], prog_name="pipectl")
finally:
    print(time.perf_counter() - begun[0], file=sys.stderr)
"""


class Interruptible(Running):
    """A pipectl that the test can interrupt."""

    def __init__(self, pipe: str, *arguments: str, how: str = "signal.raise_signal(signal.SIGINT)") -> None:
        self._trigger = create_named_pipe(f"{pipe}-trigger")
        super().__init__([sys.executable, "-c", _PROGRAM.replace("HOW", how), f"{pipe}-trigger", *arguments])
        connect_named_pipe(self._trigger, 30)

    def interrupt(self) -> Result:
        """Give it Ctrl+C, see that it ends soon, and how, and give what it left."""
        begun = time.perf_counter()
        self._trigger.close()
        result = self.end()
        assert result.exit_code == 130
        assert time.perf_counter() - begun < 2  # also the interpreter's own end waits for nothing
        assert "Traceback" not in result.stderr
        *talk, seconds = result.stderr.splitlines(keepends=True)
        assert float(seconds) < 0.2
        return result._replace(stderr="".join(talk))

    def kill(self) -> None:
        self._trigger.close()
        super().kill()
