"""Reads the content of a path, which may name a file, a console, a device or a pipe."""

import io
import os

from pipectl.core.constants import Access, FileFlags, ShareMode
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeTimeoutError

from .blocking import run_brief
from .calls import create_file


def read_whole(path: str, timeout: float | None = None) -> bytes:
    """Return all that a file holds, or that comes until a pipe or a device ends.

    Whoever serves a pipe of that name learns who reads, and cannot act as them. Raises PipeTimeoutError when the time
    is up, and PipeError or OSError for what cannot be opened or read.
    """
    try:
        return run_brief(lambda: _read(path), Deadline(timeout))
    except PipeTimeoutError as error:
        raise PipeTimeoutError(error.reason, code=error.code, subject=path) from None


def _read(path: str) -> bytes:
    import msvcrt

    # For a file the limit on impersonation means nothing; but a link may lead to a pipe, whatever its name.
    share = ShareMode.READ | ShareMode.WRITE | ShareMode.DELETE
    with create_file(path, Access.GENERIC_READ, share=share, flags=FileFlags.NONE) as handle:
        descriptor = msvcrt.open_osfhandle(handle.value, os.O_RDONLY | os.O_BINARY)
        handle.detach()  # the descriptor owns it from here on
    with io.FileIO(descriptor) as file:
        return file.readall()
