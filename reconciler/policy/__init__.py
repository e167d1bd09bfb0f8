"""The policy language: documents, layering, calendars and windows. Pure functions of text and time."""
