"""This machine: configuration, facts, clock and state."""

DEFAULT_CONFIG = "/etc/patchledger/config.yaml"
DEFAULT_STATE_DIR = "/var/lib/patchledger"
