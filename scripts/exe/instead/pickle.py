"""Stands in for `pickle`, by which rich keeps what pipectl gives no style: data of its own."""

from typing import Any


class PicklingError(Exception):
    """Nothing can be pickled."""


def dumps(*_arguments: object, **_options: object) -> bytes:
    """Raise the error that there is for what cannot be pickled."""
    raise PicklingError("the exe pickles nothing")


def loads(*_arguments: object, **_options: object) -> Any:
    """Raise the same error: there is nothing to load."""
    raise PicklingError("the exe pickles nothing")
