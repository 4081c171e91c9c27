"""What passes between two ends: programs as answers, and relays."""
