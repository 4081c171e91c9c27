"""Stands in for `configparser`, by which rich reads themes from files; pipectl has none."""
