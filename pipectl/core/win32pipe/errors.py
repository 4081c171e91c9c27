"""`error`, which is pywin32's own where pywin32 is installed, and pywin32's own `pywintypes` beside this module.

A program catches `pywintypes.error`, and it is the class that counts, not its name. So there must be only one:
pywin32's if it is there, so that each catches the errors of the other. It is looked for when the first call fails, or
when somebody asks for `error`, which most programs do in an `except` that is not reached.
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

# What ctypes says of a code that the system has no text for.
_NO_TEXT = "<no description>"

_loading = RLock()


class error(Exception):
    """A Win32 call that failed: `args` are the code, the function's name and the system's text for the code.

    CallNamedPipe, when it fails with ERROR_MORE_DATA, adds what was read as `data`.
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


# As pywin32's is called where nobody catches it.
error.__module__ = "pywintypes"


def _error(*args: Any) -> Exception:
    """Make an error that was pickled, perhaps by a process that has pywin32."""
    return error_type()(*args)


@cache
def error_type() -> type[error]:
    """Return the class that failures raise: pywin32's, or the one above where there is no pywin32."""
    types = pywin32_types()
    return error if types is None else types.error


def api_error(code: int, function: str, _arguments: tuple[Any, ...] = ()) -> error:
    """Return the error for a code that a Win32 function gave; pywin32 calls the function by its name without W."""
    text = winapi.format_error(code)
    signed = code if code < 0x8000_0000 else code - 0x1_0000_0000
    return error_type()(
        signed, function.removesuffix("W"), text if text != _NO_TEXT else "No error message is available"
    )


def raising(function: Callable[..., Any]) -> Callable[..., int]:
    """Return a function of `winapi` that raises `error` where that one raises a PipeError."""
    return winapi.raising(api_error, function)


def failed(function: str, *results: int) -> int:
    """Return the code of a call that has just failed if it is one of its results, and raise `error` otherwise."""
    code = get_last_error()
    if code in results:
        return code
    raise api_error(code, function)


def pywin32_module(name: str) -> ModuleType | None:
    """Return pywin32's own module, even where another one is registered under its name; None without pywin32."""
    with _loading:  # while one is loaded, another thread would find it registered, and without its names
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
    except ImportError:  # installed for another Python, or not whole
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
    """Do what pywin32's modules ask of `pywintypes` to load a DLL of theirs: have pywin32's own do it."""
    types = pywin32_types()
    if types is None:
        raise ImportError(f"No system module {name!r}: it is pywin32's, which is not installed")
    types.__import_pywin32_system_module__(name, names)
