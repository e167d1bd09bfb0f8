"""Pull requests on a forge, by the public REST of GitHub, GitLab and Forgejo (which Gitea shares).

A token goes to the one address that it is for, and into no text. Nothing here waits to try again: whoever is
told to come back later is a scheduled job.
"""

from reconciler.forges.line import AT_MOST, ForgeLine, ForgeRefused, authorization
from reconciler.forges.places import ForgeKind, ForgePlace, kind_of, place_of
from reconciler.forges.pulls import Pull, PullRequests, pull_requests

__all__ = [
    "AT_MOST",
    "ForgeKind",
    "ForgeLine",
    "ForgePlace",
    "ForgeRefused",
    "Pull",
    "PullRequests",
    "authorization",
    "kind_of",
    "place_of",
    "pull_requests",
]
