"""From observation and policy to a plan: which updates, by which answers of the resolver, and why no more."""
