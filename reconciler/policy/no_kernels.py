"""Refuse ``autoremove: kernels`` where a Policy names a package manager that keeps no old kernels."""

from collections.abc import Iterator

from reconciler.policy.load import Revision
from reconciler.policy.managers import traits_of
from reconciler.policy.problems import Problem


def refused_kernels(revision: Revision) -> Iterator[Problem]:
    """Yield a problem for each Policy that wants old kernels to go where there are never any.

    A host of such a manager that another Policy tells the same says so itself.
    """
    for policy in revision.policies:
        named = policy.value.match.manager or ()
        without = [one for one in named if not traits_of(one).drops_kernels]
        if policy.value.autoremove == "kernels" and without:
            message = f"is about old kernels, and {without[0]} keeps one version of a kernel"
            hint = f"leave it out for {without[0]}, or write `new-unused`"
            yield policy.problem(("autoremove",), "", message, hint)
