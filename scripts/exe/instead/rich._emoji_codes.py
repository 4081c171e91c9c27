"""Stands in for rich's table of emoji, which it replaces `:names:` by; pipectl shows text as it is."""

EMOJI: dict[str, str] = {}
