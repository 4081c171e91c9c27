"""`pipectl help exit-codes`. Written by scripts/gen_docs.py: change docs/exit-codes.md instead."""

TEXT = r"""EXIT CODES

Every command ends with one of these; `popen` passes its child's own exit code
on.

code  meaning
0     done
1     something unexpected; also output that nobody reads any more
2     the command line is wrong
3     there is no such pipe
4     every instance of the pipe is taken
5     access denied
6     timed out
7     the other end closed the pipe early
8     the other end is not the expected one
9     not possible in the mode or state of the pipe
10    only a part of the result was had
11    this system cannot do that
130   interrupted by Ctrl+C
"""
