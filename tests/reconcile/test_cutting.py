"""Into which steps a transaction is cut: by relations where they are told, by answers where they are not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.errors import Transient
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Answer, Change, Observation, Question, Refresh
from reconciler.planning.facts.package import PackageId
from reconciler.planning.runs.costs import Pace
from reconciler.planning.runs.execution import Execution, Instruction
from reconciler.planning.runs.steps import Needs
from reconciler.policy.documents import DEFAULTS, Settings
from reconciler.reconcile.cutting import Cut, Cutter
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import THIS_MACHINE, ThisMachine
from tests.fakes import NotArrangedError


def upgrade(name: str, *, security: bool = False) -> Change:
    return Change("upgrade", name, "x86_64", "1.0", "1.1", size=2**20, security=security)


def resolved(question: Question, whole: Sequence[Change]) -> Answer:
    """Answer as a resolver does for packages that need nothing of each other."""
    changes = tuple(
        one for one in whole if one.name not in question.exclude and (one.security or not question.security)
    )
    return Answer(changes, exit_code=exit_codes.DONE if changes else exit_codes.NOTHING_TO_DO)


@dataclass
class Manager:
    """A package manager that is only asked."""

    answer: Callable[[Question], Answer] | None = None
    relations: Needs | None = None
    asked: list[Question] = field(default_factory=list)
    where: ThisMachine = THIS_MACHINE
    is_by_policy: bool = False

    def needs(self, changes: Sequence[Change]) -> Needs | None:
        del changes
        return self.relations

    def resolve(self, question: Question) -> Answer:
        self.asked.append(question)
        if self.answer is None:
            raise NotArrangedError(question)
        return self.answer(question)

    def use_script(self, content: bytes | None) -> None:
        raise NotArrangedError(content)

    def observe(self, at: datetime, *_sources: Sequence[str]) -> Observation:
        raise NotArrangedError(at)

    def refresh(self, _rate: int | None = None, /) -> Refresh:
        raise NotArrangedError

    def download(self, instruction: Instruction, folder: Path, _unless: Unless | None = None, /) -> Execution:
        raise NotArrangedError(instruction, folder)

    def apply(self, instruction: Instruction, folder: Path) -> Execution:
        raise NotArrangedError(instruction, folder)

    def repair(self, instruction: Instruction, folder: Path) -> Execution:
        raise NotArrangedError(instruction, folder)

    def is_at_work(self, folder: Path) -> bool:
        raise NotArrangedError(folder)

    def result(self, folder: Path) -> Execution:
        raise NotArrangedError(folder)


WHOLE = (upgrade("bash"), upgrade("git"), upgrade("openssl", security=True), upgrade("zlib", security=True))


def cut(
    manager: Manager, name: str = "dnf", settings: Settings = DEFAULTS, whole: Sequence[Change] = WHOLE
) -> Cut:
    return Cutter(manager, name, settings).cut(whole, Question("full", exclude=("held",)))


def names(found: Cut) -> list[list[str]]:
    return [[change.name for change in step.changes] for step in found.steps]


def test_relations_are_cut_into_security_updates_the_others_and_what_this_program_stands_on() -> None:
    found = cut(Manager(relations={}), "apt")
    assert names(found) == [["openssl", "zlib"], ["bash"], ["git"]]
    assert found.notes == ()


def test_the_same_is_made_of_the_answers_of_a_resolver_that_tells_no_relations() -> None:
    manager = Manager(lambda question: resolved(question, WHOLE))
    found = cut(manager)
    assert names(found) == [["openssl", "zlib"], ["bash"], ["git"]]
    assert found.notes == ()
    # Both are the plan's own question, with less in it.
    assert manager.asked == [
        Question("full", security=True, exclude=("git", "held")),
        Question("full", exclude=("git", "held")),
    ]


def test_nothing_is_asked_where_there_is_nothing_to_cut() -> None:
    assert names(cut(Manager(), whole=WHOLE[2:])) == [["openssl", "zlib"]]
    assert names(cut(Manager(), whole=WHOLE[:1])) == [["bash"]]
    assert names(cut(Manager(), settings=Settings(steps="single"))) == [[one.name for one in WHOLE]]
    assert cut(Manager(), whole=()) == Cut(())


def test_pacman_is_not_even_asked() -> None:
    found = cut(Manager(), "pacman")
    assert names(found) == [[one.name for one in WHOLE]]
    assert found.notes == ()


def test_a_resolver_that_answers_differently_for_a_part_makes_no_boundary_there_and_it_is_told() -> None:
    def answer(question: Question) -> Answer:
        found = resolved(question, WHOLE)
        if not question.security:
            return found
        return replace(found, changes=(*found.changes[:1], replace(found.changes[1], to_version="1.0.9")))

    found = cut(Manager(answer))
    assert names(found) == [["bash", "openssl", "zlib"], ["git"]]
    assert found.notes == (
        "not made as a step: the security updates, with which the package manager does something else alone",
    )


def test_an_advisory_for_an_older_version_is_taken_in_that_of_the_plan() -> None:
    def answer(question: Question) -> Answer:
        found = resolved(question, WHOLE)
        if not question.security or "zlib" in question.include:
            return found
        return replace(found, changes=(*found.changes[:1], replace(found.changes[1], to_version="1.0.9")))

    manager = Manager(answer)
    found = cut(manager)
    assert names(found) == [["openssl", "zlib"], ["bash"], ["git"]]
    assert found.notes == ()
    assert [one.include for one in manager.asked] == [(), ("zlib",), ()]


def test_one_that_cannot_answer_makes_one_step_and_it_is_told() -> None:
    found = cut(Manager(lambda _: Answer((), exit_code=exit_codes.UNRESOLVED, message="no")))
    assert names(found) == [[one.name for one in WHOLE]]
    (note,) = found.notes
    assert note.startswith("not made as a step: the security updates, all but what patchledger stands on, ")

    def locked(question: Question) -> Answer:
        raise Transient(f"locked: {question.mode}", "wait")

    assert cut(Manager(locked)) == Cut(found.steps, ("all was made as one step: locked: full",))


def test_a_part_that_takes_others_along_is_a_step_with_them() -> None:
    def answer(question: Question) -> Answer:
        found = resolved(question, WHOLE)
        return replace(found, changes=(WHOLE[0], *found.changes)) if question.security else found

    assert names(cut(Manager(answer))) == [["bash", "openssl", "zlib"], ["git"]]


MANY = tuple(upgrade(f"p{number:03}") for number in range(400))


def test_what_takes_longer_is_cut_in_the_middle_until_it_does_not() -> None:
    manager = Manager(lambda question: resolved(question, MANY))
    found = cut(manager, settings=Settings(step_time=timedelta(minutes=2)), whole=MANY)
    assert [change for step in found.steps for change in step.changes] == list(MANY)
    assert len(found.steps) == 4
    assert all(Pace().seconds(step.changes) < 60 for step in found.steps)
    assert found.notes == ()


def test_questions_have_an_end_and_what_is_left_too_long_is_told() -> None:
    manager = Manager(lambda question: resolved(question, MANY))
    found = cut(manager, settings=Settings(step_time=timedelta(seconds=12)), whole=MANY)
    assert len(manager.asked) == 8
    assert len(found.steps) == 9
    (note,) = found.notes
    assert note.endswith("expected to take longer than step_time (12s), and could not be cut")


def test_what_belongs_together_is_never_cut_and_that_is_told() -> None:
    relations = {PackageId(one.name, "x86_64"): tuple(other.name for other in MANY) for one in MANY}
    found = cut(Manager(relations=relations), "apt", Settings(step_time=timedelta(minutes=1)), MANY)
    assert len(found.steps) == 1
    assert found.notes == (
        "step 1 of 1 was expected to take longer than step_time (1m), and could not be cut",
    )


def test_a_host_that_is_slow_gets_a_boundary_where_a_fast_one_needs_none() -> None:
    slow = Cutter(Manager(relations={}), "apt", DEFAULTS, Pace(4.0)).cut(MANY, Question())
    assert len(slow.steps) > len(cut(Manager(relations={}), "apt", whole=MANY).steps) == 1
