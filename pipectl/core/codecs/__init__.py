"""What the bytes on a pipe mean: one module per protocol, and the table of their names."""
