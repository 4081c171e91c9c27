"""A replacement for pywin32's module `win32pipe`, and for what a pipe program uses from other pywin32 modules.

A program written against pywin32 changes its imports and nothing else:

    import pipectl.core.win32pipe as win32pipe
    import pipectl.core.win32pipe as win32file   # and win32event, win32con, win32security, winerror, pywintypes

Names, order of arguments, results and errors are pywin32's: arguments have no keywords, codes such as ERROR_IO_PENDING
and ERROR_MORE_DATA are returned where pywin32 returns them, numbers are signed where it signs them, and failures raise
`error`. docs/win32.md lists what differs. New programs are better served by `pipectl.connect` and `pipectl.PipeServer`.
"""

from pipectl.core.children.files import popen, popen2, popen3, popen4

from . import constants, functions
from .constants import *
from .functions import *
from .objects import HANDLE, OVERLAPPED, SECURITY_ATTRIBUTES, SECURITY_DESCRIPTOR, error

HANDLEType = HANDLE
OVERLAPPEDType = OVERLAPPED
SECURITY_ATTRIBUTESType = SECURITY_ATTRIBUTES
SECURITY_DESCRIPTORType = SECURITY_DESCRIPTOR

__all__ = [
    "HANDLE",
    "OVERLAPPED",
    "SECURITY_ATTRIBUTES",
    "SECURITY_DESCRIPTOR",
    "HANDLEType",
    "OVERLAPPEDType",
    "SECURITY_ATTRIBUTESType",
    "SECURITY_DESCRIPTORType",
    "error",
    "popen",
    "popen2",
    "popen3",
    "popen4",
]
__all__ += functions.__all__
__all__ += constants.__all__
