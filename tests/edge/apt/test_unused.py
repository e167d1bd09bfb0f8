"""What nothing needs any more, as a real apt tells it."""

from reconciler.managers.scripted import ScriptedManager
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Question
from tests.labs.apt import AptLab
from tests.labs.unused import OLD_KERNELS, arrange_kernels, arrange_unused

UNUSED = Question(unused=True)


def test_what_apt_lets_go_is_told_with_what_it_is(lab: AptLab, apt: ScriptedManager) -> None:
    arrange_kernels(lab)
    arrange_unused(lab, before=15, by_update=5)
    answer = apt.resolve(UNUSED)
    found = {(one.name, one.unused) for one in answer.changes}
    assert found == {(name, "kernel") for name in OLD_KERNELS} | {
        (f"unused-{number:02}", "package") for number in range(15)
    }
    assert {one.action for one in answer.changes} == {"remove"}
    assert answer.exit_code == 0


def test_where_nothing_is_unused_that_is_the_answer(apt: ScriptedManager) -> None:
    answer = apt.resolve(UNUSED)
    assert (answer.changes, answer.exit_code) == ((), 0)


def test_what_a_person_wants_and_what_is_needed_is_not_unused(lab: AptLab, apt: ScriptedManager) -> None:
    arrange_unused(lab, before=3, by_update=2)
    lab.apt("install", "-y", "unused-01")
    assert {one.name for one in apt.resolve(UNUSED).changes} == {"unused-00", "unused-02"}


def test_apt_is_asked_what_the_removal_of_some_would_do(lab: AptLab, apt: ScriptedManager) -> None:
    arrange_unused(lab, before=2, by_update=2)
    alone = apt.resolve(Question(remove=(("unused-00:all", "1.0"), ("unused-01:all", "1.0"))))
    assert [(one.name, one.action, one.to_version) for one in alone.changes] == [
        ("unused-00", "remove", None),
        ("unused-01", "remove", None),
    ]
    more = apt.resolve(Question(remove=(("unused-03:all", "1.0"),)))
    assert {one.name for one in more.changes} == {"unused-03", "needing"}


def test_what_is_not_there_in_that_version_cannot_go(lab: AptLab, apt: ScriptedManager) -> None:
    arrange_unused(lab, before=1, by_update=0)
    answer = apt.resolve(Question(remove=(("unused-00:all", "0.9"),)))
    assert (answer.changes, answer.exit_code) == ((), exit_codes.GONE)
    assert "not installed any more: unused-00:all=0.9" in answer.message


def test_without_a_rule_of_apts_no_kernel_is_unused(lab: AptLab, apt: ScriptedManager) -> None:
    arrange_kernels(lab, rule="")
    assert apt.resolve(UNUSED).changes == ()


def test_asking_changes_nothing(lab: AptLab, apt: ScriptedManager) -> None:
    arrange_unused(lab, before=2, by_update=0)
    before = lab.digest()
    apt.resolve(UNUSED)
    apt.resolve(Question(remove=(("unused-00:all", "1.0"),)))
    assert lab.digest() == before
