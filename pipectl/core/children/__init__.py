"""Child processes on anonymous pipes, with files for their streams or as streaming."""
