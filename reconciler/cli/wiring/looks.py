"""How long the last look at a guest stands, so that a tick need not enter every guest each time.

A look stands while nothing has changed of all that can be seen without entering: the policy commit, the
configuration, the program, which guests there are and how they are, hooks of guests, and what is kept of the
guest itself. It ends when time alone may change its outcome, and after :data:`LONGEST` at the latest, since
what is done inside of a guest is not seen from outside. A guest that was never looked at, in which something
failed, waits for a moment or was left half done, has none: the next tick looks at it.

Looks are of one tick's view: a file that names another one, or is damaged, has none at all.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache

from pydantic import TypeAdapter

from reconciler.host.config import Config
from reconciler.host.state.memory import is_zoned
from reconciler.planning.facts.guest_rows import GuestTold
from reconciler.planning.gates.decision import may_pass_unseen
from reconciler.planning.gates.reboot import RebootRefused
from reconciler.reconcile.assess import Assessment
from reconciler.reconcile.metering import is_kept_from_fetching
from reconciler.reconcile.tick import Tick
from reconciler.records import dataclass

FILE = "guests.json"
"""File of the hypervisor's state folder with the last looks at its guests."""
LONGEST = timedelta(hours=1)
"""How old a look may become."""
_ALONG = LONGEST / 2
"""How old one may become where another guest is looked at anyway: so that all become due together, and most
ticks have nothing to do."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the last look at a guest came to.

    Attributes:
        at: When it was looked at.
        until: From then on it is looked at again though nothing changed.
        kept: Digest of what is kept of the guest, just after the look.
        told: For its row.
    """

    at: datetime
    until: datetime
    kept: str
    told: GuestTold

    def stands(self, kept: str, now: datetime) -> bool:
        """Say whether it need not be made again; a clock that was set back shows nothing."""
        return bool(kept) and kept == self.kept and self.at <= now < self.until

    def is_taken_along(self, now: datetime) -> bool:
        """Say whether it is made again where another guest's is."""
        return now - self.at >= _ALONG


@dataclass(frozen=True, slots=True)
class Looks:
    """The last looks at guests.

    Attributes:
        key: Digest of all that they depend on together; empty where that is not known, and nothing stands.
        of: By the guest's id.
    """

    key: str
    of: Mapping[str, Look]

    @classmethod
    def read(cls, data: bytes | None, key: str) -> "Looks":
        """Return the looks of a file as far as they count where all depends on ``key``."""
        try:
            kept = None if data is None else _looks().validate_json(data)
        except ValueError:
            kept = None
        if kept is None or not key or kept.key != key or not all(map(is_zoned, kept.of.values())):
            return cls(key, {})
        return kept

    def to_json(self) -> bytes:
        """Return the file's content."""
        return _looks().dump_json(self)


@lru_cache(maxsize=1)
def _looks() -> TypeAdapter[Looks]:
    return TypeAdapter(Looks)


def changes_at(config: Config, done: Tick) -> datetime:
    """Return the first instant at which a tick will have something new to say though nothing changed."""
    heartbeat = done.report.generated_at + config.reports.heartbeat
    at = done.assessment.next_instant
    return heartbeat if at is None else min(heartbeat, at)


def passes_unseen(assessment: Assessment) -> bool:
    """Say whether something waits that could go on though nothing that is compared changes."""
    judged = assessment.finding.judged
    # What there is to update is not known while nothing is fetched, so that the decision says little.
    if is_kept_from_fetching(assessment.finding.recording.inputs):
        return True
    if isinstance(assessment.reboot, RebootRefused) and assessment.reboot.asks_again:
        return True
    return any(may_pass_unseen(one.decision, one.gates) for one in judged.rulings)
