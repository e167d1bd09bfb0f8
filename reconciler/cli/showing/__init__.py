"""How a verb speaks: text for terminals, and the schemas of what is printed as JSON."""
