"""Effective policies for tests, made by the real loader from documents."""

import json
from collections.abc import Mapping, Sequence

from reconciler.policy.load import PolicyFile, Revision, load
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Effective, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HOST = HostFacts("web-01", {}, "debian", "12", "apt")


def effective(
    settings: Mapping[str, object] | None = None,
    *,
    exceptions: Sequence[Mapping[str, object]] = (),
    approvals: Sequence[Mapping[str, object]] = (),
) -> Effective:
    """Return what holds for one host under a single policy ``main`` with these settings.

    Exceptions are named ``e0``, ``e1``, ... and have a reason and a far end where they do not say otherwise.
    """
    documents: list[tuple[str, Mapping[str, object]]] = [
        ("policies/main.yaml", {"kind": "Policy", "name": "main", **(settings or {})})
    ]
    defaults = {"kind": "Exception", "reason": "a regression", "expires": "2027-06-30"}
    documents += [
        (f"exceptions/e{index}.yaml", {**defaults, "name": f"e{index}", **exception})
        for index, exception in enumerate(exceptions)
    ]
    documents += [
        (
            f"approvals/a{index}.yaml",
            {"kind": "Approval", "name": f"a{index}", "expires": "2027-06-30", **approval},
        )
        for index, approval in enumerate(approvals)
    ]
    # JSON is YAML, and one document on one line keeps every origin at line 1.
    return resolved(
        [PolicyFile(path, "100644", json.dumps(document).encode()) for path, document in documents]
    )


def resolved(files: Sequence[PolicyFile]) -> Effective:
    """Load a policy repository that must be valid, and resolve it for the host of the tests."""
    revision = load(files, COMMIT)
    if not isinstance(revision, Revision):
        raise AssertionError(revision)  # noqa: TRY004 - the documents of a test are wrong, not a type
    return resolve(revision, HOST)
