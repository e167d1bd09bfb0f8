"""Keep the mirror and the queue of a host sound, though a tick needs little of what they hold.

At its beginning a tick has git look through what somebody else may have touched
(:mod:`reconciler.gitops.seal`), and builds anew what is unsound, as whoever stumbles upon the damage would.
At its end it copies what nobody else has (:mod:`reconciler.gitops.second_copy`) and seals what there is.
Neither ever ends a tick: what matters is found when it is read.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError
from reconciler.gitops import damage, second_copy
from reconciler.gitops.git import Git
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.report_queue import ReportQueue
from reconciler.gitops.seal import Seals

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Upkeep:
    """What one tick does for the repositories of its host.

    Attributes:
        notices: What a person should know of a repository that is unsound and could not be built anew yet.
    """

    source: PolicyMirror
    queue: ReportQueue
    seals: Seals
    notices: tuple[str, ...] = ()
    _unsound: set["Path"] = field(default_factory=set)

    def begin(self, *, timeout: float, now: datetime) -> None:
        """Look through what is not sealed, and build anew what is unsound.

        Args:
            timeout: Seconds for each conversation with a remote.
            now: As of :meth:`reconciler.gitops.policy_mirror.PolicyMirror.fetch`.
        """
        mirror, queue = self.source.mirror, self.queue.queue
        self._look(mirror, lambda: self.source.rebuild(timeout=timeout, now=now), self.source.tracking)
        self._look(queue, lambda: self.queue.rebuild(waits=True))

    def end(self) -> None:
        """Copy what the remotes lack, and seal what there is, but for what is known to be unsound."""
        queue, copy = self.queue.queue, second_copy.folder_of(self.queue.queue)
        with suppress(OSError):
            self._seal(self.source.mirror, self.source.tracking)
            try:
                self._copy(is_intact=self.seals.holds(copy))
            except (ReconcilerError, OSError):
                self.seals.drop(queue)  # it may be damaged
            else:
                self._seal(queue)
                self.seals.set(copy)
            self.seals.save()

    def _look(self, repository: "Path", rebuild: Callable[[], object], without: str = "") -> None:
        try:
            if not repository.exists() or self.seals.holds(repository, without):
                return
            if damage.is_unsound(Git(repository)):
                rebuild()
        except (ReconcilerError, OSError) as problem:
            self._unsound.add(repository)
            said = problem.message if isinstance(problem, ReconcilerError) else problem.strerror
            self.notices += (f"{repository} may be damaged, and could not be built anew: {said}",)

    def _copy(self, *, is_intact: bool) -> None:
        lacking, pushed = self.queue.unpushed_heads()
        second_copy.keep(Git(self.queue.queue), lacking, pushed, is_intact=is_intact)

    def _seal(self, repository: "Path", without: str = "") -> None:
        if repository in self._unsound:
            self.seals.drop(repository)
        else:
            self.seals.set(repository, without)
