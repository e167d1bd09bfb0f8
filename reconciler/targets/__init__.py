"""Where a patch script runs."""
