"""The interface to Windows: DLLs, handles, waits, overlapped operations, and the functions that pipes need.

Importing a module of this package on another system raises UnsupportedError.
"""
