"""The planner and a real dnf: why what is wanted does not come."""

from datetime import UTC, datetime

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.planning.facts.observation import Exchange
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import Disposition, Plan
from reconciler.planning.resolving.plan import make_plan
from tests.labs.dnf import DnfLab
from tests.labs.rpm import Advisory, Rpm
from tests.policies import effective


def plan(dnf: ScriptedManager, **settings: str) -> Plan:
    """Observe and lead the conversation."""
    now, policy = datetime.now(UTC), effective(settings)
    observation = dnf.observe(now)
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, now)) is not None:
        exchanges.append(Exchange(question, dnf.resolve(question)))
    return make_plan(observation, policy, exchanges, now)


@pytest.mark.parametrize("whose", ["excluded", "locked"])
def test_what_needs_something_that_the_operator_holds_is_held_by_that(
    lab: DnfLab, dnf: ScriptedManager, whose: str
) -> None:
    if whose == "excluded":
        lab.configure("excludepkgs=base")
    else:
        lab.lock("base", "1.0-1")
    (user,) = (update for update in plan(dnf).updates if update.name == "user")
    assert (user.disposition, [reason.message for reason in user.reasons]) == (
        Disposition.HELD,
        [
            "1.1-1 needs base, which must not be installed or updated",
            "base is on hold on this machine, by its operator",
        ],
    )


@pytest.mark.parametrize("updates", ["all", "security"])
def test_what_is_taken_in_an_older_version_names_the_one_that_is_kept_back(
    own_lab: DnfLab, own_dnf: ScriptedManager, updates: str
) -> None:
    broken = Rpm("solo", "1.2-1", fields={"Requires": "nobody-has-this"})
    own_lab.install(Rpm("solo", "1.0-1"))
    own_lab.repository.publish(Rpm("solo", "1.1-1"), broken)
    own_lab.repository.advise(Advisory("LAB-SA-9", ("solo-1.1-1",)), Advisory("LAB-SA-10", ("solo-1.2-1",)))
    own_lab.refresh()
    (solo,) = (update for update in plan(own_dnf, updates=updates).updates if update.name == "solo")
    assert (solo.disposition, solo.candidate) == (Disposition.PLANNED, "1.1-1")
    assert solo.reasons[1].message == "1.1-1 is taken, since the package manager keeps 1.2-1 back"
