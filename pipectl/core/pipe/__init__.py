"""Both ends of a pipe: connections, servers, framing, and waiting for a free instance."""
