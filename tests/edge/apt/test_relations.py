"""What must move before, or with, what: from the records of the real apt and dpkg."""

from datetime import UTC, datetime

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question
from reconciler.planning.runs.steps import split
from reconciler.targets.local import LocalTarget
from tests.edge.apt.instructions import REMOVING
from tests.labs.apt import MAIN, AptLab, Deb


def parts(apt: ScriptedManager) -> list[set[str]]:
    apt.observe(datetime.now(UTC))
    changes = apt.resolve(Question(mode="full")).changes
    return [{change.name for change in step.changes} for step in split(changes, apt.needs(changes))]


def test_a_world_falls_into_parts_that_apt_accepts_one_by_one(
    lab: AptLab, script: PatchScript, shell: tuple[str, ...]
) -> None:
    lab.configure(REMOVING)
    apt = ScriptedManager(APT, LocalTarget(lab.environment, shell), script, lab.cache)
    before = lab.digest()
    found = parts(apt)
    assert lab.digest() == before
    assert {"pair", "pair-data"} in found
    assert {"remover", "victim"} in found
    assert {"replacer", "replaced"} in found
    assert {"plain"} in found
    assert found.index({"base"}) < found.index({"user"})
    assert found.index({"newdep-lib"}) < found.index({"newdep"})


def test_a_package_that_breaks_the_old_one_of_another_waits_for_it(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    own_lab.install(Deb("lib", "1.0"), Deb("app", "1.0", fields={"Depends": "lib (<< 2)"}))
    own_lab.publish(MAIN, Deb("lib", "2.0", fields={"Breaks": "app (<< 2)"}), Deb("app", "2.0"))
    own_lab.refresh()
    found = parts(own_apt)
    assert found.index({"app"}) < found.index({"lib"})
