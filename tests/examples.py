"""How many examples a property test draws: as many as it asks for, or a few while somebody waits.

``HYPOTHESIS_PROFILE=dev`` is what ``scripts/check --fast`` sets; everything else runs all of them.
"""

import os

from hypothesis import settings

_FEW = 10

# How long an example takes is the machine's affair: on a busy one a slow example is no failure.
settings.register_profile("patchledger", deadline=None)
settings.register_profile("dev", deadline=None, max_examples=_FEW)


def load_profile() -> None:
    """Load the profile that the environment names."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patchledger"))


def examples(count: int) -> settings:
    """Return the settings of a property that takes ``count`` examples to be tried well."""
    return settings(max_examples=min(count, _FEW) if _is_dev() else count)


def _is_dev() -> bool:
    return settings.get_current_profile_name() == "dev"
