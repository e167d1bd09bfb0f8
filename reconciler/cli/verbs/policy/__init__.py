"""The verbs that a policy repository is written with; none of them needs a host."""
