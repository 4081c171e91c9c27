"""Registers the stand-in under the names of pywin32's modules, so that programs use it without changes."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .errors import pywin32_module

__all__ = ["install"]

# This package, which is already loaded: it imports this module when `install` is first used.
_OURS: Any = sys.modules[__name__.rpartition(".")[0]]
_MODULES = (
    "ntsecuritycon",
    "pywintypes",
    "win32api",
    "win32con",
    "win32event",
    "win32file",
    "win32pipe",
    "win32process",
    "win32security",
    "winerror",
)
# Names that mean something different in two pywin32 modules; the stand-in has the other module's.
_OTHERS = {("win32api", "GetFileAttributes"), ("ntsecuritycon", "TOKEN_ALL_ACCESS")}


class _StandIn(ModuleType):
    """A module with pywin32's name: its attributes are the stand-in's, or pywin32's own if the stand-in has none."""

    def __init__(self, name: str) -> None:
        super().__init__(name, f"pipectl.win32pipe in the place of pywin32's {name}.")
        # `find_spec` needs `__spec__`, and the error of a failing `from ... import` shows `__file__`.
        self.__spec__ = ModuleSpec(name, None, origin=_OURS.__file__)
        self.__file__ = _OURS.__file__

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return dir(self)
        if name.startswith("__") and name != "__import_pywin32_system_module__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        value = self._find(name)
        setattr(self, name, value)
        return value

    def _find(self, name: str) -> Any:
        if (self.__name__, name) not in _OTHERS and hasattr(_OURS, name):
            return getattr(_OURS, name)
        theirs = pywin32_module(self.__name__)
        if hasattr(theirs, name):
            return getattr(theirs, name)
        text = f"module {self.__name__!r} has no attribute {name!r}"
        if theirs is None:
            text += f": it is pipectl.win32pipe, which does not have all of {self.__name__}; pywin32 is not installed"
        raise AttributeError(text, name=name, obj=self)

    def __dir__(self) -> list[str]:
        return dir(_OURS)


def install() -> None:
    """Make `import win32file` and the like import this stand-in from now on, in the whole program.

    Names that the stand-in does not have are pywin32's own if it is installed; otherwise, using one raises an
    AttributeError with an explanation. Call it before the program imports pywin32, because it keeps imported modules.
    """
    for name in _MODULES:
        if not isinstance(sys.modules.get(name), _StandIn):
            sys.modules[name] = _StandIn(name)
