"""What the repositories that are left out have neither is planned nor comes in, against a real zypper."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.planning.facts.observation import Change, Mode, Question
from reconciler.planning.runs.execution import Instruction
from tests.labs import naming
from tests.labs.rpm import Repository, Rpm
from tests.labs.zypper import ZypperLab


def test_what_a_repository_has_that_is_left_out_is_not_there(
    lab: ZypperLab, zypper: ScriptedManager, tmp_path: Path
) -> None:
    Repository.make(
        lab.folder / "stranger",
        (Rpm("plain", "9-1", fields={"Requires": "stranger"}), Rpm("stranger", "1-1")),
    )
    lab.configure_repository("far stranger", f"file://{lab.folder}/stranger")
    lab.refresh()
    everything = naming.moved(zypper.resolve(Question()).changes)
    assert (everything["plain"], everything["stranger"]) == ("9-1", "1-1")
    without = ("far stranger",)
    within = {offer.name: offer.candidate for offer in zypper.observe(datetime.now(UTC), without).offers}
    assert within["plain"] == "1.1-1"
    counted = naming.moved(zypper.resolve(Question(without=without)).changes)
    assert counted["plain"] == "1.1-1"
    assert "stranger" not in counted

    def apply(version: str) -> int:
        folder = tmp_path / version
        folder.mkdir()
        change = Change("upgrade", "plain", "noarch", "1.0-1", version)
        return zypper.apply(Instruction((change,), without=without), folder).exit_code

    assert apply("9-1") == 26
    assert lab.versions()["plain"] == "1.0-1"
    assert apply("1.1-1") == 0
    assert lab.versions()["plain"] == "1.1-1"


@pytest.mark.parametrize("mode", ["safe", "full"])
def test_what_was_installed_from_there_stays(lab: ZypperLab, zypper: ScriptedManager, mode: Mode) -> None:
    lab.install(Rpm("plain", "9-1", fields={"Vendor": "stranger"}), Rpm("alien", "1-1"))
    lab.configure_repository("stranger", f"file://{lab.folder}/nowhere")
    moved = naming.moved(zypper.resolve(Question(mode, without=("stranger",))).changes)
    assert "lima" in moved
    assert not moved.keys() & {"plain", "alien"}


def test_a_repository_that_is_left_out_need_not_have_been_read(
    lab: ZypperLab, zypper: ScriptedManager
) -> None:
    lab.configure_repository("stranger", f"file://{lab.folder}/nowhere")
    assert zypper.resolve(Question(without=("stranger",))).exit_code == 0


def test_two_repositories_of_one_name_are_told_apart(lab: ZypperLab, zypper: ScriptedManager) -> None:
    second = Repository.make(lab.folder / "second", (Rpm("plain", "1.2-1"), Rpm("lima", "1.1-1")))
    empty = Repository.make(lab.folder / "empty")
    for alias, url in (("second", second.url), ("empty", empty.url)):
        lab.configure_repository(alias, url)
        file = lab.root / f"etc/zypp/repos.d/{alias}.repo"
        file.write_text(file.read_text().replace(f"name=The lab's {alias}", "name=The lab's lab"))
    lab.refresh()
    offers = {offer.name: offer for offer in zypper.observe(datetime.now(UTC)).offers}
    assert [one.origins for one in offers["plain"].versions] == [("second",), ("lab",)]
    assert [one.origins for one in offers["lima"].versions] == [("lab", "second")]
    counted = naming.moved(zypper.resolve(Question(without=("second",))).changes)
    assert counted["plain"] == "1.1-1"


@pytest.mark.parametrize("alias", ["far/stranger", "R&D <new>", "it's far"])
def test_a_repository_is_known_by_its_alias_whatever_is_in_it(
    lab: ZypperLab, zypper: ScriptedManager, alias: str
) -> None:
    Repository.make(lab.folder / "stranger", (Rpm("plain", "9-1"),))
    lab.configure_repository(alias, f"file://{lab.folder}/stranger")
    lab.refresh()
    seen = zypper.observe(datetime.now(UTC))
    assert {source.name: source.problem for source in seen.sources} == {"lab": "", alias: ""}
    (version,) = (one for offer in seen.offers for one in offer.versions if one.version == "9-1")
    assert version.origins == (alias,)
    (change,) = (one for one in zypper.resolve(Question()).changes if one.name == "plain")
    assert (change.to_version, change.origin) == ("9-1", alias)
    without = naming.moved(zypper.resolve(Question(without=(alias,))).changes)
    assert without["plain"] == "1.1-1"
