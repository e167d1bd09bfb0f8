"""A real zypper plans what is severe enough, and of the kinds that are wanted."""

import pytest

from reconciler.managers.scripted import ScriptedManager
from tests.labs.advised import NEW, OLD, advisories, coming, planned, reasons
from tests.labs.zypper import ZypperLab

COUNTING = {"grave", "app", "silent", "both", "twice"}


@pytest.fixture
def advised(own_lab: ZypperLab, own_zypper: ScriptedManager) -> ScriptedManager:
    own_lab.install(*OLD)
    own_lab.repository.publish(*NEW)
    own_lab.repository.advise(*advisories(("recommended", "feature", "optional")))
    own_lab.refresh()
    return own_zypper


def test_what_is_severe_comes_with_what_it_needs_and_the_rest_says_why_not(advised: ScriptedManager) -> None:
    plan = planned(advised, updates="security", severity="important")
    assert coming(plan) == {*COUNTING, "lib"}
    told = reasons(plan)
    mild = "lib 1.2-1 is left out: its advisories are low at most, and policy wants important"
    assert told["lib"] == ("it is updated since another update needs it", mild)
    assert told["middling"] == (
        "middling 1.2-1 is left out: its advisories are moderate at most, and policy wants important",
    )
    assert told["mild"][0].startswith("mild 1.2-1 is left out: its advisories are low at most")
    critical = coming(planned(advised, updates="security", severity="critical"))
    assert critical == COUNTING - {"app"}
    assert coming(planned(advised, updates="security")) == {*COUNTING, "lib", "middling", "mild"}


def test_what_is_of_a_wanted_kind_comes(advised: ScriptedManager) -> None:
    plan = planned(advised, kinds=["bugfix"])
    assert coming(plan) == {"mended"}
    told = reasons(plan)
    assert told["better"] == (
        "better 1.2-1 is left out: its advisories are of kind feature, and policy wants bugfix",
    )
    assert told["bare"] == ("bare 1.2-1 is left out: it has no advisory, and policy wants bugfix",)
    wider = coming(planned(advised, kinds=["security", "optional"]))
    assert wider == {*COUNTING, "lib", "middling", "mild", "better", "offhand"}
