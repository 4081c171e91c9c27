r"""Finds arguments that an MSYS2 shell such as Git Bash has converted, because it treats a leading slash as a path.

`/status` becomes `C:/Program Files/Git/status`, and `/r` becomes `R:/`: https://www.msys2.org/docs/filesystem-paths/
"""

import os
import re
from collections.abc import Iterable, Iterator

# The shell's root is the path before its folder of programs.
_PROGRAMS = re.compile(r"/(?:usr/)?bin(?:/[^/]*)?$")


def changed_arguments(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each argument that looks converted, and what was probably typed."""
    roots = [root for variable in ("EXEPATH", "SHELL") if (root := _root(os.environ.get(variable, "")))]
    for argument in arguments:
        if re.fullmatch("[A-Za-z]:/", argument):
            yield argument, f"/{argument[0].lower()}"
        for root in roots:
            if argument.lower().startswith(f"{root.lower()}/"):
                yield argument, argument[len(root) :]
                break


def _root(program: str) -> str:
    path = _PROGRAMS.sub("", program.replace("\\", "/").rstrip("/"))
    return path if re.match("[A-Za-z]:/", path) else ""
