"""Many reports read back from git: who may say what of a target, and the branch that tells of all of them."""
