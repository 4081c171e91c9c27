"""Checks of this system: whether Windows behaves as pipectl assumes."""
