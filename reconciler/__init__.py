"""GitOps for OS patching: policy in git, a plan with a reason for every package, reports back in git."""

__version__ = "0.1.0"
