"""Reads the content of a path, which may be a file, a console, a device or a pipe, and creates private files."""

import errno
import io
import os
import stat

from pipectl.core.constants import Access, Disposition, FileFlags, ShareMode
from pipectl.core.deadline import Deadline
from pipectl.core.errors import PipeError, PipeTimeoutError

from . import winapi
from .blocking import run_brief
from .calls import create_file

_ERROR_FILE_EXISTS = 80


def read_whole(path: str, timeout: float | None = None) -> bytes:
    """Return the content of a file, or all data until the end of a pipe or a device.

    The server of a pipe can identify the reader, but not impersonate it. Raises PipeTimeoutError on a timeout, and
    PipeError or OSError if the path cannot be opened or read.
    """
    try:
        return run_brief(lambda: _read(path), Deadline(timeout))
    except PipeTimeoutError as error:
        raise PipeTimeoutError(error.reason, code=error.code, subject=path) from None


def _read(path: str) -> bytes:
    import msvcrt

    # The limit on impersonation has no effect on a file, but any name can be a link to a pipe.
    share = ShareMode.READ | ShareMode.WRITE | ShareMode.DELETE
    with create_file(path, Access.GENERIC_READ, share=share, flags=FileFlags.NONE) as handle:
        descriptor = msvcrt.open_osfhandle(handle.value, os.O_RDONLY | os.O_BINARY)
        handle.detach()  # the descriptor owns it from here on
    with io.FileIO(descriptor) as file:
        return file.readall()


def create_private(path: str, security: winapi.SECURITY_ATTRIBUTES, *, appends: bool = False) -> io.FileIO:
    """Create a file with a security descriptor, or with `appends` also open an existing one; others may read it.

    Does not write through a link: links of any kind, pipes and devices are rejected. Raises FileExistsError without
    `appends`, and OSError.
    """
    import msvcrt

    disposition = Disposition.OPEN_ALWAYS if appends else Disposition.CREATE_NEW
    try:
        handle = create_file(
            path,
            Access.FILE_GENERIC_WRITE | Access.FILE_READ_ATTRIBUTES,
            share=ShareMode.READ,
            security=security,
            disposition=disposition,
            flags=FileFlags.OPEN_REPARSE_POINT,
        )
    except PipeError as error:
        if error.code == _ERROR_FILE_EXISTS:
            raise FileExistsError(errno.EEXIST, error.reason, path) from None
        raise
    with handle:
        descriptor = msvcrt.open_osfhandle(handle.value, os.O_WRONLY | os.O_BINARY | os.O_APPEND)
        handle.detach()
    file = io.FileIO(descriptor, "w")
    try:
        found = os.fstat(descriptor)
        is_link = found.st_nlink > 1 or bool(found.st_file_attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT)
        if is_link or not stat.S_ISREG(found.st_mode):
            what = "a link" if is_link else "not a file"
            raise OSError(errno.EINVAL, f"it is {what}, and is not written to", path)
        os.lseek(descriptor, 0, os.SEEK_END)
    except BaseException:
        file.close()
        raise
    return file
