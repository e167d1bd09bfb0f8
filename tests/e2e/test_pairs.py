"""One name in two architectures on a real small machine: each is planned, recorded and undone by itself."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.site import OPENING, POLICY, Site
from tests.e2e.test_apply import INSIDE, OTHERS, runs, tick, want
from tests.labs.apt import MAIN, AptLab, Deb

ARCHES = ("amd64", "i386")


@pytest.fixture
def machine(apt_world: AptLab, tmp_path: Path) -> AptLab:
    return apt_world.copy(tmp_path / "machine", repository=True)


@pytest.fixture
def host(machine: AptLab, tmp_path: Path) -> Site:
    site = Site.create(tmp_path / "site", environment=machine.environment)
    site.commit({"policies/base.yaml": POLICY + OTHERS})
    return site


def same(version: str, arch: str, postinst: str = "") -> Deb:
    """Return one half of a pair."""
    scripts = {"postinst": postinst} if postinst else {}
    return Deb("ma", version, arch, fields={"Multi-Arch": "same"}, scripts=scripts)


def offer_pair(machine: AptLab, *postinst: str) -> None:
    machine.install(*(same("1.0", arch) for arch in ARCHES))
    scripts = postinst or ("", "")
    machine.publish(MAIN, *(same("1.0", arch) for arch in ARCHES))
    machine.publish(MAIN, *(same("1.1", arch, script) for arch, script in zip(ARCHES, scripts, strict=True)))
    machine.refresh()


def versions(machine: AptLab) -> dict[str, str]:
    return {name: version for name, version in machine.versions().items() if name.startswith("ma:")}


def test_both_halves_of_a_pair_move_in_one_step_and_are_told(host: Site, machine: AptLab) -> None:
    offer_pair(machine)
    want(host, "ma", "plain", policy="steps: minimal\n")
    (record,) = tick(host).runs
    assert record.outcome == "applied"
    told = {(move.name, move.arch) for move in record.difference.changed}
    assert told == {("ma", "amd64"), ("ma", "i386"), ("plain", "all")}
    assert versions(machine) == {"ma:amd64": "1.1", "ma:i386": "1.1"}
    assert tick(host, INSIDE + timedelta(minutes=15)).runs == ()


def test_a_pair_is_rolled_back_whole(host: Site, machine: AptLab) -> None:
    offer_pair(machine)
    want(host, "ma", policy="on_failure: rollback\nhealth: {settle: 0s}\n")
    host.hook("health", "10-ma", f"! grep -q 1.1 {machine.root}/usr/share/lab/ma")
    (record,) = tick(host).runs
    assert (record.outcome, record.code) == ("rolled-back", "unhealthy")
    assert record.rollback is not None
    assert {(move.name, move.arch, move.to) for move in record.rollback.moves} == {
        ("ma", "amd64", "1.0"),
        ("ma", "i386", "1.0"),
    }
    assert versions(machine) == {"ma:amd64": "1.0", "ma:i386": "1.0"}


def test_the_half_of_a_pair_that_failed_is_named_with_its_architecture(host: Site, machine: AptLab) -> None:
    offer_pair(machine, "", "exit 3")
    want(host, "ma")
    done = tick(host)
    (record,) = done.runs
    assert record.outcome == "failed"
    assert record.difference.broken == ("ma:i386 (half-configured)",)
    (condition,) = [one for one in done.report.conditions if one.type == "PackagesQuarantined"]
    assert "ma:i386 1.1" in condition.message
    assert "amd64" not in condition.message


def test_a_package_that_failed_at_first_and_is_whole_at_the_end_is_applied(
    host: Site, machine: AptLab
) -> None:
    once = 'if [ -e "$DPKG_ROOT/tried" ]; then exit 0; fi; : >"$DPKG_ROOT/tried"; exit 1'
    names = [f"z{number:02}" for number in range(20)]
    machine.install(*(Deb(name, "1.0") for name in names))
    machine.publish(
        MAIN, *(Deb(name, "1.1", scripts={"postinst": once} if name == "z03" else {}) for name in names)
    )
    machine.refresh()
    want(host, *names, policy="on_failure: rollback\nhealth: {settle: 0s}\nstep_time: 16s\n")
    done = tick(host)
    (record,) = done.runs
    assert [step.outcome for step in record.steps] == ["failed", "done"]
    assert [one.name for one in record.steps[0].failed] == ["z03"]
    assert (record.outcome, record.code, record.rollback) == ("applied", "", None)
    assert {machine.versions()[name] for name in names} == {"1.1"}
    assert not any(one.type == "PackagesQuarantined" for one in done.report.conditions)
    assert runs(host)[-1]["outcome"] == "applied"
    assert tick(host, OPENING + timedelta(minutes=30)).runs == ()


def test_a_partner_that_was_ended_from_outside_is_tried_once_more(host: Site, machine: AptLab) -> None:
    once = 'if [ ! -e "$DPKG_ROOT/once" ]; then touch "$DPKG_ROOT/once"; kill -9 $$; fi'
    old, new = ({"Depends": f"first (= {version})"} for version in ("1.0", "1.1"))
    machine.offer(
        (Deb("first", "1.0"), Deb("first", "1.1")),
        (Deb("second", "1.0", fields=old), Deb("second", "1.1", fields=new, scripts={"preinst": once})),
    )
    want(host, "first", "second", "plain")
    (record,) = tick(host).runs
    assert {move.name for move in record.difference.changed} == {"first", "second", "plain"}
    assert {machine.versions()[name] for name in ("first", "second", "plain")} == {"1.1"}
    later = tick(host, INSIDE + timedelta(minutes=15))
    assert later.runs == ()
    assert {one.type for one in later.report.conditions}.isdisjoint(
        {"DependenciesBroken", "PackagesQuarantined"}
    )
