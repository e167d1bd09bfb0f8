"""An audit of what was applied in a freeze that lets security through, and what it does not believe."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.planning.audit.verdicts import Verdict
from reconciler.planning.gates.types import BreakGlass
from tests.e2e.site import BEFORE, POLICY
from tests.e2e.test_apply import INSIDE, approval, machine, tick
from tests.labs.apt import AptLab
from tests.labs.audited import Audited, Reported, reasons
from tests.labs.signing import Keys

HOUR = timedelta(hours=1)
LENIENT = (
    "kind: Freeze\nname: year-end\nfrom: 2026-01-01\nuntil: 2096-01-01\ntimezone: UTC\nreason: year end\n"
    "allow: security\n"
)
STRICT = LENIENT.replace("year-end", "audit").replace("allow: security", "allow: none")
__all__ = ["machine"]


@pytest.fixture
def world(machine: AptLab, keys: Keys, tmp_path: Path) -> Audited:
    world = Audited.create(tmp_path / "site", machine, keys.ssh("web-01"), keys.ssh("pub"))
    world.site.commit({"freezes/year-end.yaml": LENIENT})
    return world


def edited(world: Audited, folder: Path, *edits: tuple[int, object]) -> Audited:
    """Return a copy in which the host wrote its last reports anew, numbered from the end."""
    copy = world.copy(folder)
    count = len(copy.commits())
    copy.rewrite({count + number: edit for number, edit in edits})  # type: ignore[misc]  # each is an Edit
    copy.publish(INSIDE + 2 * HOUR)
    return copy


def test_a_run_of_the_security_plan_is_proved_by_its_own_approval(world: Audited, tmp_path: Path) -> None:
    world.site.commit({"policies/base.yaml": f"{POLICY}approval: required\n"})
    report = tick(world.site, BEFORE).report
    whole = world.site.commit({"approvals/one.yaml": approval(f"plan: {report.plan.digest}")})
    assert tick(world.site).runs == ()
    assert report.security_plan is not None
    world.site.commit({"approvals/one.yaml": approval(f"plan: {report.security_plan.digest}")})
    (record,) = tick(world.site, INSIDE + HOUR / 2).runs
    assert (record.outcome, record.freeze) == ("applied", "year-end")
    published = world.copy(tmp_path / "published")
    published.publish(INSIDE + HOUR)
    (change,) = published.audit(INSIDE + HOUR).changes
    assert (change.verdict, change.against) == (Verdict.PROVED, ())
    assert change.approved_by.startswith("one approvals/one.yaml:1@")

    def without_freeze(one: Reported) -> None:
        del one.run["freeze"]

    def of_another(one: Reported) -> None:
        one.run["freeze"] = "audit"

    def by_the_whole(one: Reported) -> None:
        one.recording["policy_commit"] = whole
        one.recording["inputs"]["policy"]["commit"] = whole

    def run_by_the_whole(one: Reported) -> None:
        by_the_whole(one)
        one.run["policy_commit"] = whole

    found = reasons(edited(world, tmp_path / "without", (-1, without_freeze)).audit(INSIDE + 2 * HOUR))
    assert found["decision"].startswith("refuted: its record tells of the freeze (none)")
    found = reasons(edited(world, tmp_path / "another", (-1, of_another)).audit(INSIDE + 2 * HOUR))
    assert found["decision"].startswith("refuted: its record tells of the freeze audit")
    forged = edited(world, tmp_path / "whole", (-2, by_the_whole), (-1, run_by_the_whole))
    found = reasons(forged.audit(INSIDE + 2 * HOUR))
    assert found["decision"].startswith(
        "refuted: it was not allowed when it was decided: no approval in force"
    )
    assert found["approval"].startswith("refuted: no approval in force covers plan")


@pytest.mark.parametrize("freezes", [{}, {"freezes/audit.yaml": STRICT}])
def test_what_else_moved_in_the_freeze_is_refuted(
    world: Audited, tmp_path: Path, freezes: dict[str, str | None]
) -> None:
    """Somebody passed over the freeze, and the host tells it as an ordinary run."""
    world.site.commit({"README.md": "of no concern\n", **freezes})
    tick(world.site, BEFORE)
    glass = BreakGlass("the shop is down", "ada", overrides_freeze=True)
    (record,) = tick(world.site, INSIDE, glass).runs
    assert (record.outcome, record.freeze) == ("applied", "")

    def hushed(one: Reported) -> None:
        one.recording["inputs"]["break_glass"] = None

    def ran_hushed(one: Reported) -> None:
        hushed(one)
        one.run["exceptional"] = None
        if not freezes:
            one.run["freeze"] = "year-end"

    found = reasons(
        edited(world, tmp_path / "hushed", (-2, hushed), (-1, ran_hushed)).audit(INSIDE + 2 * HOUR)
    )
    assert found["decision"].startswith("refuted:")
    assert found["steps"].startswith("refuted:")


@pytest.mark.parametrize(("before", "after"), [("all", "security"), ("security", "all")])
def test_a_policy_that_changes_what_the_whole_plan_is_moves_no_security_plan(
    world: Audited, before: str, after: str
) -> None:
    """Which recorded conversation is the security plan's was settled when it was held."""
    site = world.site
    site.commit({"policies/base.yaml": f"{POLICY}removals: forbid\nupdates: {before}\n"})
    author = "-c user.name=Ada -c user.email=ada@example.org"
    change = f"sed -i 's/updates: {before}/updates: {after}/' policies/base.yaml"
    site.hook("pre", "10-push", f"cd {site.policy} && {change} && git {author} commit -qam change")
    tick(site, BEFORE)
    (record,) = tick(site).runs
    assert (record.outcome, record.freeze) == ("applied", "year-end"), record.reason
    assert record.steps[0].policy is not None
    assert record.steps[0].policy.commit != record.policy_commit
    world.publish(INSIDE + HOUR)
    (change_,) = world.audit(INSIDE + HOUR).changes
    assert (change_.verdict, [one.reason for one in change_.against]) == (Verdict.PROVED, [])


def test_what_is_smuggled_into_a_security_plan_is_refuted(world: Audited, tmp_path: Path) -> None:
    tick(world.site, BEFORE)
    (record,) = tick(world.site).runs
    assert (record.outcome, record.freeze) == ("applied", "year-end")

    def told(one: Reported) -> None:
        for moves in (one.run["difference"]["changed"], one.run["steps"][0]["changes"]):
            moves.append({**moves[0], "name": "plain", "to": "1.1"})

    def answered(one: Reported) -> None:
        recording = one.recording
        every = [each["answer"]["changes"] for each in recording["exchanges"]]
        plain = next(change for changes in every for change in changes if change["name"] == "plain")
        for each in recording["security_exchanges"]:
            moves = each["answer"]["changes"]
            each["answer"]["changes"] = sorted([*moves, plain], key=lambda change: str(change["name"]))

    found = reasons(edited(world, tmp_path / "told", (-1, told)).audit(INSIDE + 2 * HOUR))
    assert found["carried-out"] == "refuted: its steps were told to change plain:all, which is not planned"
    assert found["inventory"].startswith("refuted:")
    found = reasons(edited(world, tmp_path / "answered", (-2, answered)).audit(INSIDE + 2 * HOUR))
    assert found["decision"] == "refuted: another plan comes out of what was recorded"
    assert found["announced"].startswith("refuted:")
