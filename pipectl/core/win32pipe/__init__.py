"""A replacement for pywin32's module `win32pipe`, and for the parts of other pywin32 modules that pipe programs use.

A program written for pywin32 only changes its imports:

    import pipectl.core.win32pipe as win32pipe
    import pipectl.core.win32pipe as win32file   # and win32event, win32con, win32security, winerror, pywintypes

Names, argument order, results and errors are those of pywin32: arguments are positional-only, codes such as
ERROR_IO_PENDING and ERROR_MORE_DATA are returned where pywin32 returns them, numbers have the same sign, and failures
raise `error`. docs/win32.md lists the differences. New programs should use `pipectl.connect` and `pipectl.PipeServer`.
"""

from typing import TYPE_CHECKING, Any

from . import constants, functions, objects
from .constants import *
from .functions import *
from .objects import *

if TYPE_CHECKING:
    from pipectl.core.children.files import popen as popen
    from pipectl.core.children.files import popen2 as popen2
    from pipectl.core.children.files import popen3 as popen3
    from pipectl.core.children.files import popen4 as popen4

    from .acls import *
    from .api import *
    from .descriptors import *
    from .errors import error as error
    from .processes import *
    from .security import *
    from .standin import *

# The modules with all other names, imported in this order until one has the requested name. Programs that only transfer
# data need none of them.
_LATER = ("descriptors", "acls", "api", "processes", "security", "standin")
_POPEN = ("popen", "popen2", "popen3", "popen4")


if not TYPE_CHECKING:  # type checkers only see the names above

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return __dir__()
        globals()[name] = value = _find(name)
        return value


def _find(name: str) -> Any:
    if name == "error":
        from .errors import error_type

        return error_type()
    if name == "__import_pywin32_system_module__":
        from .errors import import_system_module

        return import_system_module
    if name in _POPEN:
        from pipectl.core.children import files

        return getattr(files, name)
    if not name.startswith("_"):
        for module in _LATER:
            found = _import(module)
            if name in found.__all__:
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _import(module: str) -> Any:
    from importlib import import_module

    return import_module(f"{__name__}.{module}")


def __dir__() -> list[str]:
    later = (name for module in _LATER for name in _import(module).__all__)
    numbers = (name for name in vars(constants) if name[0] != "_")
    return sorted({*numbers, *later, *functions.__all__, *objects.__all__, *_POPEN, "error"})
