"""The keys of a console for `connect --raw-keys`: each is sent at once and not shown; Ctrl+] ends."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from threading import Thread

from pipectl.core.win32.consoles import raw_keys

from . import UsageError

_END = "\x1d"  # Ctrl+], as in telnet
# Seconds to send what was typed before the end.
_MOMENT = 0.5


@contextmanager
def keys(encoding: str, stop: Callable[[], None]) -> Iterator[Iterator[bytes | None]]:
    """Yield an iterator over what is typed, which ends with None; the console's mode is restored at the end.

    A thread reads the keys, so that Ctrl+] also ends a session that cannot send; the thread then calls `stop`. Raises
    UsageError without a console.
    """
    typed: SimpleQueue[str | None] = SimpleQueue()
    with ExitStack() as stack:
        try:
            read = stack.enter_context(raw_keys(sys.stdin, sys.stdout))
        except OSError as error:
            raise UsageError("`--raw-keys` needs a Windows console", "In Git Bash, run `winpty pipectl ...`") from error
        Thread(target=_read_all, args=(read, typed, stop), name="Keys", daemon=True).start()
        yield _pieces(typed, encoding)


def _pieces(typed: "SimpleQueue[str | None]", encoding: str) -> Iterator[bytes | None]:
    while (text := typed.get()) is not None:
        if text:
            yield text.encode(encoding, "replace")
    yield None


def _read_all(read: Callable[[], str], typed: "SimpleQueue[str | None]", stop: Callable[[], None]) -> None:
    with suppress(OSError):  # there is no console any more
        while _END not in (text := read()):
            typed.put(text)
        typed.put(text.partition(_END)[0])
    typed.put(None)
    time.sleep(_MOMENT)
    stop()
