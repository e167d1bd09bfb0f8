"""What an impact says of updates, against a plan made anew by the resolver of each package manager.

The machines are real and small. Each is looked at once; then it is asked what each policy wants to know of
it, and no question twice, since it does not change: so a change of policy costs few starts of a package
manager. Exact lines are what the machine then plans; estimated ones are so in nine of ten cases, for each
package manager.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.dnf import DNF
from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts.observation import Answer, Exchange, Observation, Question
from reconciler.planning.facts.versions import order_of
from reconciler.planning.gates.recording import Recording, record
from reconciler.planning.gates.security_plan import passed_freeze
from reconciler.planning.impact.effect import UpdatesEffect
from reconciler.planning.impact.updates import asks_of_plans, by_recording
from reconciler.planning.resolving.age import observe_first_seen
from reconciler.planning.resolving.dialogue import next_question, unrestricted
from reconciler.planning.resolving.dispositions import Disposition, Plan
from reconciler.planning.resolving.plan import make_plan, security_only
from reconciler.planning.resolving.sources import SourcesAsked
from reconciler.policy.load import PolicyFile, Revision, load
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Effective, Resolver
from reconciler.targets.local import LocalTarget
from tests.e2e.policy_edits import USUAL, Edit, Files, edits_of_updates
from tests.e2e.site import BEFORE
from tests.e2e.test_managers import add_rpms, add_to_apt, add_to_pacman
from tests.report_samples import INPUTS

_DIALECTS = {"apt": APT, "dnf": DNF, "zypper": ZYPPER, "pacman": PACMAN}
_LONG_AGO = timedelta(days=20)
Fates = Mapping[str, tuple[Disposition, str | None]]


@dataclass
class Machine:
    """A machine that was looked at, and whose package manager answers.

    Attributes:
        seen: Every other version that is offered has been there for long.
        looks: What else was seen of it, by what policy says of its sources.
        answers: All that were given.
    """

    name: str
    manager: ScriptedManager
    seen: Observation
    looks: dict[SourcesAsked, Observation] = field(default_factory=dict)
    answers: dict[Question, Answer] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, lab: Any) -> "Machine":
        adding: Mapping[str, Any] = {"apt": add_to_apt, "pacman": add_to_pacman}
        adding.get(name, add_rpms)(lab, "extra", {"plain": "1.2", "victim": "1.1"})
        root = lab.root if name in ("dnf", "zypper") else None
        script = PatchScript.load(_DIALECTS[name].script)
        manager = ScriptedManager(_DIALECTS[name], LocalTarget(lab.environment), script, lab.cache, root=root)
        if name == "pacman":
            manager.refresh()  # its lists belong to patchledger alone
        seen = manager.observe(BEFORE)
        order = order_of(seen.manager)
        dated = observe_first_seen((), seen.offers, BEFORE, None, order=order)
        some = [replace(one, at=BEFORE - _LONG_AGO) for one in dated[::2]]
        return cls(name, manager, replace(seen, first_seen=(*some, *dated[1::2])))

    def answer(self, question: Question) -> Exchange:
        if question not in self.answers:
            self.answers[question] = self.manager.resolve(question)
        return Exchange(question, self.answers[question])

    def effective(self, files: Files, commit: str) -> Effective:
        wanted = {**USUAL, **files}
        placed = [
            PolicyFile(path, "100644", text.encode()) for path, text in wanted.items() if text is not None
        ]
        revision = load(placed, commit)
        assert isinstance(revision, Revision), revision
        resolver = Resolver(revision)
        return resolver.of_class(resolver.class_of(self.host))

    @property
    def host(self) -> HostFacts:
        facts = self.seen.facts
        return HostFacts("web-01", {"env": "test"}, facts.os_id, facts.os_version, self.name)

    def look(self, policy: Effective) -> Observation:
        """Return what a host of this policy sees: where it says anything of sources, it looks once more."""
        asked = SourcesAsked.of(self.seen, policy.settings)
        if not asked:
            return self.seen
        if asked not in self.looks:
            again = self.manager.observe(BEFORE, asked.without, asked.security)
            found = asked.joined(self.seen, again)
            self.looks[asked] = replace(found, first_seen=self.seen.first_seen)
        return self.looks[asked]

    def converse(self, policy: Effective) -> tuple[Exchange, ...]:
        seen, exchanges = self.look(policy), tuple[Exchange, ...]()
        while (question := next_question(seen, policy, exchanges, BEFORE)) is not None:
            exchanges += (self.answer(question),)
        return exchanges

    def plan(self, policy: Effective) -> Plan:
        return make_plan(self.look(policy), policy, self.converse(policy), BEFORE)

    def passing(self, policy: Effective) -> set[str]:
        if passed_freeze(policy, self.name, BEFORE) is None:
            return set()
        updates = self.plan(security_only(policy)).updates
        return {str(one.package) for one in updates if one.disposition is Disposition.PLANNED}

    def record(self, policy: Effective) -> Recording:
        exchanges = self.converse(policy)
        freeze = passed_freeze(policy, self.name, BEFORE)
        security = () if freeze is None else self.converse(security_only(policy))
        seen = self.look(policy)
        made = record(
            seen,
            exchanges,
            INPUTS,
            self.host,
            program="patchledger 1",
            now=BEFORE,
            security_exchanges=security,
        )
        free = map(self.answer, unrestricted(seen, policy, exchanges, BEFORE))
        return replace(made, unrestricted=tuple(free))


@pytest.fixture(params=["apt", "dnf", "zypper", "pacman"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    world = request.getfixturevalue(f"{request.param}_world")
    return Machine.of(request.param, world.copy(tmp_path / "machine"))


@dataclass
class Tally:
    """How many lines of each rule were true, and which were not.

    Attributes:
        broken: What is called exact, and was not true.
        exact: Edits that were told without an estimate.
    """

    lines: Counter[str] = field(default_factory=Counter)
    true: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    exact: set[str] = field(default_factory=set)

    def add(self, rule: str | None, *, is_true: bool, said: str) -> None:
        if rule is None:
            self.broken += [] if is_true else [said]
            return
        self.lines[rule] += 1
        self.true[rule] += is_true
        self.wrong += [] if is_true else [f"{rule}: {said}"]

    @property
    def share(self) -> float:
        return self.true.total() / max(1, self.lines.total())

    def __str__(self) -> str:
        shares = [f"{rule} {self.true[rule]} of {number}" for rule, number in sorted(self.lines.items())]
        return "\n".join([f"{', '.join(shares)}: {self.share:.1%}", *self.wrong])


def fates(plan: Plan) -> Fates:
    return {str(one.package): (one.disposition, one.candidate) for one in plan.updates}


def fate_of(updates: Fates, package: str) -> Disposition | None:
    return updates[package][0] if package in updates else None


def check(name: str, edit: Edit, machine: Machine, tally: Tally) -> None:
    """Compare what is said of a change with the two plans that the machine is for."""
    old, new = machine.effective(edit.old, "a" * 40), machine.effective(edit.new, "b" * 40)
    found = UpdatesEffect()
    if asks_of_plans(old, new, BEFORE):
        found = by_recording(machine.record(old), old, new, BEFORE)
    if found.basis != "estimated":
        tally.exact.add(name)
    before, after = fates(machine.plan(old)), fates(machine.plan(new))
    told = {str(one.package): one for one in found.changes}
    for package, one in told.items():
        was, will = fate_of(before, package), fate_of(after, package)
        said = f"{name}: {package} {one.before} → {one.after}, truly {was} → {will}"
        # Whether it is applied counts of an estimate; why it is not, nobody was asked.
        is_applied = (one.after is Disposition.PLANNED) == (will is Disposition.PLANNED)
        is_true = is_applied if one.estimated is not None else (one.before, one.after) == (was, will)
        tally.add(one.estimated, is_true=is_true, said=said)
    for package in sorted({*before, *after} - told.keys()):
        was, will = fate_of(before, package), fate_of(after, package)
        if was is not will:
            rule = "not told" if found.basis == "estimated" else None
            tally.add(rule, is_true=False, said=f"{name}: {package} truly {was} → {will}, not told")
    check_passing(name, found, machine.passing(old), machine.passing(new), tally)


def check_passing(name: str, found: UpdatesEffect, was: set[str], will: set[str], tally: Tally) -> None:
    """Compare what is said to pass a freeze with the security plans that the machine is for."""
    if found.passing is None:
        tally.add(None, is_true=was == will, said=f"{name}: {sorted(will)} passes, not told")
        return
    told = set(found.passing.packages)
    for package in sorted(told | will):
        is_true = (package in told) == (package in will)
        tally.add(found.passing.estimated, is_true=is_true, said=f"{name}: {package} passes, or not")


def test_exact_lines_are_what_the_machine_then_plans_and_estimates_mostly(machine: Machine) -> None:
    tally = Tally()
    new, but = ("1.2", "o=extra") if machine.name == "apt" else ("1.2-1", "extra")
    knows_security = machine.name != "pacman"
    edits = edits_of_updates(new, but)
    tried = {name: one for name, one in edits.items() if knows_security or not one.needs_security}
    for name, edit in tried.items():
        check(name, edit, machine, tally)
    shown = f"{machine.name}: {len(tried)} edits, {len(tally.exact)} exact, {len(machine.answers)} questions"
    sys.stdout.write(f"{shown}; true of the estimated lines: {tally}\n")
    sys.stdout.writelines(f"broken: {one}\n" for one in tally.broken)
    assert len(tried) >= 20
    assert not tally.broken
    assert tally.exact >= {name for name, edit in tried.items() if edit.is_exact}
    assert tally.share >= 0.9, tally
