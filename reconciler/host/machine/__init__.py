"""This machine as it is: clock, services, hooks and health, what may not be disturbed, reboots."""
