"""The named-pipe library: Win32's pipe functions through ctypes, and the packages based on them.

The modules at this level run on any system: `constants`, `errors`, `deadline`, `names`, `models`. Programs import from
`pipectl` itself, or `pipectl.core.win32pipe` if they were written for pywin32.
"""
