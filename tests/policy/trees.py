"""Short ways to write a policy repository down in a test."""

from collections.abc import Mapping

from reconciler.policy.load import NeedsUpgrade, PolicyFile, Rejected, Revision, load

Tree = Mapping[str, str | bytes]

MIDNIGHT = 'kind: Schedule\nname: night\ntimezone: UTC\nwindows:\n- {start: "02:00", duration: 3h}\n'


def files(tree: Tree) -> list[PolicyFile]:
    """Return regular files with these contents."""
    return [
        PolicyFile(path, "100644", text.encode() if isinstance(text, str) else text)
        for path, text in tree.items()
    ]


def loaded(tree: Tree, commit: str = "") -> Revision:
    """Load a tree that must be valid."""
    found = load(files(tree), commit)
    assert isinstance(found, Revision), found
    return found


def refused(tree: Tree) -> list[str]:
    """Load a tree that must be invalid, and return its problems as lines."""
    found = load(files(tree))
    assert isinstance(found, Rejected), found
    return [str(problem) for problem in found.problems]


def outdated(tree: Tree) -> NeedsUpgrade:
    """Load a tree that must ask for another version."""
    found = load(files(tree))
    assert isinstance(found, NeedsUpgrade), found
    return found
