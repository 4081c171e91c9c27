"""Child processes on anonymous pipes: files on their streams, or streaming."""
