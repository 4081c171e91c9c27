"""Child processes on anonymous pipes, whose streams are files or are passed on as they arrive."""
