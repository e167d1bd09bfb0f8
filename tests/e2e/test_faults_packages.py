"""Packages that fail, ask, or want another one gone: told truthfully, and the rest is done all the same."""

from datetime import timedelta
from typing import Any

import pytest

from reconciler.planning.gates.types import Outcome
from tests.e2e.machines import INSIDE, MANAGERS, Debian, Plant, RedHat, Suse, code_of
from tests.labs.apt import MAIN, SECURITY, Deb
from tests.labs.rpm import Advisory, Rpm

LATER = INSIDE + timedelta(minutes=15)
RPMS = ("dnf", "zypper")


def test_a_failing_script_is_told_left_alone_and_takes_nothing_with_it(plant: Plant) -> None:
    plant.offer("bad", "fails")
    plant.want("bad", "plain")
    done = plant.tick()
    assert code_of(done) == 1
    (record,) = plant.runs()
    assert (record["outcome"], record["code"]) == ("failed", "packages-failed")
    assert "bad" in record["reason"]
    assert "no luck" in plant.log(record["run"])
    assert plant.version("plain") == "1.1"
    assert plant.machine.versions()["victim"] == "1.0"
    is_half_done = plant.machine.manager == "apt"  # the others call it installed
    assert (plant.condition("PackagesQuarantined") is not None) == is_half_done

    # Without a change, nothing is tried again.
    again = plant.tick(LATER)
    assert again.runs == ()
    assert len(plant.runs()) == 1


@pytest.mark.parametrize("plant", RPMS, indirect=True)
def test_a_package_that_refuses_to_be_unpacked_stays_and_the_others_come(plant: Plant) -> None:
    plant.machine.install("bad")
    plant.machine.publish("bad", "1.1", "refuses")
    plant.want("bad", "plain")
    done = plant.tick()
    assert code_of(done) == 1
    (record,) = plant.runs()
    assert (record["outcome"], record["code"]) == ("failed", "packages-failed")
    assert "bad" in record["reason"]
    assert plant.version("bad") == "1.0"
    assert "bad 1.1" in plant.condition("PackagesQuarantined")["message"]
    # zypper stops there: what it did not come to is done by the next run, without the one that fails.
    plant.tick(LATER)
    assert (plant.version("bad"), plant.version("plain")) == ("1.0", "1.1")
    assert plant.condition("PackagesQuarantined") is not None
    assert plant.tick(LATER + timedelta(minutes=15)).runs == ()


def rename(plant: Plant, version: str = "2.0", **files: str) -> None:
    """Offer a package that takes the place of ``older``."""
    machine = plant.machine
    assert isinstance(machine, RedHat)
    there = {f"usr/bin/{name}": text for name, text in files.items()}
    machine.lab.repository.publish(Rpm("newer", f"{version}-1", fields={"Obsoletes": "older"}, files=there))


@pytest.mark.parametrize("plant", ["dnf"], indirect=True)
def test_what_would_take_the_place_of_another_and_is_refused_is_put_aside(plant: Plant) -> None:
    machine = plant.machine
    assert isinstance(machine, RedHat)
    machine.lab.install(Rpm("owner", "1.0-1", files={"usr/bin/tool": "mine"}))
    machine.install("older")
    rename(plant, tool="yours")
    plant.want("older", "newer", "plain")
    assert code_of(plant.tick()) == 1
    assert [plant.version(name) for name in ("older", "newer", "plain")] == ["1.0", None, "1.1"]
    (reason,) = plant.update("newer")["reasons"]
    assert (reason["code"], "/usr/bin/tool" in reason["message"]) == ("failed-before", True)
    assert plant.tick(LATER).runs == ()
    rename(plant, "2.1")
    plant.tick(INSIDE + timedelta(days=1))
    assert [plant.version(name) for name in ("older", "newer")] == [None, "2.1"]


@pytest.mark.parametrize("plant", ["dnf"], indirect=True)
def test_an_approval_is_about_what_a_package_replaces_as_well(plant: Plant) -> None:
    def approve(what: str) -> None:
        plant.site.commit({"approvals/one.yaml": f"kind: Approval\nname: one\n{what}\nexpires: 2099-01-01\n"})

    plant.machine.install("older")
    rename(plant)
    plant.want("older", "newer", policy="upgrade: full\napproval: required\n")
    assert plant.tick().report.decision.outcome is Outcome.APPROVAL
    digest = plant.report()["plan"]["digest"]
    # A version says nothing of what goes for it.
    approve('versions: {newer: "2.0-1"}')
    assert plant.tick().report.decision.outcome is Outcome.APPROVAL
    approve(f"plan: {digest}")
    rename(plant, "2.1")
    assert plant.tick(INSIDE + timedelta(days=1)).runs == ()
    digest = plant.report()["plan"]["digest"]
    approve(f"plan: {digest}")
    assert [run.outcome for run in plant.tick(INSIDE + timedelta(days=1, minutes=15)).runs] == ["applied"]
    assert [plant.version(name) for name in ("older", "newer")] == [None, "2.1"]


def one_file_of_two(plant: Plant) -> None:
    """Offer two updates that bring the same file, which the package manager sees when it begins."""
    machine = plant.machine
    assert isinstance(machine, RedHat)
    for name in ("left", "right"):
        machine.install(name)
        machine.lab.repository.publish(Rpm(name, "1.1-1", files={"usr/bin/tool": name}))


@pytest.mark.parametrize("plant", ["dnf"], indirect=True)
def test_two_packages_with_one_file_are_put_aside_until_one_of_them_is_another(plant: Plant) -> None:
    one_file_of_two(plant)
    plant.want("left", "right", "plain")
    done = plant.tick()
    assert code_of(done) == 1
    assert [(run.outcome, run.code) for run in done.runs] == [("failed", "not-begun"), ("applied", "")]
    words = "file /usr/bin/tool conflicts between attempted installs of"
    assert done.runs[0].steps[0].message.startswith(f"Error: Transaction test error: {words}")
    for name in ("left", "right"):
        assert plant.version(name) == "1.0"
        (reason,) = plant.update(name)["reasons"]
        assert reason["code"] == "failed-before"
        assert words in reason["message"]
        assert "left-1.1-1.noarch" in reason["message"]
        assert "right-1.1-1.noarch" in reason["message"]
    assert plant.version("plain") == "1.1"
    assert plant.tick(LATER).runs == ()

    plant.machine.publish("right", "1.2")
    plant.tick(INSIDE + timedelta(days=1))
    plant.tick(INSIDE + timedelta(days=1, minutes=15))
    assert (plant.version("left"), plant.version("right")) == ("1.1", "1.2")


@pytest.mark.parametrize("plant", ["dnf"], indirect=True)
def test_of_two_packages_with_one_file_the_one_that_security_wants_comes(plant: Plant) -> None:
    one_file_of_two(plant)
    machine = plant.machine
    assert isinstance(machine, RedHat)
    machine.lab.repository.advise(Advisory("LAB-SA-2026:0098", ("right-1.1-1",)))
    plant.want("left", "right", "plain")
    assert code_of(plant.tick()) == 1
    assert [plant.version(name) for name in ("left", "right", "plain")] == ["1.0", "1.1", "1.1"]
    assert plant.update("left")["disposition"] == "held"
    assert plant.tick(LATER).runs == ()


@pytest.mark.parametrize("plant", ["dnf"], indirect=True)
def test_a_file_of_an_installed_package_keeps_one_update_back(plant: Plant) -> None:
    machine = plant.machine
    assert isinstance(machine, RedHat)
    machine.lab.install(Rpm("owner", "1.0-1", files={"usr/bin/tool": "mine"}))
    machine.install("left")
    machine.lab.repository.publish(Rpm("left", "1.1-1", files={"usr/bin/tool": "yours"}))
    plant.want("left", "plain")
    assert code_of(plant.tick()) == 1
    assert [plant.version(name) for name in ("left", "plain")] == ["1.0", "1.1"]
    (reason,) = plant.update("left")["reasons"]
    assert "/usr/bin/tool from install of left-1.1-1.noarch" in reason["message"]
    assert "package owner-1.0-1.noarch" in reason["message"]


def test_a_changed_configuration_file_stays_and_the_new_one_is_named(plant: Plant) -> None:
    file = plant.machine.root / "etc/configured.conf"
    file.write_text("mine\n")
    plant.want("configured")
    done = plant.tick()
    assert code_of(done) == 0
    (record,) = plant.runs()
    assert (record["outcome"], record["conffiles"]) == (
        "applied",
        [f"/etc/configured.conf.{plant.machine.waiting}"],
    )
    assert file.read_text() == "mine\n"
    assert file.with_name(f"configured.conf.{plant.machine.waiting}").read_text() == "new\n"
    assert plant.tick(LATER).runs == ()


def patience(plant: Plant, wait: str) -> str:
    """Return how long a run waits; where fetching metadata needs the lock too, none are due."""
    refresh = "" if plant.machine.manager == "pacman" else "refresh: {every: 2d, before_apply: 2d}\n"
    return f"lock_wait: {wait}\n{refresh}"


def test_a_lock_of_another_program_defers_the_run_and_is_left_to_it(plant: Plant) -> None:
    plant.want("plain", policy=patience(plant, "1s"))
    with plant.machine.locked():
        done = plant.tick()
    assert code_of(done) == 5
    assert [(one["outcome"], one["code"]) for one in plant.runs()] == [("deferred", "locked")]
    assert plant.version("plain") == "1.0"
    assert [one.outcome for one in plant.tick(LATER).runs] == ["applied"]
    assert plant.version("plain") == "1.1"


def test_without_patience_a_lock_closes_the_gate_and_its_holder_is_named(plant: Plant) -> None:
    plant.want("plain", policy=patience(plant, "0s"))
    with plant.machine.locked() as pid:
        done = plant.tick()
    assert (done.report.decision.outcome, done.runs) == (Outcome.LOCKED, ())
    assert f"pid {pid}" in plant.report()["decision"]["reason"]
    assert plant.version("plain") == "1.0"
    assert code_of(plant.tick(LATER)) == 0
    assert plant.version("plain") == "1.1"


@pytest.mark.parametrize("plant", ["zypper"], indirect=True)
def test_a_lock_that_keeps_metadata_from_being_fetched_is_told(plant: Plant) -> None:
    plant.want("plain")
    with plant.machine.locked() as pid:
        done = plant.tick()
    assert (code_of(done), done.runs) == (5, ())
    assert plant.report()["decision"]["outcome"] == "metadata-stale"
    assert f"pid {pid}" in plant.report()["decision"]["reason"]
    assert [one.outcome for one in plant.tick(LATER).runs] == ["applied"]


@pytest.mark.parametrize("plant", ["apt", "dnf", "zypper"], indirect=True)
def test_a_security_update_that_would_remove_another_package_is_refused_with_the_reason(
    plant: Plant,
) -> None:
    machine = plant.machine
    machine.install("fix")
    conflict = {"Conflicts": "victim"}
    if isinstance(machine, Debian):
        machine.lab.publish(SECURITY, Deb("fix", "1.1", fields=conflict))
    elif isinstance(machine, (RedHat, Suse)):
        machine.lab.repository.publish(Rpm("fix", "1.1-1", fields=conflict))
        machine.lab.repository.advise(Advisory("LAB-SA-2026:0099", ("fix-1.1-1",)))
    plant.want("fix", "plain")
    done = plant.tick()
    refused = plant.update("fix")
    assert (refused["disposition"], refused["security"]) == ("removal-refused", True)
    assert any("victim" in reason["message"] for reason in refused["reasons"])
    assert "fix" in plant.condition("RemovalsRefused")["message"]
    assert [one.outcome for one in done.runs] == ["applied"]
    assert (plant.version("fix"), plant.version("victim"), plant.version("plain")) == ("1.0", "1.0", "1.1")
    assert plant.tick(LATER).runs == ()
    assert plant.report()["counts"]["pending"] == 0


@pytest.mark.parametrize("plant", MANAGERS, indirect=True)
def test_what_the_operator_holds_is_the_same_after_a_failed_run(plant: Plant) -> None:
    plant.offer("bad", "fails")
    where = plant.machine.hold("lima")
    held = [line for line in where.read_text().splitlines() if "lima" in line or " hold " in line]
    plant.want("bad", "lima", "plain")
    plant.tick()
    assert plant.version("lima") == "1.0"
    assert [line for line in where.read_text().splitlines() if "lima" in line or " hold " in line] == held
    assert plant.runs()[-1]["notes"] == []


@pytest.mark.parametrize("plant", ["apt"], indirect=True)
def test_of_ten_packages_three_fail_and_seven_come(plant: Plant) -> None:
    machine = plant.machine
    assert isinstance(machine, Debian)
    names = [f"ten{number}" for number in range(10)]
    for name in names:
        machine.install(name)
    machine.lab.install(Deb("owner", "1.0", files={"opt/shared": "mine"}))
    special = {
        "ten2": Deb("ten2", "1.1", scripts={"preinst": "echo not here; exit 3"}),
        "ten5": Deb("ten5", "1.1", files={"opt/shared": "yours"}),
        "ten7": Deb("ten7", "1.1", scripts={"postinst": "echo no luck; exit 3"}),
    }
    machine.lab.publish(MAIN, *(special.get(name, Deb(name, "1.1")) for name in names))
    machine.lab.refresh()
    plant.want(*names)
    done = plant.tick()
    assert code_of(done) == 1
    come = [name for name in names if name not in special]
    assert {plant.version(name) for name in come} == {"1.1"}
    assert [plant.version(name) for name in ("ten2", "ten5")] == ["1.0", "1.0"]
    failed = {one["name"]: one["message"] for record in plant.runs() for one in failures_of(record)}
    assert failed.keys() == special.keys()
    assert "trying to overwrite '/opt/shared', which is also in package owner" in failed["ten5"]
    assert {name: "script subprocess" in failed[name] for name in ("ten2", "ten7")} == {
        "ten2": True, "ten7": True,
    }  # fmt: skip
    # Nothing of it is tried again, and what came stays.
    assert plant.tick(LATER).runs == ()


def failures_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for step in record["steps"] for one in step["failed"]]
