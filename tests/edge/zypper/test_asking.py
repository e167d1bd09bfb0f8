"""How often zypper is started to be asked, and that what need not be asked is known all the same."""

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts.observation import Question
from reconciler.targets.local import LocalTarget
from tests.labs.counted import TOOLS, Counted
from tests.labs.programs import tool
from tests.labs.rpm import Rpm
from tests.labs.zypper import ZypperLab

NOW = datetime.now(UTC)

AT_MOST = {"zypper": 7, "rpm": 6}
"""A plan looks (the repositories, what is newer, patches, what an update would do, all versions of that) and
asks (the repositories, the transaction). rpm says where it is and what is installed for each, and to look its
version and what may be there several times."""

OWN_AT_MOST = 100
"""Of the script's tools, in both."""


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "counted", ("zypper", "rpm"))


def _counting(lab: ZypperLab, script: PatchScript, counted: Counted) -> ScriptedManager:
    target = LocalTarget({**lab.environment, **counted.environment})
    return ScriptedManager(ZYPPER, target, script, lab.cache, root=lab.root)


def test_a_plan_starts_zypper_and_rpm_no_more_often_than_it_must(
    own_lab: ZypperLab, script: PatchScript, counted: Counted
) -> None:
    own_lab.repository.withdraw(Rpm("obsoleter", "2.0-1"))
    own_lab.refresh()
    zypper = _counting(own_lab, script, counted)
    # Whether all that is needed is there, is asked when the database is another one.
    zypper.observe(NOW)
    counted.begin()
    assert len(zypper.observe(NOW).offers) > 10
    assert len(zypper.resolve(Question()).changes) > 10
    assert counted.starts() == AT_MOST


def test_a_plan_starts_no_more_tools_beside_them_than_it_must(
    lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "tools", TOOLS)
    zypper = _counting(lab, script, counted)
    zypper.observe(NOW)
    zypper.resolve(Question())
    counted.begin()
    assert len(zypper.observe(NOW).offers) > 10
    assert len(zypper.resolve(Question()).changes) > 10
    starts = counted.starts()
    assert starts.total() <= OWN_AT_MOST, starts


def _searched(counted: Counted) -> list[str]:
    """Return the names of which zypper was asked who obsoletes them."""
    (asked,) = [one for one in counted.asked("zypper") if "--obsoletes" in one] or [""]
    return asked.partition("--obsoletes ")[2].split()


def _successors(zypper: ScriptedManager) -> set[str]:
    return {offer.name for offer in zypper.observe(NOW).offers if offer.replaces}


def test_zypper_is_asked_for_successors_of_what_any_package_obsoletes_alone(
    own_lab: ZypperLab, script: PatchScript, counted: Counted
) -> None:
    zypper = _counting(own_lab, script, counted)
    assert _successors(zypper) == set()
    assert _searched(counted) == ["obsoleted"]
    for name, obsoletes in (("heir", "local < 9"), ("stranger", "nobody-has-this"), ("shouting", "VICTIM")):
        own_lab.repository.publish(Rpm(name, "1.0-1", fields={"Obsoletes": obsoletes}))
    own_lab.refresh()
    counted.begin()
    assert _successors(zypper) == {"heir"}
    assert _searched(counted) == ["local", "obsoleted", "victim"]


def _primaries(lab: ZypperLab) -> Iterable[Path]:
    return (lab.root / "var/cache/zypp/raw/lab/repodata").glob("*primary.xml*")


def test_what_packages_obsolete_is_read_once_of_each_file_and_forgotten_with_it(
    own_lab: ZypperLab, own_zypper: ScriptedManager
) -> None:
    def kept() -> set[str]:
        return {file.name for file in (own_lab.cache / "obsoleted").iterdir()}

    own_zypper.observe(NOW)
    (first,) = _primaries(own_lab)
    assert kept() == {f"{first.name}.names"}
    own_lab.repository.publish(Rpm("heir", "1.0-1", fields={"Obsoletes": "local"}))
    own_lab.refresh()
    assert _successors(own_zypper) == {"heir"}
    (second,) = _primaries(own_lab)
    assert first.name != second.name
    assert kept() == {f"{second.name}.names"}


def test_metadata_are_not_unpacked_again_for_packages_that_were_looked_up_in_them(
    own_lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    counted = Counted(tmp_path / "counted", ("gzip", "zstd"))
    zypper = _counting(own_lab, script, counted)
    questions = Question(), Question(mode="full")

    def offered() -> object:
        observation = zypper.observe(NOW)
        return observation.offers, [zypper.resolve(question).changes for question in questions]

    first = offered()
    assert counted.starts().total() > 0
    counted.begin()
    assert [zypper.resolve(question).changes for question in questions]
    assert counted.starts() == {}
    assert offered() == first
    shutil.rmtree(own_lab.cache / "records")
    assert offered() == first
    own_lab.repository.publish(Rpm("plain", "1.2-1"))
    own_lab.refresh()
    assert any((offer.name, offer.candidate) == ("plain", "1.2-1") for offer in zypper.observe(NOW).offers)
    (kept,) = (own_lab.cache / "records/lab").iterdir()
    assert kept.name in {file.name for file in _primaries(own_lab)}


def _rewrite(repository: Path, usual: str, other: str) -> None:
    """Write what packages are there in other words."""
    metadata, plain = repository / "repodata", repository / "primary.xml"
    (packed,) = metadata.glob("*-primary.xml.*")
    text = tool({".gz": "gzip", ".zst": "zstd"}[packed.suffix], "-dc", str(packed))
    assert usual in text
    plain.write_text(text.replace(usual, other))
    packed.unlink()
    tool("modifyrepo_c", "--mdtype=primary", "--compress-type=gz", str(plain), str(metadata))
    plain.unlink()


WRITTEN = {
    "another order of attributes": (
        '<rpm:entry name="local"',
        '<rpm:entry flags="LT" epoch="0" ver="9" rel="1" name="local"',
    ),
    "other quotes": ('<rpm:entry name="local"', "<rpm:entry name='local'"),
    "an escape": ('<rpm:entry name="local"', '<rpm:entry name="l&#111;cal"'),
}


@pytest.mark.parametrize(("usual", "other"), WRITTEN.values(), ids=WRITTEN)
def test_successors_are_found_however_the_metadata_are_written(
    usual: str, other: str, own_lab: ZypperLab, own_zypper: ScriptedManager
) -> None:
    own_lab.repository.publish(Rpm("heir", "1.0-1", fields={"Obsoletes": "local"}))
    _rewrite(own_lab.repository.folder, usual, other)
    own_lab.refresh()
    assert _successors(own_zypper) == {"heir"}
