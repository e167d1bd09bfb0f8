"""Where a queue's branches stand when the report repository is another one than before.

The rules:

1. What the remote of before is known to have of a branch is remembered as
   ``refs/patchledger/elsewhere/BRANCH``, and its address beside the queue; no remote is asked for that.
2. Where that is all of the branch, the next report begins the branch anew in the new remote (or goes on upon
   what this host had there already), and says where the last one stands: ``previous``, and the trailer
   ``Previous: REMOTE@COMMIT``. The history stays where it is.
3. Where some reports have not left this host, nothing is cut: the branch goes to the new remote whole.
"""

import json
from dataclasses import field
from pathlib import Path

from reconciler.durable import replace_file
from reconciler.errors import Stalled
from reconciler.gitops.git import Git
from reconciler.gitops.refs import list_refs, read_ref, write_ref
from reconciler.policy.shards import name_of
from reconciler.records import dataclass

ELSEWHERE = "refs/patchledger/elsewhere/"


@dataclass(slots=True)
class Moves:
    """Knows which remote a queue is about, and where else its branches stand.

    Attributes:
        git: The queue, a bare repository.
        remote: Address of the remote that it is about from now on; ``None`` where reports stay here.
        tracking: Below which its refs of that remote are.
    """

    git: Git
    remote: str | None
    tracking: str
    _before: dict[str, str] | None = field(default=None)

    @property
    def _note(self) -> Path:
        return self.git.git_dir.with_suffix(".remote")

    def follow(self) -> tuple[str, ...]:
        """Note down what another remote than the present one has; return the branches that have moved.

        Raises:
            Damaged: A ref of the queue cannot be read.
            Stalled: The file system refuses.
        """
        if self.remote is None or self._before is not None:
            return ()
        known, before = self._read()
        moved: dict[str, str] = {}
        if known and name_of(known) != name_of(self.remote):
            moved = {ref.removeprefix(self.tracking): oid for ref, oid in self._tracked().items()}
        for branch, oid in moved.items():
            write_ref(self.git.git_dir, ELSEWHERE + branch, oid)
        for branch in moved:
            self.git.run("update-ref", "-d", self.tracking + branch)
        self._before = before | dict.fromkeys(moved, known)
        if known != self.remote:
            self._write()
        return tuple(moved)

    def put(self, branch: str, address: str, oid: str) -> None:
        """Note down that a branch was found to stand in another remote.

        Raises:
            Stalled: The file system refuses.
        """
        write_ref(self.git.git_dir, ELSEWHERE + branch, oid)
        self._before = {**self._known(), branch: address}
        self._write()

    def head(self, branch: str) -> str | None:
        """Return the newest commit of a branch that another remote has; ``None`` where none is known to.

        Raises:
            Damaged: The ref cannot be read.
        """
        return read_ref(self.git.git_dir, ELSEWHERE + branch)

    def address(self, branch: str) -> str:
        """Return which remote has it, empty where nobody knows."""
        return self._known().get(branch, "")

    def heads(self) -> dict[str, str]:
        """Return what other remotes have, by branch.

        Raises:
            Damaged: A ref cannot be read.
        """
        return {
            ref.removeprefix(ELSEWHERE): oid for ref, oid in list_refs(self.git.git_dir, ELSEWHERE).items()
        }

    def _known(self) -> dict[str, str]:
        return self._read()[1] if self._before is None else self._before

    def _tracked(self) -> dict[str, str]:
        return list_refs(self.git.git_dir, self.tracking)

    def _read(self) -> tuple[str, dict[str, str]]:
        """Return which remote the refs are of, and those of before by branch; a damaged file says nothing."""
        try:
            said = json.loads(self._note.read_bytes())
            remote, before = said["remote"], said["before"]
            found = {str(branch): str(address) for branch, address in before.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "", {}
        return (remote if isinstance(remote, str) else ""), found

    def _write(self) -> None:
        data = json.dumps({"remote": self.remote, "before": self._before}, sort_keys=True, indent=1)
        try:
            replace_file(self._note, f"{data}\n".encode())
        except OSError as error:
            raise Stalled(f"cannot write {self._note}: {error.strerror}", "free some space") from error
