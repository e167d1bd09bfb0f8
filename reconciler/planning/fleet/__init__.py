"""Many reports: a row for each target, the worst first, and the same for people, tables and monitoring."""
