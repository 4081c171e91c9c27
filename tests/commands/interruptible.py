"""A pipectl process that a test can interrupt with Ctrl+C, once or several times."""

import sys
import time

from pipectl.core.win32.calls import create_named_pipe
from tests.pipes import connect_named_pipe, write_file
from tests.runner import Result, Running

# pipectl, with a thread that raises Ctrl+C as often as the test requests: a signal from outside needs a console. The
# signals are a millisecond apart. At its end, it writes the elapsed time to stderr.
_PROGRAM = """
import os, signal, sys, threading, time
from contextlib import suppress
from pipectl.cli import main
from pipectl.core.pipe.connection import connect
from pipectl.core.errors import PipeClosedError
from pipectl.core.win32.handle import handle_break

begun = []
end = os._exit

def interrupt(trigger):
    with trigger, suppress(PipeClosedError):
        times = int(trigger.receive())
        while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            time.sleep(0.001)  # before `main` it is `__main__` that takes it
        for _ in range(times):
            begun.append(time.perf_counter())
            HOW
            time.sleep(0.001)

def tell():
    print(time.perf_counter() - begun[0], file=sys.stderr, flush=True)

def tell_and_end(code):
    tell()
    end(code)

threading.Thread(target=interrupt, args=[connect(sys.argv.pop(1))], daemon=True).start()
os._exit = tell_and_end
try:
    main()
finally:
    tell()
"""


class Interruptible(Running):
    """A pipectl process that the test can interrupt."""

    def __init__(self, pipe: str, *arguments: str, how: str = "signal.raise_signal(signal.SIGINT)") -> None:
        self._trigger = create_named_pipe(f"{pipe}-trigger")
        super().__init__([sys.executable, "-c", _PROGRAM.replace("HOW", how), f"{pipe}-trigger", *arguments])
        connect_named_pipe(self._trigger, 30)

    def interrupt(self, times: int = 1, within: float = 0.2) -> Result:
        """Send Ctrl+C, check the time and the exit code of its exit, and return its result."""
        begun = time.perf_counter()
        write_file(self._trigger, b"%d" % times)
        result = self.end()
        self._trigger.close()
        assert result.exit_code == 130, result
        assert time.perf_counter() - begun < within + 2  # the interpreter's own exit does not wait, either
        assert "Traceback" not in result.stderr
        assert "Exception ignored" not in result.stderr
        *talk, seconds = result.stderr.splitlines(keepends=True)
        assert float(seconds) < within
        return result._replace(stderr="".join(talk))

    def kill(self) -> None:
        self._trigger.close()
        super().kill()
