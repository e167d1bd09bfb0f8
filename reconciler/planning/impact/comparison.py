"""What a change of policy does to a fleet: two policies, judged at one instant, by what hosts reported.

The rules:

1. It is judged by class, not by host. Hosts that the same documents are about, by the base and by the head,
   are told the same; those that share ``resolution`` as well have the same plans. Each is worked out once.
2. A host that would refuse the head stays as it is, so nothing else of the head is told of it.
3. A host of which nothing is known is named, with the reason. A retired one is none.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from datetime import UTC, datetime

from reconciler.planning.fleet.rows import Row, TargetState
from reconciler.planning.gates.recording import Recording
from reconciler.planning.impact.concerns import concerns_of
from reconciler.planning.impact.counting import by_counts
from reconciler.planning.impact.differences import Differences, applies, differences
from reconciler.planning.impact.effect import (
    IMPACT_VERSION,
    Effect,
    FleetFacts,
    Group,
    Impact,
    Source,
    Unjudged,
    Unreached,
    UpdatesEffect,
    Was,
)
from reconciler.planning.impact.sides import Side, of_trust
from reconciler.planning.impact.subjects import host_of, version_of
from reconciler.planning.impact.updates import asks_of_plans, by_recording
from reconciler.policy.documents import AnyDocument
from reconciler.policy.load import Placed, Revision, is_met
from reconciler.policy.resolve import Effective, HostClass, Resolver
from reconciler.records import dataclass

_NEVER = datetime.fromtimestamp(0, UTC)
_FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EqualHosts:
    """What hosts share for which the same changes.

    Attributes:
        resolution: As in a row; of a host that tells none, its own name.
        reboot: A reboot is pending.
        refusal: Why the head is refused.
    """

    before: HostClass
    after: HostClass
    resolution: str
    reboot: bool
    refusal: str


class Comparison:
    """Two policies and the hosts that they are about.

    Args:
        base: The policy that is in force.
        head: The one that is proposed.
        rows: What is known of the fleet.
        at: The instant at which both are judged, aware.
        until: Until when windows are looked at.
    """

    def __init__(self, base: Side, head: Side, rows: Iterable[Row], at: datetime, until: datetime) -> None:
        self._base, self._head = base, head
        self._at, self._until = at, until
        self._before = Resolver(base.revision or Revision(""))
        self._after = Resolver(head.revision or Revision(""))
        self._rows = {row.target: row for row in rows if row.state is not TargetState.RETIRED}
        self._differences: dict[tuple[HostClass, HostClass], Differences] = {}
        self._cases: defaultdict[EqualHosts, list[Row]] = defaultdict(list)
        self._unjudged: dict[str, str] = {}
        self._planned: dict[EqualHosts, UpdatesEffect] = {}
        self._unread: dict[str, str] = {}
        self._sort()
        self._samples = {
            rows[0].target: case for case, rows in self._cases.items() if self._is_planned_anew(case)
        }

    def _sort(self) -> None:
        """Put each host into its case."""
        is_judged = self._base.revision is not None and self._head.revision is not None
        for row in self._rows.values():
            if not row.is_known:
                self._unjudged[row.target] = row.reason
            elif not is_judged:
                self._unjudged[row.target] = "nothing of the policy can be judged"
            else:
                self._cases[self._case_of(row)].append(row)
        for side in (self._base, self._head):
            for placed in side.revision.hosts if side.revision is not None else ():
                if placed.value.name not in self._rows:
                    self._unjudged[placed.value.name] = "it has a Host document, and no report"

    def _case_of(self, row: Row) -> EqualHosts:
        host = host_of(row, self._before)
        resolution = row.resolution or row.target
        kinds = self._before.class_of(host), self._after.class_of(host)
        return EqualHosts(kinds[0], kinds[1], resolution, row.reboot, self._refusal(row))

    def _refusal(self, row: Row) -> str:
        requires, version = self._head.requires, version_of(row)
        if not requires or not version or is_met(requires, version):
            return ""
        return f"it runs {version}, and the head asks for patchledger {requires}"

    def samples(self) -> tuple[str, ...]:
        """Return the hosts whose recordings are worth reading: one of each case whose plans may differ."""
        return tuple(self._samples)

    def judge(self, target: str, recording: Recording) -> None:
        """Plan anew for the hosts of which this one is the sample; without that, updates are told by number.

        Args:
            target: One of :meth:`samples`.
            recording: What it recorded; nothing of it is kept.
        """
        case = self._samples[target]
        before, after = self._effective(case)
        self._planned[case] = by_recording(recording, before, after, self._at)

    def pass_over(self, target: str, problem: str) -> None:
        """Note why the recording of one of :meth:`samples` cannot be read."""
        self._unread[target] = problem

    def _is_planned_anew(self, case: EqualHosts) -> bool:
        before, after = self._effective(case)
        return not case.refusal and asks_of_plans(before, after, self._at)

    def _effective(self, case: EqualHosts) -> tuple[Effective, Effective]:
        return self._before.of_class(case.before), self._after.of_class(case.after)

    def impact(self, source: Source) -> Impact:
        """Return what changes.

        Args:
            source: What ``rows`` are from.
        """
        groups = self._groups()
        known = [row for rows in self._cases.values() for row in rows]
        changing = [group for group in groups if not group.effect.is_nothing]
        heard = [row.heard for row in known if row.heard is not None]
        unjudged, unread = (
            tuple(Unjudged(name, why) for name, why in sorted(found.items()))
            for found in (self._unjudged, self._unread)
        )
        unreached = tuple(self._unreached())
        return Impact(
            schema=IMPACT_VERSION,
            base=self._base.said,
            head=self._head.said,
            at=self._at,
            until=self._until,
            facts=FleetFacts(
                source,
                min(heard, default=None),
                max(heard, default=None),
                sum(row.policy_commit != self._base.said.commit for row in known),
            ),
            hosts=len(known),
            changed=sum(len(group.hosts) for group in changing),
            lost_windows=_hosts(groups, lambda one: one.windows is not None and one.windows.are_lost),
            estimated=_hosts(groups, lambda one: one.updates.basis == "estimated"),
            refusing=_hosts(groups, lambda one: bool(one.refusal)),
            concerns=tuple(
                concerns_of(self._head.said, changing, unjudged, unreached, of_trust(self._base, self._head))
            ),
            groups=tuple(changing),
            unjudged=unjudged,
            unread=unread,
            unreached=unreached,
        )

    def _groups(self) -> list[Group]:
        found: dict[Effect, _Hosts] = {}
        for case, rows in self._cases.items():
            found.setdefault(self._effect(case, rows), _Hosts()).add(rows)
        groups = [Group(tuple(sorted(one.names)), one.oldest, effect) for effect, one in found.items()]
        return sorted(groups, key=lambda group: (-len(group.hosts), group.hosts))

    def _effect(self, case: EqualHosts, rows: Sequence[Row]) -> Effect:
        if case.refusal:
            return Effect(refusal=case.refusal)
        told = self._told(case)
        before, after = self._effective(case)
        updates = self._planned.get(case, UpdatesEffect())
        if case not in self._planned and rows[0].target in self._samples:
            updates = by_counts(rows[0], before, after, self._at)
        reboot = _reboot(before, after) if case.reboot else ""
        return Effect(
            "",
            told.ambiguities,
            told.settings,
            told.documents,
            told.windows,
            updates,
            reboot,
            told.reboots_unapproved,
            told.contradictions_end,
            told.begins,
        )

    def _told(self, case: EqualHosts) -> Differences:
        pair = case.before, case.after
        known = self._differences.get(pair)
        if known is None:
            known = differences(*self._effective(case), self._at, self._until)
            self._differences[pair] = known
        return known

    def _unreached(self) -> Iterator[Unreached]:
        """Yield the documents of the head that are about no host that is known."""
        before = _united(case.before for case in self._cases)
        after = _united(case.after for case in self._cases)
        there = {_name(one) for one in self._before.documents(self._before.everything)}
        reached = {_name(one) for one in self._before.documents(before)}
        now = {_name(one) for one in self._after.documents(after)}
        for placed in self._after.documents(self._after.everything):
            name = _name(placed)
            if name not in now:
                was: Was = "reached" if name in reached else "idle" if name in there else "new"
                yield Unreached(name[0], name[1], str(placed.origin), was)


@dataclass(slots=True)
class _Hosts:
    """Hosts of one effect, while they are gathered."""

    names: list[str] = field(default_factory=list)
    oldest: datetime = _FAR

    def add(self, rows: Sequence[Row]) -> None:
        self.names += (row.target for row in rows)
        self.oldest = min(self.oldest, *(row.heard or _NEVER for row in rows))


def _united(kinds: Iterable[HostClass]) -> HostClass:
    policies = freezes = exceptions = approvals = 0
    for kind in kinds:
        policies |= kind.policies
        freezes |= kind.freezes
        exceptions |= kind.exceptions
        approvals |= kind.approvals
    return HostClass(policies, freezes, exceptions, approvals)


def _name(placed: Placed[AnyDocument]) -> tuple[str, str]:
    return placed.value.kind, placed.value.name


def _hosts(groups: Iterable[Group], is_one: Callable[[Effect], bool]) -> int:
    return sum(len(group.hosts) for group in groups if is_one(group.effect))


def _reboot(before: Effective, after: Effective) -> str:
    was, will = _reboots(before), _reboots(after)
    if was == will:
        return ""
    if will:
        return "the reboot that is pending would be made in the next window that holds it"
    return "the reboot that is pending would not be made any more"


def _reboots(effective: Effective) -> bool:
    return applies(effective) and effective.settings.reboot.when != "never"
