"""`error`, which is pywin32's own class if pywin32 is installed, and access to pywin32's own modules.

A program that catches `pywintypes.error` catches a class, whatever its name. So there must be only one class: pywin32's
if it is installed, so that the program catches the errors of both. pywin32 is looked up when the first call fails or
when the program uses `error`, usually in an `except` clause that is never reached.
"""

import sys
from collections.abc import Callable
from ctypes import get_last_error
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

from pipectl.core.win32 import winapi

# ctypes' message for a code for which the system has none.
_NO_TEXT = "<no description>"

_loading = RLock()


class error(Exception):
    """A Win32 call that failed: `args` are the code, the function's name and the system's message for the code.

    If CallNamedPipe fails with ERROR_MORE_DATA, `data` is the part that was read.
    """

    winerror: int
    funcname: str
    strerror: str
    data: bytes

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.winerror, self.funcname, self.strerror = (*args, None, None, None)[:3]

    def __reduce__(self) -> tuple[Any, ...]:
        return _error, self.args, self.__dict__


# The module that tracebacks show for pywin32's class.
error.__module__ = "pywintypes"


def _error(*args: Any) -> Exception:
    """Create an error that was pickled, possibly by a process with pywin32."""
    return error_type()(*args)


@cache
def error_type() -> type[error]:
    """Return the class that failures raise: pywin32's, or `error` of this module without pywin32."""
    types = pywin32_types()
    return error if types is None else types.error


def api_error(code: int, function: str, _arguments: tuple[Any, ...] = ()) -> error:
    """Return the error for a code of a Win32 function; like pywin32, use the function's name without W."""
    text = winapi.format_error(code)
    signed = code if code < 0x8000_0000 else code - 0x1_0000_0000
    return error_type()(
        signed, function.removesuffix("W"), text if text != _NO_TEXT else "No error message is available"
    )


def raising(function: Callable[..., Any]) -> Callable[..., int]:
    """Return a function of `winapi` that raises `error` instead of PipeError."""
    return winapi.raising(api_error, function)


def failed(function: str, *results: int) -> int:
    """Return the error code of the last call if it is one of `results`; otherwise raise `error`."""
    code = get_last_error()
    if code in results:
        return code
    raise api_error(code, function)


def pywin32_module(name: str) -> ModuleType | None:
    """Return pywin32's own module, even if another is registered under its name; None without pywin32."""
    with _loading:  # otherwise, another thread could find the registered module before it is complete
        return _pywin32_module(name)


@cache
def _pywin32_module(name: str) -> ModuleType | None:
    registered = sys.modules.get(name)
    if type(registered) is ModuleType and registered.__name__ == name:  # neither this package nor a `_StandIn`
        return registered
    spec = PathFinder.find_spec(name)
    if spec is None or spec.loader is None:
        return None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError:  # installed for another Python version, or incomplete
        module = None  # type: ignore[assignment]
    if registered is not None or module is None:
        sys.modules.pop(name, None)
    if registered is not None:
        sys.modules[name] = registered
    return module


def pywin32_types() -> ModuleType | None:
    """Return pywin32's own `pywintypes`, or None."""
    return pywin32_module("pywintypes")


def import_system_module(name: str, names: dict[str, Any]) -> None:
    """Load a DLL of pywin32: its modules call this function of `pywintypes`, and pywin32's own does the work."""
    types = pywin32_types()
    if types is None:
        raise ImportError(f"No system module {name!r}: it is pywin32's, which is not installed")
    types.__import_pywin32_system_module__(name, names)
