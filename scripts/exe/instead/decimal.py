"""Replaces `decimal`, of which `fractions` only needs a name."""


class Decimal:
    """No number is an instance of this class."""
