"""Replaces rich's table of emoji for `:names:`; pipectl does not use them."""

EMOJI: dict[str, str] = {}
