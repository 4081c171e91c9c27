"""The child processes that tests start, and a handle to one of them."""

import sys

from pipectl.core.constants import Access
from pipectl.core.win32 import winapi
from pipectl.core.win32.handle import Handle
from pipectl.core.win32.processes import ProcessAccess

MEGABYTES = 10_000_000

ECHO = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
# Reports that it runs, and stays until its stdin ends.
STAY = "import sys; print('here', flush=True); sys.stdin.read()"


# Ends the child after a minute, so that a test that waits for it in vain ends, too.
WATCHDOG = "import faulthandler; faulthandler.dump_traceback_later(60, exit=True, file=open('nul', 'w'))\n"


def python(program: str, *arguments: str) -> list[str]:
    """Return the command that runs a Python program, unbuffered."""
    return [sys.executable, "-S", "-u", "-c", WATCHDOG + program, *arguments]


def process(pid: int) -> Handle:
    """Return a handle that is signaled when the process has ended."""
    return Handle(winapi.OpenProcess(Access.SYNCHRONIZE | ProcessAccess.QUERY_LIMITED_INFORMATION, False, pid))
