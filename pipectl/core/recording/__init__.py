"""Conversations in files: recordings, and the forms that they can be exported to."""
