"""What passes between two ends: programs as answers."""
