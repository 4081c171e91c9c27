"""Stands in for `decimal`, of which `fractions` needs a name."""


class Decimal:
    """Nothing is one."""
