"""pipectl: the command-line tool and library for Windows named pipes."""

__version__ = "0.1.0"
