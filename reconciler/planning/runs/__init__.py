"""What a run is to do, step by step; what is written down before it does it; and what came of it."""
