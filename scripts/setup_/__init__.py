"""What does this checkout need before a Windows program can run in it, and how is that program started?

Each file imports only those before it: steps, wine, packages, streams, strict_edits, strict. Nothing but the standard
library is used.
"""
