"""Keep the mirror and the queue of a host sound, though a tick needs little of what they hold.

At its beginning a tick has git look through what somebody else may have touched
(:mod:`reconciler.gitops.seal`), and builds anew what is unsound, as whoever stumbles upon the damage would.
At its end it copies what nobody else has (:mod:`reconciler.gitops.second_copy`) and seals what was sound at
its beginning, with what it wrote itself. Neither ever ends a tick: what matters is found when it is read.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError
from reconciler.gitops import salvage, second_copy
from reconciler.gitops.git import Git
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.report_queue import ReportQueue
from reconciler.gitops.seal import Mark, Seals, marks
from reconciler.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Upkeep:
    """What one tick does for the repositories of its host.

    Attributes:
        notices: What a person should know of a repository that is unsound and could not be built anew yet, or
            that git could not look through.
    """

    source: PolicyMirror
    queue: ReportQueue
    seals: Seals
    notices: tuple[str, ...] = ()
    _sound: dict["Path", dict[str, Mark]] = field(default_factory=dict)

    def begin(self, *, timeout: float, now: datetime) -> None:
        """Look through what is not sealed, and build anew what is unsound.

        Args:
            timeout: Seconds for each conversation with a remote.
            now: As of :meth:`reconciler.gitops.policy_mirror.PolicyMirror.fetch`.
        """
        mirror, queue = self.source.mirror, self.queue.queue
        source = self.source
        self._look(
            mirror, source.soundness, lambda: source.rebuild(timeout=timeout, now=now), source.tracking
        )
        self._look(queue, self.queue.soundness, lambda: self.queue.rebuild(waits=True))

    def end(self) -> None:
        """Copy what the remotes lack, and seal what is known to be sound."""
        queue, copy = self.queue.queue, second_copy.folder_of(self.queue.queue)
        with suppress(OSError):
            self._seal(self.source.mirror, self.source.tracking)
            try:
                self._copy(is_intact=self.seals.holds(copy))
            except (ReconcilerError, OSError):
                self.seals.drop(queue)  # it may be damaged
            else:
                self._seal(queue)
                self.seals.set(copy, marks(copy))
            self.seals.save()

    def _look(
        self,
        repository: "Path",
        soundness: Callable[[], bool | None],
        rebuild: Callable[[], object],
        without: str = "",
    ) -> None:
        before = marks(repository)
        try:
            is_known = self.seals.holds(repository, without, before) or not repository.exists()
            is_sound = is_known or soundness()
            if is_sound is False:
                rebuild()
                before, is_sound = marks(repository), True
        except (ReconcilerError, OSError) as problem:
            said = problem.message if isinstance(problem, ReconcilerError) else problem.strerror
            self.notices += (f"{repository} may be damaged, and could not be built anew: {said}",)
            return
        if is_sound:
            self._sound[repository] = before
        else:
            self.notices += (f"{repository} could not be looked through: git was killed, or took too long",)

    def _copy(self, *, is_intact: bool) -> None:
        lacking, pushed = self.queue.unpushed_heads()
        second_copy.keep(Git(self.queue.queue), lacking, pushed, is_intact=is_intact)

    def _seal(self, repository: "Path", without: str = "") -> None:
        now = marks(repository)
        if self._is_sound(repository, now):
            self.seals.set(repository, now, without)
        else:
            self.seals.drop(repository)

    def _is_sound(self, repository: "Path", now: Mapping[str, Mark]) -> bool:
        """Tell whether all that was sound is as it was, but for refs, which a tick sets and reads.

        Git sets the times of a loose object that it would have to write again; so what it holds is looked at.
        """
        if repository not in self._sound:
            return False
        others = [name for name, mark in self._sound[repository].items() if now.get(name) != mark]
        return all(name.startswith("refs/") or salvage.is_whole_file(repository / name) for name in others)
