"""What a host says a run of its own made unused is held against what its reports said of it before."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.host.state.folder import StateFolder
from reconciler.planning.audit.audit import CHECKS
from reconciler.planning.audit.verdicts import Verdict
from reconciler.planning.facts.unneeded import Unneeded, UnneededSeen
from tests.e2e.site import BEFORE
from tests.e2e.test_apply import INSIDE, tick
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.audited import Audited, reasons
from tests.labs.signing import Keys
from tests.labs.unused import arrange_unused

HOUR = timedelta(hours=1)
OLD = "unused-00"
"""Nothing needed it before there was any run."""
NEW_UNUSED = "autoremove: new-unused\n"


@pytest.fixture
def machine(apt_world: AptLab, tmp_path: Path) -> AptLab:
    lab = apt_world.copy(tmp_path / "machine", repository=True)
    arrange_unused(lab, before=2, by_update=1)
    return lab


@pytest.fixture
def world(machine: AptLab, keys: Keys, tmp_path: Path) -> Audited:
    return Audited.create(tmp_path / "site", machine, keys.ssh("web-01"), keys.ssh("pub"))


def forge(world: Audited, change: Callable[[UnneededSeen], UnneededSeen]) -> None:
    """Have the host remember otherwise what was unused."""
    folder = StateFolder(world.site.state)
    state = folder.recall().state
    assert state.unneeded is not None
    folder.save(replace(state, unneeded=change(state.unneeded)))


def runs(world: Audited, *, without: str = "") -> list[Verdict]:
    world.publish(INSIDE + 2 * HOUR)
    checks = tuple(one for one in CHECKS if one.name != without)
    return [one.verdict for one in world.audit(INSIDE + 2 * HOUR, checks).changes if one.kind == "run"]


def test_what_a_run_made_unused_is_proved(world: Audited, machine: AptLab) -> None:
    world.want("needing", policy=NEW_UNUSED)
    tick(world.site, BEFORE)
    assert [one.outcome for one in tick(world.site).runs] == ["applied", "applied"]
    assert OLD in machine.versions()
    assert runs(world) == [Verdict.PROVED, Verdict.PROVED]


def test_what_was_unused_before_the_run_that_is_named_is_refuted(world: Audited) -> None:
    world.want("needing", policy=NEW_UNUSED)
    tick(world.site, BEFORE)
    first, _ = tick(world.site).runs
    named = (Unneeded(OLD, "all", first.run), Unneeded("unused-01", "all"))
    forge(world, lambda seen: replace(seen, packages=named))
    (removal,) = tick(world.site, INSIDE + HOUR).runs
    assert [one.name for one in removal.difference.changed] == [OLD]
    assert runs(world) == [Verdict.PROVED, Verdict.PROVED, Verdict.REFUTED]
    said = f"refuted: {OLD}:all is to be unused since run {first.run}, and was so before it"
    assert reasons(world.audit(INSIDE + 2 * HOUR)) == {"unneeded": said}
    assert runs(world, without="unneeded") == [Verdict.PROVED] * 3


def test_what_names_a_run_that_never_was_is_refuted(world: Audited) -> None:
    world.want("absent", policy=NEW_UNUSED)
    tick(world.site, BEFORE)
    forge(world, lambda seen: replace(seen, packages=(), run="20261101T000000Z-0123456789ab"))
    (removal,) = tick(world.site).runs
    assert {one.name for one in removal.difference.changed} == {OLD, "unused-01"}
    assert runs(world) == [Verdict.REFUTED]
    assert "of which there is no record" in reasons(world.audit(INSIDE + 2 * HOUR))["unneeded"]


def test_what_nobody_asked_about_before_the_run_is_refuted(world: Audited, machine: AptLab) -> None:
    world.want("needing")
    (first,) = tick(world.site).runs
    world.want("absent", policy=NEW_UNUSED)
    tick(world.site, INSIDE + HOUR / 2)
    forge(world, lambda seen: replace(seen, packages=(), run=first.run))
    tick(world.site, INSIDE + HOUR)
    assert OLD not in machine.versions()
    assert runs(world)[-1] == Verdict.REFUTED
    assert "nobody asked what was unused before it" in reasons(world.audit(INSIDE + 2 * HOUR))["unneeded"]


def test_what_a_person_made_unused_after_a_run_is_not_that_runs(world: Audited, machine: AptLab) -> None:
    machine.install(Deb("later", "1.0"), Deb("later-needs", "1.0", fields={"Depends": "later"}))
    machine.mark_auto("later")
    machine.publish(MAIN, Deb("later", "1.0"))
    machine.refresh()
    world.want("needing", policy=NEW_UNUSED)
    tick(world.site, BEFORE)
    first, _ = tick(world.site).runs
    machine.apt("remove", "-y", "later-needs")
    tick(world.site, INSIDE + HOUR / 2)

    def of_the_first(seen: UnneededSeen) -> UnneededSeen:
        named = [replace(one, run=first.run) if one.name == "later" else one for one in seen.packages]
        return replace(seen, packages=tuple(named))

    forge(world, of_the_first)
    (removal,) = tick(world.site, INSIDE + HOUR).runs
    assert [one.name for one in removal.difference.changed] == ["later"]
    assert runs(world)[-1] == Verdict.REFUTED
    assert "was not unused when that was over" in reasons(world.audit(INSIDE + 2 * HOUR))["unneeded"]
