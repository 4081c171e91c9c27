"""Replaces `configparser`, with which rich reads themes from files; pipectl has none."""
