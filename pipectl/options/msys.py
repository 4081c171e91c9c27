r"""Arguments that a shell of MSYS2, such as Git Bash, has changed: it takes what begins with a slash for a path.

`/status` becomes `C:/Program Files/Git/status`, and `/r` becomes `R:/`: https://www.msys2.org/docs/filesystem-paths/
"""

import os
import re
from collections.abc import Iterable, Iterator

# What stands before its folder of programs is where the shell has its root.
_PROGRAMS = re.compile(r"/(?:usr/)?bin(?:/[^/]*)?$")


def changed_arguments(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each argument that looks changed, and what was probably written."""
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
