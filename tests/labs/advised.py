"""Packages with advisories of every severity and kind, for the rpm labs."""

from collections.abc import Sequence
from datetime import UTC, datetime

from reconciler.managers.scripted import ScriptedManager
from reconciler.planning.facts.observation import Exchange
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import Disposition, Plan
from reconciler.planning.resolving.plan import make_plan
from tests.labs.rpm import Advisory, Kind, Rpm
from tests.policies import effective

NAMES = (
    "grave",
    "app",
    "lib",
    "middling",
    "mild",
    "silent",
    "both",
    "twice",
    "mended",
    "better",
    "offhand",
    "bare",
)
"""``app`` needs the new ``lib``, whose own advisory is mild; ``bare`` has none."""

OLD = tuple(Rpm(name, "1.0-1") for name in NAMES)
NEW = (
    *(Rpm(name, "1.2-1") for name in NAMES if name != "app"),
    Rpm("app", "1.2-1", fields={"Requires": "lib >= 1.2"}),
    Rpm("twice", "1.1-1"),
)


def advisories(kinds: Sequence[Kind]) -> tuple[Advisory, ...]:
    """Return what is said of them; ``kinds`` are the manager's words for fixes, improvements and the rest."""
    mended, better, offhand = kinds
    return (
        Advisory("LAB-SA-1", ("grave-1.2-1",), severity="Critical"),
        Advisory("LAB-SA-2", ("app-1.2-1",), severity="Important"),
        Advisory("LAB-SA-3", ("lib-1.2-1", "mild-1.2-1"), severity="Low"),
        Advisory("LAB-SA-4", ("middling-1.2-1",), severity="Moderate"),
        Advisory("LAB-SA-5", ("silent-1.2-1",), severity=""),
        # One of two advisories of one version tells no severity.
        Advisory("LAB-SA-6", ("both-1.2-1",), severity="Low"),
        Advisory("LAB-SA-7", ("both-1.2-1",), severity=""),
        # The version between is worse than the newest.
        Advisory("LAB-SA-8", ("twice-1.1-1",), severity="Critical"),
        Advisory("LAB-SA-9", ("twice-1.2-1",), severity="Low"),
        Advisory("LAB-1", ("mended-1.2-1",), kind=mended, severity=""),
        Advisory("LAB-2", ("better-1.2-1",), kind=better, severity=""),
        Advisory("LAB-3", ("offhand-1.2-1",), kind=offhand, severity=""),
    )


def planned(manager: ScriptedManager, **settings: object) -> Plan:
    """Observe, lead the conversation and make the plan."""
    now, policy = datetime.now(UTC), effective(settings)
    observation = manager.observe(now)
    exchanges: list[Exchange] = []
    while (question := next_question(observation, policy, exchanges, now)) is not None:
        exchanges.append(Exchange(question, manager.resolve(question)))
    return make_plan(observation, policy, exchanges, now)


def coming(plan: Plan) -> set[str]:
    """Return those of the packages that a plan moves."""
    return {one.name for one in plan.transaction if one.name in NAMES}


def reasons(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return why each of the packages that stay does so, and each that comes for others comes."""
    return {
        one.name: tuple(reason.message for reason in one.reasons)
        for one in plan.updates
        if one.name in NAMES
        and (one.disposition is not Disposition.PLANNED or one.reasons[0].code == "dependency")
    }
