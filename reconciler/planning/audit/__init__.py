"""Whether what changed on a host was allowed, by what the two repositories prove and nobody's word."""
