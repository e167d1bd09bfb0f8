"""Between two ticks: what one leaves for people and machines, and who waits for the next."""

STATUS_FILE = "status.json"
TICK_FILE = "tick.json"
WIDTHS = (60, 80, 100, 140)
"""Columns that the status is rendered for when a tick ends; the widest that fits is shown."""
