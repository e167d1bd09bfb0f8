"""What patchledger guarantees."""
