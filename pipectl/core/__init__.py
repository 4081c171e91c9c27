"""The named-pipe library: Win32's pipe functions through ctypes, and what stands on them, in rooms.

The vocabulary lies flat and runs on any system: `constants`, `errors`, `deadline`, `names`, `models`. Programs import
from `pipectl` itself, or `pipectl.core.win32pipe` if they were written against pywin32.
"""
