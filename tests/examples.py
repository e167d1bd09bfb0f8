"""How many examples a property test draws, and whether they are others each time.

``HYPOTHESIS_PROFILE=dev`` is what ``scripts/check --fast`` sets: a few, while somebody waits. ``ci`` is for
what lets a change in or keeps it out: all of them, and the same ones for the same code, so that the verdict
is about the change and can be had again. Everything else draws new ones each time, and goes on looking.
"""

import os

from hypothesis import settings

_FEW = 10

# How long an example takes is the machine's affair: on a busy one a slow example is no failure.
settings.register_profile("patchledger", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("dev", deadline=None, derandomize=True, max_examples=_FEW)


def load_profile() -> None:
    """Load the profile that the environment names."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patchledger"))


def examples(count: int) -> settings:
    """Return the settings of a property that takes ``count`` examples to be tried well."""
    return settings(max_examples=min(count, _FEW) if _is_dev() else count)


def _is_dev() -> bool:
    return settings.get_current_profile_name() == "dev"
