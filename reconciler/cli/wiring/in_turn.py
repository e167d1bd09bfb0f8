"""What the ticks of several guests share, used by one of them at a time: the one door to it.

Guests are looked after beside each other, each in a thread of its own. All that is a guest's own, its folder,
lock, package manager and target, is known to its thread alone. What they share keeps something in memory or
in a folder for all, and was made for one user: the copy of the policy, the queue of reports, the outbox. It
is reached through the wrappers of this module and no other way.

Once the tick is told to end, nobody passes the door any more. Policy is asked once more before each step of a
run, so that none begins.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.reconcile.policy_in_force import InForce, PolicyFollower
from reconciler.reconcile.ports.policies import Acceptance
from reconciler.reconcile.ports.reports import Commit, Diverged, NothingNew, Pushed, Queued, Stored
from reconciler.records import dataclass

if TYPE_CHECKING:
    from reconciler.planning.notices.events import Notice, Route, Untold
    from reconciler.reconcile.ports.reports import Messenger, ReportRepository

_MOMENT = 5.0
"""Seconds that who is inside has to come out, when the tick is told to end."""


class OverError(BaseException):
    """The tick is told to end: nothing may be begun. No handler of failures takes it for one."""


class Turn:
    """A door through which one thread goes at a time, the same one as deep as it likes."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_shut = False

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Be the only one inside.

        Raises:
            OverError: The door was shut.
        """
        with self._lock:
            if self._is_shut:
                raise OverError
            yield

    def shut(self) -> None:
        """Let nobody in any more; whoever is inside has a moment to come out, so that he leaves no half."""
        self._is_shut = True
        if self._lock.acquire(timeout=_MOMENT):
            self._lock.release()


@dataclass(frozen=True, slots=True)
class FollowerInTurn(PolicyFollower):
    """Follows the policy for one guest at a time.

    Attributes:
        turn: To the copy of the policy, and to the reports, which may say what was followed.
    """

    turn: Turn = field(kw_only=True)

    @classmethod
    def of(cls, follower: PolicyFollower, turn: Turn) -> "FollowerInTurn":
        """Return a follower that does what another one does, in turn."""
        own = (follower.repository, follower.read, follower.timeout, follower.followed, follower.trust)
        return cls(*own, turn=turn)

    def follow(
        self,
        acceptance: Acceptance | None,
        now: datetime,
        *,
        accept: bool,
        within: timedelta = timedelta.max,
        beginning: str = "",
    ) -> InForce:
        """Do as :meth:`PolicyFollower.follow` does.

        Raises:
            ReconcilerError: As there.
        """
        with self.turn.taken():
            return PolicyFollower.follow(
                self, acceptance, now, accept=accept, within=within, beginning=beginning
            )


@dataclass(frozen=True, slots=True)
class QueueInTurn:
    """The report repository, for one guest at a time; each method is that of the protocol.

    Attributes:
        queue: What is shared.
        turn: To it.
    """

    queue: "ReportRepository"
    turn: Turn

    @property
    def notices(self) -> tuple[str, ...]:
        """As of the queue."""
        return self.queue.notices

    @property
    def rebuilds(self) -> int:
        """As of the queue."""
        return self.queue.rebuilds

    def last(self, branch: str, file: str = "report.json") -> Stored | None:  # noqa: D102
        with self.turn.taken():
            return self.queue.last(branch, file)

    def policy_commits(self, branch: str) -> Iterator[str]:  # noqa: D102
        with self.turn.taken():
            every = tuple(self.queue.policy_commits(branch))
        yield from every

    def proven(self, branch: str) -> Stored | None:  # noqa: D102
        with self.turn.taken():
            return self.queue.proven(branch)

    def own_policy_commits(self, branch: str) -> frozenset[str] | None:  # noqa: D102
        with self.turn.taken():
            return self.queue.own_policy_commits(branch)

    def commit(  # noqa: D102
        self,
        branch: str,
        files: Mapping[str, bytes],
        message: str,
        when: datetime,
        *,
        keep_runs: int,
        is_heartbeat: bool = False,
    ) -> Commit | NothingNew:
        with self.turn.taken():
            return self.queue.commit(
                branch, files, message, when, keep_runs=keep_runs, is_heartbeat=is_heartbeat
            )

    def record_of(self, branch: str, run: str) -> bytes | None:  # noqa: D102
        with self.turn.taken():
            return self.queue.record_of(branch, run)

    def push(self, branches: Sequence[str] | None = None, *, timeout: float) -> Pushed | Queued:  # noqa: D102
        with self.turn.taken():
            return self.queue.push(branches, timeout=timeout)

    def standing(self, branch: str, *, timeout: float, ask: bool) -> Diverged | None:  # noqa: D102
        with self.turn.taken():
            return self.queue.standing(branch, timeout=timeout, ask=ask)


@dataclass(frozen=True, slots=True)
class MessengerInTurn:
    """Keeps and sends the messages of one guest at a time.

    Attributes:
        messenger: What is shared.
        turn: To it; another one than to policy and reports, for which nobody waits while a message is sent.
    """

    messenger: "Messenger"
    turn: Turn

    def tell(  # noqa: D102
        self, notices: "Sequence[Notice]", routes: "Sequence[Route]", now: datetime
    ) -> "tuple[Untold, ...]":
        with self.turn.taken():
            return self.messenger.tell(notices, routes, now)

    def keep(self, notices: "Sequence[Notice]", routes: "Sequence[Route]") -> None:  # noqa: D102
        with self.turn.taken():
            self.messenger.keep(notices, routes)

    def make_room(self) -> bool:  # noqa: D102
        with self.turn.taken():
            return self.messenger.make_room()

    def withdraw(self, notices: "Sequence[Notice]", routes: "Sequence[Route]") -> None:  # noqa: D102
        with self.turn.taken():
            self.messenger.withdraw(notices, routes)

    def deliver(self, now: datetime) -> "tuple[Untold, ...]":  # noqa: D102
        with self.turn.taken():
            return self.messenger.deliver(now)
