"""`pipectl help exit-codes`. Written by scripts/gen_docs.py: change docs/exit-codes.md instead."""

TEXT = r"""EXIT CODES

Every command but `popen` ends with one of these.

0
    meaning: done
1
    meaning: unexpected error; also if stdout cannot be written, or was closed
      early (as by `head`)
2
    meaning: the command line is wrong
3
    meaning: not found: no such pipe, or none that matches
4
    meaning: every instance of the pipe is taken
5
    meaning: access denied
6
    meaning: timed out
7
    meaning: the other end closed the pipe early
8
    meaning: the other end is not the expected one
9
    meaning: not possible in the mode or state of the pipe
10
    meaning: partial result
11
    meaning: this system cannot do that
130
    meaning: interrupted by Ctrl+C or Ctrl+Break

`popen` passes on the exit code of its program. For failures of its own it has
these, and 130.

code  meaning
124   the program was ended at the time limit
125   pipectl failed, or the command line is wrong
126   the program cannot be run
127   there is no such program
"""
