"""What the policy meant at many of its commits, for who asks of one host after the other.

Hosts have their windows on different days, so that each asks of other commits than the one before it, and all
of them ask of the same in the end. A file that many commits hold is taken apart once, and as many commits are
kept as memory allows.
"""

from collections.abc import Container
from dataclasses import field

from reconciler.errors import ReconcilerError
from reconciler.gitops.git import Git
from reconciler.gitops.revision import read_revision
from reconciler.planning.audit.story import Unread
from reconciler.policy.load import NeedsUpgrade, Readings, Rejected, Revision, load
from reconciler.policy.resolve import Resolver
from reconciler.records import dataclass

MOST_DOCUMENTS = 200_000
"""Of all commits that are kept together: some 100 MiB, since two commits mostly have the same ones."""


@dataclass
class Revisions:
    """Reads what is in commits of the policy, by two processes each.

    Attributes:
        git: The repository.
        line: The commits that must be there: the policy's own.
        program: What reads them, as people are told it.
        unread: Is told what kept one of the line from being read.
        most: Documents that are kept, or those of one commit.
    """

    git: Git
    line: Container[str]
    program: str
    unread: list[ReconcilerError]
    most: int = MOST_DOCUMENTS
    _readings: Readings = field(default_factory=Readings)
    _known: dict[str, tuple[Resolver | Unread, int]] = field(default_factory=dict)
    _held: int = 0

    def __call__(self, commit: str) -> Resolver | Unread:
        """Return what a commit says, or why that cannot be told."""
        found = self._known.pop(commit, None)
        if found is None:
            found = self._read(commit)
            self._held += found[1]
        self._known[commit] = found  # behind all others: it was asked for last
        while self._held > self.most and len(self._known) > 1:
            self._held -= self._known.pop(next(iter(self._known)))[1]
        return found[0]

    def _read(self, commit: str) -> tuple[Resolver | Unread, int]:
        try:
            loaded = load(read_revision(self.git.git_dir, commit), commit, self._readings)
        except ReconcilerError as error:
            # What a host names and is no policy is its own trouble, and stays so.
            if commit in self.line:
                self.unread.append(error)
            return Unread(f"policy {commit[:12]} cannot be read: {error.message}"), 1
        match loaded:
            case Revision():
                return Resolver(loaded), sum(1 for _ in loaded.documents) + 1
            case NeedsUpgrade(requires=requires):
                said = f"not replayable here: policy {commit[:12]} needs patchledger {requires}"
                return Unread(said, is_newer=True), 1
            case Rejected(problems=(first, *_)):
                said = f"policy {commit[:12]} is not valid by the rules of {self.program}: {first}"
                return Unread(said), 1
            case _:
                return Unread(f"policy {commit[:12]} is not valid by the rules of {self.program}"), 1
