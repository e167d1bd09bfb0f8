"""Packages that fail, ask, or want another one gone: told truthfully, and the rest is done all the same."""

from datetime import timedelta

import pytest

from reconciler.planning.gates.types import Outcome
from tests.e2e.machines import INSIDE, MANAGERS, Debian, Plant, RedHat, Suse, code_of
from tests.labs.apt import SECURITY, Deb
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
