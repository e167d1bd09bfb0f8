"""What this host remembers between two ticks, and what a tick leaves for the next one and for others."""
