"""What a change of policy does: the types of an impact, as ``policy impact --format json`` prints them."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from reconciler.planning.facts.package import Identified
from reconciler.planning.resolving.dispositions import Disposition
from reconciler.policy.problems import Problem
from reconciler.records import dataclass

IMPACT_VERSION = 1
"""Of the layout; it grows when a reader of an older one could misread a newer one."""


class Rule(StrEnum):
    """How a line was estimated that the recorded answers of a package manager do not give exactly."""

    HOLD_ADDED = "hold-added"
    """Of a recorded transaction, what must stay is left out, with what came only for its sake or needs it."""
    HOLD_LIFTED = "hold-lifted"
    """What nothing keeps back any more comes, with what a recorded answer brings in for it."""
    SECURITY = "security"
    """What moves where only security updates are wanted is the recorded answer about these, or the security
    updates of another answer."""
    MIN_AGE = "min-age"
    """What is too young is left out like what is held, and what is old enough comes."""


Source = Literal["summary", "reports"]
"""What is known of a fleet is read from its published summary, or from the reports themselves."""

Was = Literal["new", "reached", "idle"]
"""A document that reaches nobody by the head: it is not in the base, was about somebody there, or was not."""

Sort = Literal["mode", "approval", "reboot", "window", "deadline", "route", "other"]
"""What a setting is about."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A setting that has another value.

    Attributes:
        key: Dotted, such as ``reboot.when``; ``splay`` of what the Schedules say.
        origin: Where the new value stands; empty of a default.
    """

    key: str
    sort: Sort
    before: str
    after: str
    origin: str


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """An Exception, Approval or Freeze that begins, ends or changes for a host.

    Attributes:
        what: What it does, such as ``hold nginx*``.
        until: The first instant at which it no longer counts.
        origin: Where it stands, or stood.
        is_weaker: A Freeze that does not cover all that it did.
    """

    kind: Literal["Exception", "Approval", "Freeze"]
    name: str
    change: Literal["begins", "ends", "changes"]
    what: str
    until: datetime
    origin: str
    is_weaker: bool


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """A time from ``start`` to just before ``end``."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class WindowChange:
    """A window in which a run could start that appears, vanishes or moves.

    Attributes:
        schedule: Its Schedule, as far as there is one at the head; else the one of the base.
        before: Null of one that appears.
        after: Null of one that vanishes.
        because: The freeze, or ``budget``, that keeps every run out of one that vanishes although it is in
            the Schedule; else empty.
    """

    change: Literal["appears", "vanishes", "moves"]
    schedule: str
    before: WindowSpan | None
    after: WindowSpan | None
    because: str


@dataclass(frozen=True, slots=True)
class WindowsEffect:
    """What becomes of the windows that begin in the time that is looked at, without any host's own splay.

    Attributes:
        until: Until when they were looked at: where there are very many, not as long as the others.
        before: How many there are in which a run can start, by the base.
        after: By the head.
        next_after: When a run may start next by the head, however far away; null where never.
        changes: The first of them; how many more there are is in ``more``.
    """

    until: datetime
    before: int
    after: int
    next_after: datetime | None
    changes: tuple[WindowChange, ...]
    more: int

    @property
    def are_lost(self) -> bool:
        """Whether there were windows, and none is left."""
        return self.before > 0 and self.after == 0


@dataclass(frozen=True, slots=True)
class UpdateChange(Identified):
    """An update with another fate.

    Attributes:
        change: ``comes``: it would be applied; ``waits``: time or a person must bring it in; ``goes``: it is
            not to be applied; ``differs``: it is not applied either way, for another reason, or it is applied
            in another version.
        version: That would come, or would have come.
        before: Its fate by the base; null where nothing was to happen to the package.
        after: Its fate by the head, likewise.
        reason: Why, in words.
        origin: The line of policy behind that, empty where there is none.
        estimated: The rule by which, null of a line that is exact.
    """

    name: str
    arch: str
    version: str
    security: bool
    change: Literal["comes", "waits", "goes", "differs"]
    before: Disposition | None
    after: Disposition | None
    reason: str
    origin: str
    estimated: Rule | None


@dataclass(frozen=True, slots=True)
class CountedChange:
    """Updates that have another fate and of which only the number is known.

    Attributes:
        change: As of :class:`UpdateChange`.
        at_most: How many.
        withheld: How many of them are, at most, security updates that would have been applied; 0 of what
            comes.
        why: In words.
        estimated: The rule by which, null where the number is exact.
    """

    change: Literal["comes", "waits", "goes"]
    at_most: int
    withheld: int
    why: str
    estimated: Rule | None


@dataclass(frozen=True, slots=True)
class LetThrough:
    """What a Freeze lets through that holds at the instant and lets security updates pass.

    Attributes:
        packages: Sorted; as ``name:arch``.
        estimated: The rule by which, null where it is exact.
    """

    packages: tuple[str, ...]
    estimated: Rule | None


@dataclass(frozen=True, slots=True)
class UpdatesEffect:
    """What becomes of the updates of a host.

    Attributes:
        basis: ``same``: the two policies want the same of them; ``exact``: both plans come from answers that
            the package manager gave; ``estimated``: some of them do not.
        rules: By which it was estimated, whether or not a line came of it.
        changes: Those that are known by name, security updates first.
        counted: Those of which only the number is known.
        overdue: What becomes overdue at once by another deadline.
        passing: What may be applied while a Freeze lasts, where that is another by the head than by the base;
            null where it is the same, or no Freeze holds that lets anything pass.
    """

    basis: Literal["same", "exact", "estimated"] = "same"
    rules: tuple[Rule, ...] = ()
    changes: tuple[UpdateChange, ...] = ()
    counted: tuple[CountedChange, ...] = ()
    overdue: tuple[str, ...] = ()
    passing: LetThrough | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether nothing changes, be it by an estimate."""
        return not (self.changes or self.counted or self.overdue or self.passing)


@dataclass(frozen=True, slots=True)
class Effect:
    """What changes for a host.

    Attributes:
        refusal: Why it would refuse the whole head and stay as it is; then nothing else is told.
        ambiguities: What the head says twice for it: nothing is applied while that is so.
        contradictions_end: What the base says twice for it, where the head says nothing twice: until now
            nothing was applied.
        reboot: What becomes of a reboot that is pending, empty where nothing does.
        reboots_unapproved: It may reboot more often than by the base, and nobody has to approve anything.
        begins: What it does by all settings together that it did not by the base: a setting that means
            nothing where nothing is applied comes to mean something without being changed.
    """

    refusal: str = ""
    ambiguities: tuple[str, ...] = ()
    settings: tuple[SettingChange, ...] = ()
    documents: tuple[DocumentChange, ...] = ()
    windows: WindowsEffect | None = None
    updates: UpdatesEffect = UpdatesEffect()
    reboot: str = ""
    reboots_unapproved: bool = False
    contradictions_end: tuple[str, ...] = ()
    begins: tuple["Peril", ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether a host with this effect does not change."""
        parts = (self.refusal, self.ambiguities, self.settings, self.documents, self.windows, self.reboot)
        return not any(parts) and not self.contradictions_end and self.updates.is_nothing


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts for which the same changes.

    Attributes:
        hosts: Sorted; the first is the sample.
        oldest: When the oldest of their reports was made.
    """

    hosts: tuple[str, ...]
    oldest: datetime
    effect: Effect


class Peril(StrEnum):
    """What a reviewer must not miss; in this order."""

    INVALID = "invalid"
    """The head is no valid policy: every host refuses it."""
    REFUSED = "refused"
    """Hosts refuse the head, since it asks for another program."""
    AMBIGUOUS = "ambiguous"
    """Policies contradict one another: nothing is applied."""
    LOST_WINDOWS = "lost-windows"
    """Hosts lose every window of the time that is looked at."""
    SECURITY_WITHHELD = "security-withheld"
    """Security updates that would have been applied wait, or are not applied any more."""
    UNAPPROVED = "unapproved"
    """What had to be approved need not be any more."""
    BEGINS_TO_APPLY = "begins-to-apply"
    """Hosts that only planned apply updates."""
    STOPS_APPLYING = "stops-applying"
    """Hosts that applied updates do not any more."""
    REBOOTS = "reboots"
    """Hosts that did not reboot may."""
    UNAPPROVED_REBOOTS = "unapproved-reboots"
    """Hosts may reboot, or do so more often, without anybody's approval."""
    REMOVALS = "removals"
    """Packages may be removed."""
    FREEZE_ENDS = "freeze-ends"
    """A freeze does not hold any more, or holds for less."""
    SIGNERS = "signers"
    """Others may sign policy, or publish; or the policy calls itself otherwise."""
    IDENTITIES = "identities"
    """A host that has a document is another machine, or reports by another key, or by none."""
    REACHES_NOBODY = "reaches-nobody"
    """A document of the head that is new, or reached somebody, is about no host that is known."""
    UNJUDGED = "unjudged"
    """Hosts of which too little is known."""


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that a reviewer must not miss.

    Attributes:
        hosts: Whom it is about, sorted; empty where it is about the policy.
        message: One sentence.
    """

    peril: Peril
    hosts: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class PolicySide:
    """One of the two policies.

    Attributes:
        name: What it was asked for as.
        commit: Full id, empty of a folder.
        problems: What makes it invalid; then it was judged without the files that they are in.
    """

    name: str
    commit: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """What is known of the fleet.

    Attributes:
        source: Where from.
        oldest: When the oldest report was made that was judged by; null without any.
        newest: Likewise.
        other_policy: How many hosts reported by another policy than the base.
    """

    source: Source
    oldest: datetime | None
    newest: datetime | None
    other_policy: int


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A host for which nothing can be told, and why."""

    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unreached:
    """A document of the head that is about no host that is known.

    Attributes:
        was: ``new``: it is not in the base; ``reached``: it was about somebody there; ``idle``: it was not.
    """

    kind: str
    name: str
    origin: str
    was: Was


@dataclass(frozen=True, slots=True)
class Impact:
    """What a change of policy does to a fleet.

    Attributes:
        schema: Version of this layout.
        at: The instant at which both policies were judged.
        until: Until when windows were looked at.
        hosts: How many were judged.
        changed: For how many of them something changes.
        lost_windows: How many lose every window until then.
        estimated: For how many a line is estimated.
        refusing: How many refuse the head.
        concerns: What a reviewer must not miss, in the order of :class:`Peril`.
        groups: Hosts for which the same changes, the largest group first.
        unjudged: Hosts that were left out, sorted.
        unread: Hosts whose recording cannot be read, sorted: they, and those that they stand for, are judged
            by numbers alone.
        unreached: Documents that reach nobody.
    """

    schema: int
    base: PolicySide
    head: PolicySide
    at: datetime
    until: datetime
    facts: FleetFacts
    hosts: int
    changed: int
    lost_windows: int
    estimated: int
    refusing: int
    concerns: tuple[Concern, ...]
    groups: tuple[Group, ...]
    unjudged: tuple[Unjudged, ...]
    unread: tuple[Unjudged, ...]
    unreached: tuple[Unreached, ...]
