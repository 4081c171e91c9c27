"""The border to Windows: the DLLs, handles, waits, overlapped operations, and the calls that pipes need.

Importing a module of this room anywhere but on Windows raises UnsupportedError.
"""
