"""Package managers: verified patch scripts and the pure parsers of what they print."""
