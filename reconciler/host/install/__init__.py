"""From answers to an installation: units, credentials, other updaters, and what is done about them."""
