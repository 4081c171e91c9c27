"""Replaces `ast`, of which `inspect`, `traceback` and rich only need names; they work without a tree."""

from typing import Any


class NodeVisitor:
    """Visits nothing."""


class NodeTransformer(NodeVisitor):
    """Changes nothing."""


def parse(*_arguments: object, **_options: object) -> Any:
    """Raise the error that all callers expect."""
    raise SyntaxError("the exe has no parser")


def literal_eval(_text: object) -> Any:
    """Raise the error that all callers expect."""
    raise ValueError("the exe has no parser")
