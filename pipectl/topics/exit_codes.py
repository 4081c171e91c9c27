"""`pipectl help exit-codes`. Written by scripts/gen_docs.py: change docs/exit-codes.md instead."""

TEXT = r"""EXIT CODES

Every command except `popen` exits with one of these codes.

0
    meaning: success
1
    meaning: unexpected error, or stdout cannot be written or was closed early
      (for example by `head`)
2
    meaning: invalid command line
3
    meaning: pipe not found, or no pipe matches
4
    meaning: pipe busy: all instances are in use
5
    meaning: access denied
6
    meaning: timed out
7
    meaning: the other end closed the pipe early
8
    meaning: the server is not the expected one (`--expect-*`)
9
    meaning: not possible with this type, mode or state of the pipe
10
    meaning: partial result
11
    meaning: not supported on this system
12
    meaning: a check failed (`selftest`, `bench --fail-above`, `serve
      --strict`, `serve --expect-all`), a finding is serious (`audit`), or a
      conversation is not the recorded one (`replay`)
130
    meaning: interrupted by Ctrl+C or Ctrl+Break

`popen` passes on the exit code of its program. Its own failures have these
codes, and 130.

code  meaning
124   timed out: the program was killed
125   pipectl failed, or the command line is invalid
126   the program cannot be run
127   program not found
"""
