"""Replaces a file as a whole: until everything is written, the old content stays."""

import os
from pathlib import Path

from . import OutputFailedError


def write_whole(path: str, text: str) -> None:
    """Write a file in UTF-8, or a device as it is. Raises OutputFailedError."""
    target = Path(os.path.realpath(path))
    # A device cannot be replaced.
    is_file = target.is_file() or not target.exists()
    draft = target.with_name(f"{target.name}.{os.getpid()}.new") if is_file else target
    try:
        try:
            draft.write_text(text, encoding="utf-8", newline="\n")
            if is_file:
                draft.replace(target)
        finally:
            if is_file:
                draft.unlink(missing_ok=True)
    except OSError as error:
        raise OutputFailedError(f"`{path}` cannot be written: {error.strerror}") from error
