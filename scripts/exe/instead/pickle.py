"""Replaces `pickle`, which rich uses for metadata of styles; pipectl's styles have none."""

from typing import Any


class PicklingError(Exception):
    """Nothing can be pickled."""


def dumps(*_arguments: object, **_options: object) -> bytes:
    """Raise PicklingError."""
    raise PicklingError("the exe pickles nothing")


def loads(*_arguments: object, **_options: object) -> Any:
    """Raise PicklingError, because there is nothing to load."""
    raise PicklingError("the exe pickles nothing")
