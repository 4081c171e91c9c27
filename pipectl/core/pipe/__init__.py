"""A pipe's two ends: connections, servers, where a message ends, and whether a pipe is free."""
