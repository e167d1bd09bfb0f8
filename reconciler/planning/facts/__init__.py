"""What is known of a machine: packages and their names, versions in order, and all that was observed."""
