"""The planner and a real dnf: why what is wanted does not come."""

from datetime import UTC, datetime

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.planning.facts.observation import Exchange
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import Disposition, Plan
from reconciler.planning.resolving.plan import make_plan
from tests.labs.dnf import DnfLab
from tests.policies import effective


def plan(dnf: ScriptedManager) -> Plan:
    """Observe and lead the conversation."""
    now, policy = datetime.now(UTC), effective()
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
        lab.lock_version("base-0:1.0-1.*")
    (user,) = (update for update in plan(dnf).updates if update.name == "user")
    assert (user.disposition, [reason.message for reason in user.reasons]) == (
        Disposition.HELD,
        [
            "1.1-1 needs base, which must not be installed or updated",
            "base is on hold on this machine, by its operator",
        ],
    )
