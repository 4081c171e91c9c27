"""`pipectl help exit-codes`. Written by scripts/gen_docs.py: change docs/exit-codes.md instead."""

TEXT = r"""EXIT CODES

Every command but `popen` ends with one of these.

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
130   interrupted by Ctrl+C or Ctrl+Break

`popen` passes on the exit code of its program. For failures of its own it has
these, and 130.

code  meaning
124   the program was ended at the time limit
125   pipectl failed, or the command line is wrong
126   the program cannot be run
127   there is no such program
"""
