"""The named-pipe core: Win32's pipe functions through ctypes, and what stands on them.

Import from the module that has the thing: `pipectl.core.connection.connect`, `pipectl.core.functions.peek_named_pipe`,
`pipectl.core.win32pipe` for a program written against pywin32.
"""
