"""The checks that each run must pass: what it rests on, when it was, and what it did.

A check yields what speaks against a run, and nothing where nothing does. What contradicts the rules, or other
evidence, refutes; what merely is not there leaves unproved. What another version of the program made may
differ for its rules, so that a difference alone refutes nothing there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.planning.audit.rebuilt import Moment, Rebuilt, ask_again, differing, matched, rebuild
from reconciler.planning.audit.story import BREAKS, Link, Story, Unread
from reconciler.planning.audit.verdicts import Against, Verdict
from reconciler.planning.facts.observation import Move
from reconciler.planning.facts.package import Mention, PackageId, Transition
from reconciler.planning.gates.gates import CLOCK_TOLERANCE, approval_gate, freeze_gate
from reconciler.planning.gates.inputs import is_security_plan
from reconciler.planning.gates.recording import Recording
from reconciler.planning.gates.types import Apply, Closed, Deferred, FailedApply, GateInputs, GateName
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.report import build_report, to_document
from reconciler.planning.resolving.dispositions import Plan
from reconciler.planning.resolving.plan import security_only
from reconciler.planning.resolving.youth import state_ends
from reconciler.planning.runs.costs import share_left
from reconciler.planning.runs.record import (
    PASSING,
    RunOutcome,
    RunRecord,
    StepOutcome,
    StepRecord,
    difference,
    move_of,
)
from reconciler.planning.text.wording import listed, minute
from reconciler.policy import windows
from reconciler.policy.enrolment import Standing
from reconciler.policy.resolve import Effective
from reconciler.policy.values import format_duration
from reconciler.policy.zones import shifted
from reconciler.records import dataclass

_SHORT = 12
ASKED_BEFORE = timedelta(minutes=15)
"""The policy is fetched in between, and the journal written."""


@dataclass(frozen=True, slots=True)
class RunCase:
    """A run, with all that is to be looked at for it.

    Attributes:
        link: The report that tells of it.
        announced: The one that announced it, where the branch holds that.
        recording: What that was decided from.
        built: The same with what policy says.
    """

    story: Story
    link: Link
    record: RunRecord
    announced: Link | None
    recording: Recording | Unread
    built: Rebuilt | Unread

    @classmethod
    def of(cls, story: Story, link: Link, record: RunRecord) -> "RunCase":
        """Gather what belongs to a run."""
        found = None if record.announced is None else story.find(record.announced.commit)
        if found is None:
            missing = Unread("the report that announced it is not there")
            return cls(story, link, record, None, missing, missing)
        recording = story.recordings(found.recording)
        return cls(story, link, record, found, recording, _built(recording, story))

    @property
    def began(self) -> datetime:
        """When it began to change something, by the host's clock."""
        return min((step.started for step in self.record.steps), default=self.record.started)

    @property
    def is_repair(self) -> bool:
        """Whether it only brought to an end what had been left half done."""
        changes = [change for step in self.record.steps for change in step.changes]
        return self.record.run.endswith("-repair") and not changes

    @property
    def commits(self) -> tuple[str, ...]:
        """The reports that tell of it."""
        return (self.link.commit, *(() if self.announced is None else (self.announced.commit,)))

    @property
    def is_of_this_program(self) -> bool:
        """Whether the rules of this very program made what is to be compared."""
        return isinstance(self.recording, Recording) and self.recording.program == self.story.program

    def policy_of(self, step: StepRecord) -> str:
        """Return the policy that a step was made under."""
        return self.record.policy_commit if step.policy is None else step.policy.commit

    def effective_of(self, step: StepRecord) -> Effective | None:
        """Return what that said for the host; ``None`` where it cannot be told."""
        if isinstance(self.recording, Unread):
            return None
        found = matched(self.recording, self.policy_of(step), self.story.policy)
        return None if isinstance(found, Unread) else found[1]

    def refuted(self, check: str, reason: str, *commits: str) -> Against:
        """Return that something contradicts it."""
        return Against(check, Verdict.REFUTED, reason, commits or self.commits)

    def unproved(self, check: str, reason: str, *commits: str) -> Against:
        """Return that something is missing."""
        return Against(check, Verdict.UNPROVED, reason, commits or self.commits)

    def differs(self, check: str, reason: str, *commits: str) -> Against:
        """Return that something comes out otherwise, which the rules of another version may explain."""
        if self.is_of_this_program:
            return self.refuted(check, reason, *commits)
        made = self.recording.program if isinstance(self.recording, Recording) else "another program"
        said = f"not replayable here: {reason}; it was made by {made}, and this is {self.story.program}"
        return self.unproved(check, said, *commits)


def _built(recording: Recording | Unread, story: Story) -> Rebuilt | Unread:
    if isinstance(recording, Unread):
        return recording
    try:
        return rebuild(recording, story.policy)
    except BREAKS as error:
        return Unread(f"it cannot be decided again: {type(error).__name__}")


_FALSE = {Standing.OTHER_KEY, Standing.REVOKED, Standing.RETIRED}


def signed(case: RunCase) -> Iterator[Against]:
    """Ask for the host's signature on both reports."""
    for link in {one.commit: one for one in (case.link, case.announced) if one is not None}.values():
        if link.standing is not None and link.standing.counts:
            continue
        reason = link.against or f"nobody looked who signed report {link.commit[:_SHORT]}"
        if link.standing in _FALSE:
            yield case.refuted("signed", reason, link.commit)
        else:
            yield case.unproved("signed", reason, link.commit)


def announced(case: RunCase) -> Iterator[Against]:
    """Ask for the report that said beforehand what was going to be done."""
    told, found = case.record.announced, case.announced
    if told is None:
        yield case.unproved("announced", "its record names no report that announced it")
        return
    if found is None or not case.story.holds(found.commit, case.link.commit) or found is case.link:
        said = (
            f"the report {told.commit[:_SHORT]} that is to have announced it does not come before its record"
        )
        is_moved = not case.story.is_whole
        yield (case.unproved if is_moved else case.refuted)("announced", said, case.link.commit)
        return
    between = _between(case, found)
    if between is not None:
        said = "other reports came between its announcement and its record"
        yield case.unproved("announced", said, *case.commits, between.commit)
    report = case.story.reports(found.report)
    if isinstance(report, Unread):
        yield case.unproved("announced", report.reason, found.commit)
        return
    if report.leading.plan.digest != case.record.digest:
        yield case.refuted("announced", "the report that is to have announced it has another plan")
    if report.generated_at > case.began:
        yield case.refuted("announced", "the report that is to have announced it is of a later time")
    yield from _pushed(case, is_pushed=told.pushed)


def _between(case: RunCase, announcing: Link) -> Link | None:
    """Return a report that came after the announcement and before the record, and is of another matter."""
    here = case.story.before(case.link)
    while here is not None and here is not announcing:
        records = [one.record for one in here.runs if isinstance(one.record, RunRecord)]
        is_of_it = any(record.announced == case.record.announced for record in records)
        if not here.is_heartbeat and not is_of_it:
            return here
        here = case.story.before(here)
    return None


def _pushed(case: RunCase, *, is_pushed: bool) -> Iterator[Against]:
    if is_pushed:
        told = case.link if case.announced is None else case.announced
        late = case.story.missed_by(told.commit, shifted(case.began, CLOCK_TOLERANCE))
        if late is not None:
            said = f"it was not announced before: by {minute(late.at)} the report on it had not arrived"
            yield case.refuted("announced", said, late.commit)
    elif isinstance(case.built, Rebuilt) and case.built.inputs.settings.approval == "required":
        yield case.refuted("announced", "its plan needs an approval, and was not pushed before")
    else:
        yield case.unproved("announced", "its announcement was not pushed before it began")


def policy_line(case: RunCase) -> Iterator[Against]:
    """Ask for each policy commit on the line, and for none that is older than one before."""
    places = case.story.policy.places
    used = [case.record.policy_commit, *(case.policy_of(step) for step in case.record.steps)]
    for commit in dict.fromkeys(used):
        if commit not in places:
            said = f"it rests on policy {commit[:_SHORT] or '(none)'}, which is not on the line of the policy"
            yield case.unproved("policy-line", said)
    newest = max((places.get(one.policy, -1) for one in _good_before(case)), default=-1)
    least = min((places[one] for one in used if one in places), default=newest)
    if least < newest:
        said = "it rests on an older policy than a report before it"
        yield case.refuted("policy-line", said)
    if isinstance(case.recording, Recording) and case.recording.policy_commit != case.record.policy_commit:
        yield case.refuted("policy-line", "its record and its announcement name different policies")
    named = "" if case.announced is None or case.announced.is_heartbeat else case.announced.policy
    if named not in {"", case.record.policy_commit}:
        yield case.refuted(
            "policy-line", "its record and the commit of its announcement differ about the policy"
        )


def _good_before(case: RunCase) -> Iterator[Link]:
    """Yield the reports of the host that its announcement follows."""
    until = case.announced or case.link
    for one in case.story.links:
        if one is until:
            return
        if one.standing is not None and one.standing.counts:
            yield one


def rebuilt(case: RunCase) -> Iterator[Against]:
    """Ask for what policy decides to be recorded as policy decides it."""
    match case.built:
        case Unread(reason=reason):
            yield case.unproved("rebuilt", reason)
        case Rebuilt(recording=recording, inputs=inputs, labels=labels):
            differ = list(differing(recording.inputs, inputs))
            if labels != dict(recording.labels):
                differ.insert(0, "labels")
            if differ:
                said = f"the host recorded otherwise than the policy says: {listed(differ)}"
                yield case.differs("rebuilt", said)


def report(case: RunCase) -> Iterator[Against]:
    """Ask for the announcing report to be what its recording comes out as."""
    if isinstance(case.built, Unread) or case.announced is None:
        return
    told = case.story.reports(case.announced.report)
    if isinstance(told, Unread):
        return
    built = case.built
    # As the host decided: whether it was shown what it should have been is another question.
    again = build_report(built.recording, built.effective, built.told)
    if _text(again) != _text(told):
        yield case.differs("report", "the report that announced it is not what its recording comes out as")


def _text(told: Report) -> str:
    """Return what is written of a report, all of it; its lines need no layout to be compared."""
    return json.dumps(to_document(told), sort_keys=True)


def decision(case: RunCase) -> Iterator[Against]:
    """Ask for the same plan and for open gates, by what policy says."""
    if isinstance(case.built, Unread):
        return
    ruling, told = case.built.ruling, case.record.freeze
    if ruling.plan.digest != case.record.digest:
        yield case.differs("decision", "another plan comes out of what was recorded")
    is_separate = ruling.plan.digest != case.built.judged.plan.digest
    if told != ruling.freeze and (told or is_separate):
        said = f"its record tells of the freeze {told or '(none)'}, and it was let through by another"
        yield case.refuted("decision", f"{said} ({ruling.freeze or 'none'})")
    if case.is_repair:
        shut = [gate for gate in ruling.gates if isinstance(gate, Closed) and gate.gate is not GateName.HOST]
        if shut:
            yield case.differs("decision", f"it was not allowed when it was decided: {shut[0].reason}")
        return
    match ruling.decision:
        case Apply():
            pass
        case Deferred(reason=reason):
            yield case.differs("decision", f"it was not allowed when it was decided: {reason}")
        case _:
            yield case.differs("decision", "there was nothing to do when it was decided")


def steps(case: RunCase) -> Iterator[Against]:
    """Ask all gates again at each step, by the policy of that step."""
    for number, step, share in _shares(case):
        if step.asked is None:
            if step.changes:
                yield case.unproved("steps", f"nothing tells what the gates were shown at step {number + 1}")
            continue
        asked = _asked(case, step, share)
        if isinstance(asked, Unread):
            yield case.unproved("steps", f"step {number + 1}: {asked.reason}")
            continue
        plan, closed = asked
        if plan.digest != case.record.digest:
            yield case.differs("steps", f"the policy of step {number + 1} wanted another plan")
        yield from _shut(case, number, closed)


def _shares(case: RunCase) -> Iterator[tuple[int, StepRecord, float]]:
    """Yield each step with its number, and the part of the budget that what was left then needed."""
    if isinstance(case.built, Unread):
        return
    transaction = case.built.ruling.plan.transaction
    left = {change.transition for change in transaction}
    for number, step in enumerate(case.record.steps):
        yield number, step, share_left(transaction, left)
        # Of one that was refused or locked nothing was done.
        if step.outcome in {StepOutcome.DONE, StepOutcome.FAILED}:
            left -= {move.transition for move in step.changes}


def _asked(case: RunCase, step: StepRecord, share: float) -> tuple[Plan, tuple[Closed, ...]] | Unread:
    """Return plan and closed gates at a step, by the policy that its record names."""
    if isinstance(case.built, Unread) or step.asked is None:
        return Unread("it cannot be decided again")
    fetched = None if step.policy is None else step.policy.fetched_at
    moment = Moment(step.asked, case.policy_of(step), fetched, share)
    return ask_again(case.built, moment, case.story.policy)


def _shut(case: RunCase, number: int, closed: Sequence[Closed]) -> Iterator[Against]:
    effective = None if isinstance(case.built, Unread) else case.built.effective
    for gate in closed:
        # Once something was done, policy may want the rest done as well, however late.
        if gate.gate is GateName.WINDOW and _may_overrun(effective, number):
            continue
        yield case.differs("steps", f"step {number + 1} was not allowed when it began: {gate.reason}")


def _may_overrun(effective: Effective | None, number: int) -> bool:
    return bool(number) and effective is not None and effective.settings.overrun == "finish"


def window(case: RunCase) -> Iterator[Against]:
    """Ask for each step to begin in a window and in no freeze, soon after its gates were asked."""
    if not _is_in_order(case):
        yield case.unproved("window", "the times in its record are not in their order: the clock jumped")
    for number, step in enumerate(case.record.steps):
        waited = None if step.asked is None else step.started - step.asked.at
        if waited is not None and waited > ASKED_BEFORE:
            said = f"step {number + 1} began {format_duration(waited)} after its gates were asked"
            yield case.unproved("window", said)
    if isinstance(case.built, Unread):
        return
    begins = [
        (case.effective_of(step), step.started, f"step {number}")
        for number, step in enumerate(case.record.steps, 1)
    ]
    # Of one that tells of no step, such as a repair, the whole began.
    for number, (effective, at, what) in enumerate(begins or [(case.built.effective, case.began, "it")]):
        reason = "" if effective is None else _not_then(case.built, effective, number, at)
        if reason:
            yield case.differs("window", f"{what} began at {minute(at)}, {reason}")


def _is_in_order(case: RunCase) -> bool:
    """Say whether it was decided on, began, and made each step, after its gates were asked, in this order."""
    record = case.record
    times = [] if isinstance(case.recording, Unread) else [case.recording.now]
    times.append(record.started)
    for step in record.steps:
        times += [step.started] if step.asked is None else [step.asked.at, step.started]
    ends = all(step.started <= step.ended <= record.ended for step in record.steps)
    return ends and times == sorted(times)


def _not_then(built: Rebuilt, effective: Effective, number: int, at: datetime) -> str:
    """Say why nothing may begin at an instant; empty where it may."""
    planned_by = security_only(effective) if built.ruling.freeze else effective
    inputs: GateInputs = replace(
        built.inputs, freezes=effective.frozen, is_security_plan=is_security_plan(planned_by)
    )
    is_bound = inputs.break_glass is None and not _may_overrun(effective, number)
    if is_bound and not windows.is_open(effective.schedules, at, splay_key=built.recording.host.target):
        return "outside of every window"
    frozen = freeze_gate(inputs, built.ruling.plan, at)
    return frozen.reason if isinstance(frozen, Closed) else ""


def exceptional(case: RunCase) -> Iterator[Against]:
    """Ask for its record to say who passed over the window, where anybody did."""
    glass = None if isinstance(case.recording, Unread) else case.recording.inputs.break_glass
    if not isinstance(case.recording, Unread) and case.record.exceptional != glass:
        said = "its record and its announcement differ about who passed over the window"
        yield case.refuted("exceptional", said)


def bracket(case: RunCase) -> Iterator[Against]:
    """Ask for its time to lie between what others have dated."""
    policy, ended = case.story.policy, case.record.ended
    made = [policy.dates[one] for one in _policies(case) if one in policy.dates]
    if made and shifted(case.began, CLOCK_TOLERANCE) < max(made):
        said = (
            f"it is to have begun at {minute(case.began)}, before its policy was made ({minute(max(made))})"
        )
        yield case.refuted("bracket", said)
    seen = case.story.first_to_know(case.link.commit)
    if seen is None:
        yield case.unproved("bracket", "nobody else has dated it: no publisher has seen the report on it")
    elif ended > shifted(seen.at, CLOCK_TOLERANCE):
        said = f"it is to have ended at {minute(ended)}, and a publisher knew of it at {minute(seen.at)}"
        yield case.refuted("bracket", said, seen.commit)


def _policies(case: RunCase) -> list[str]:
    return [case.record.policy_commit, *(case.policy_of(step) for step in case.record.steps)]


def withdrawn(case: RunCase) -> Iterator[Against]:
    """Ask whether the newest policy of each step's time would have let it happen, too."""
    policy = case.story.policy
    for number, step, share in _shares(case):
        newest = "" if step.asked is None else policy.newest_at(step.asked.at)
        if policy.places.get(newest, -1) <= policy.places.get(case.policy_of(step), -1):
            continue
        reason = _withdrawn_by(case, step, share, newest)
        if reason:
            when = minute(policy.dates[newest])
            said = f"step {number + 1}: policy {newest[:_SHORT]} of {when} had withdrawn it ({reason})"
            yield case.unproved("withdrawn", f"{said}, and the host did not follow it", newest)
            return


def _withdrawn_by(case: RunCase, step: StepRecord, share: float, newest: str) -> str:
    """Say what a newer policy has against a step that the one of its record has not; empty for nothing."""
    if isinstance(case.built, Unread) or step.asked is None:
        return ""
    own = _asked(case, step, share)
    known = set() if isinstance(own, Unread) else {gate.gate for gate in own[1]}
    moment = Moment(step.asked, newest, step.asked.at, share)
    asked = ask_again(case.built, moment, case.story.policy)
    if isinstance(asked, Unread):
        return asked.reason
    plan, closed = asked
    if plan.digest != case.record.digest:
        return "it wants another plan"
    return next((gate.reason for gate in closed if gate.gate not in known), "")


def approval(case: RunCase) -> Iterator[Against]:
    """Ask for an approval that no run before has used up."""
    if isinstance(case.built, Unread):
        return
    before = [
        (link, record)
        for link, record in case.story.runs_until(case.link)
        if record.outcome is RunOutcome.APPLIED and record.run != case.record.run
    ]
    used = tuple(record.digest for _, record in before)
    inputs = case.built.inputs
    found = approval_gate(
        case.built.ruling.plan, inputs.settings, inputs.approvals, case.built.recording.now, used=used
    )
    if isinstance(found, Closed):
        earlier = [link.commit for link, record in before if record.digest == case.record.digest]
        yield case.differs("approval", found.reason, *case.commits, *earlier)
    elif inputs.settings.approval == "required" and not case.story.is_whole:
        said = "its approval may be used up: the reports before are not all there"
        yield case.unproved("approval", said)


def failures(case: RunCase) -> Iterator[Against]:
    """Ask for what is left alone, and for what may be tried again, to follow from the runs before."""
    if isinstance(case.recording, Unread) or case.announced is None:
        return
    before = list(case.story.runs_until(case.announced))
    records = {record.run: record for _, record in before}
    for one in case.recording.observation.quarantined:
        record = records.get(one.run)
        if record is None:
            said = f"it left {one.package} alone for a run that there is no record of ({one.run})"
            yield (case.refuted if case.story.is_whole else case.unproved)("failures", said)
        elif not _has_failed(record, one.package.mention):
            said = f"it left {one.package} alone, which did not fail in the run that it names ({one.run})"
            yield case.refuted("failures", said)
    failed = _failed_before(case, before)
    tried = (case.record.digest, case.record.policy_commit, case.recording.observation.database)
    if failed is not None and (failed.digest, failed.policy_commit, failed.database) == tried:
        said = "this very plan had failed before, and neither policy nor packages had changed since"
        yield case.unproved("failures", said)


def _has_failed(record: RunRecord, package: Mention) -> bool:
    """Say whether a run's record speaks against a package."""
    found = record.difference
    named = [one.mention for step in record.steps for one in step.failed]
    named += [move.package.mention for move in found.missing]
    named += [Mention.parse(words.partition(" ")[0]) for words in found.broken]
    if record.rollback is not None:
        named += [move.package.mention for move in record.rollback.moves]
    return any(one == package or (not one.arch and one.name == package.name) for one in named)


def _failed_before(case: RunCase, before: Sequence[tuple[Link, RunRecord]]) -> FailedApply | None:
    """Return the last plan that failed for its packages and was not applied since."""
    if isinstance(case.recording, Unread) or case.recording.inputs.break_glass is not None:
        return None
    found: FailedApply | None = None
    for link, record in before:
        if record.outcome is RunOutcome.APPLIED:
            found = None
        is_failure = record.outcome in {RunOutcome.FAILED, RunOutcome.ROLLED_BACK}
        if not is_failure or record.code in PASSING or record.hook_against or record.leaves_rest:
            continue
        recording = case.story.recordings(link.recording)
        if isinstance(recording, Recording):
            database = recording.observation.database
            found = FailedApply(record.digest, record.policy_commit, database, record.ended)
    return found


def first_sight(case: RunCase) -> Iterator[Against]:
    """Ask for the age of each version to follow from the recordings before."""
    if isinstance(case.built, Unread) or case.built.effective is None or case.announced is None:
        return
    settings = case.built.effective.settings
    if not any((settings.min_age.security, settings.min_age.other, state_ends(settings))):
        return
    planned = {(one.name, one.to_version) for one in case.built.ruling.plan.transaction}
    claimed = {
        (one.origin, one.name, one.version): one.at
        for one in case.built.recording.observation.first_seen
        if (one.name, one.version) in planned
    }
    for recording in _recordings_before(case, case.announced):
        known = {(one.origin, one.name, one.version) for one in recording.observation.first_seen}
        for key in [key for key in claimed if key not in known]:
            if shifted(claimed.pop(key), CLOCK_TOLERANCE) < recording.now:
                said = f"{key[1]} {key[2]} is to have been seen before a report that does not know it"
                yield case.differs("first-sight", said)
        if not claimed:
            return
    first = next(iter(case.story.links), None)
    begin = None if first is None else case.story.recordings(first.recording)
    if isinstance(begin, Recording) and any(
        shifted(at, CLOCK_TOLERANCE) < begin.now for at in claimed.values()
    ):
        yield case.unproved("first-sight", "a version is to have been seen before there was any report")


def _recordings_before(case: RunCase, link: Link) -> Iterator[Recording]:
    """Yield the recordings that a report follows, each once, the newest first."""
    last, here = link.recording, case.story.before(link)
    while here is not None:
        if here.recording != last:
            last = here.recording
            found = case.story.recordings(last)
            if isinstance(found, Recording):
                yield found
        here = case.story.before(here)


def scripts(case: RunCase) -> Iterator[Against]:
    """Ask for the patch scripts to be those that policy pins, or that come with the program."""
    if isinstance(case.built, Unread) or not case.record.steps:
        return
    effective = case.built.effective
    pins = {} if effective is None else effective.settings.scripts
    ran = {one.name: one for one in case.record.scripts}
    for name, one in ran.items():
        pinned = pins.get(name, "").removeprefix("sha256:")
        if pinned and one.sha256 != pinned:
            yield case.refuted("scripts", f"{name} is not the one that policy pins")
        elif not pinned and one.is_of_policy:
            yield case.refuted("scripts", f"{name} came from the policy, which pins none")
        elif not pinned and case.is_of_this_program and case.story.scripts.get(name) != one.sha256:
            yield case.unproved("scripts", f"{name} is not the one of {case.story.program}")
    if not ran:
        yield case.unproved("scripts", "its record does not say which patch scripts ran")


def carried_out(case: RunCase) -> Iterator[Against]:
    """Ask for the run to have done what was planned, and nothing else."""
    told = {move.transition for step in case.record.steps for move in step.changes}
    beside = [move for move in case.record.difference.changed if move.transition not in told]
    if case.is_repair and isinstance(case.recording, Recording):
        ends = _repairs(case, case.recording)
        beside = [move for move in beside if move.to not in ends.get(move.package, ())]
    if beside:
        names = listed([str(move.package) for move in beside], 3)
        yield case.unproved("carried-out", f"no step was told to change {names}, which moved meanwhile")
    if isinstance(case.built, Unread):
        return
    plan = case.built.ruling.plan.transaction
    wanted = {change.transition: move_of(change) for change in plan}
    others = list(_told_otherwise(case, wanted))
    if others:
        names = listed([str(move.package) for move in others], 3)
        yield case.differs("carried-out", f"it tells otherwise than the plan what it did with {names}")
    unwanted = sorted(str(one.package) for one in told if one not in wanted)
    if unwanted:
        said = f"its steps were told to change {listed(unwanted, 3)}, which is not planned"
        yield case.differs("carried-out", said)


def _told_otherwise(case: RunCase, wanted: Mapping[Transition, Move]) -> Iterator[Move]:
    """Yield what a record says of a planned change that the plan, or the machine, does not say of it."""
    for step in case.record.steps:
        yield from (move for move in step.changes if wanted.get(move.transition, move) != move)
    others = [one for one in case.record.difference.changed if wanted.get(one.transition, one) != one]
    after = case.story.recordings(case.link.recording) if others else Unread("nobody asks")
    if isinstance(case.recording, Unread) or isinstance(after, Unread):
        return
    # What is left after a rollback is told without the plan, in the words of its versions.
    before = case.recording.observation
    seen = difference(before.installed, after.observation.installed, (), before.manager).changed
    actions = {move.transition: move.action for move in seen}
    for move in others:
        if move.origin or move.action != actions.get(move.transition, move.action):
            yield move


def _repairs(case: RunCase, recording: Recording) -> dict[PackageId, set[str | None]]:
    """Return what may become of what was half done: its version, or one that was planned now or before."""
    half_done = [one for one in recording.observation.installed if not one.is_whole]
    ends = {one.package: set[str | None]() for one in half_done}
    for one in half_done:
        ends[one.package].add(one.version)
    moves = [
        (move.package, move.to)
        for _, record in case.story.runs_until(case.link)
        for step in record.steps
        for move in step.changes
    ]
    if isinstance(case.built, Rebuilt):
        moves += [(change.package, change.to_version) for change in case.built.ruling.plan.transaction]
    for package, version in moves:
        if package in ends:
            ends[package].add(version)
    return ends


def record(case: RunCase) -> Iterator[Against]:
    """Ask for its record to stay what it was, and to be its own."""
    for link in case.story.links:
        for file in link.runs:
            if file.run == case.record.run and file.is_altered:
                yield case.refuted("record", "its record was altered afterwards", link.commit)
            if file.record is case.record and file.run != case.record.run:
                yield case.refuted("record", f"its record is in the file of another run ({file.run})")
    target = case.story.target.rpartition("/")[2]
    if case.record.target != target:
        yield case.refuted("record", "its record is of another target")
    if isinstance(case.recording, Recording) and case.recording.target != target:
        yield case.refuted("record", "what it was decided from is of another target")
