"""This machine as it is: which one, clock, services, hooks and health, what may not be disturbed, reboots."""
