"""One module a verb: what people ask for on the command line."""
