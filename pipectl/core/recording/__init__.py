"""Conversations in files: recordings, and the formats that they can be exported to."""
