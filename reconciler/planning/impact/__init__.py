"""What a change of policy does to a fleet, by what its hosts reported."""
