"""Traffic between two ends: streams, relays, faults, and servers that answer by rules or by programs."""
