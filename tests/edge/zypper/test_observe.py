"""What ``--observe`` sees of a real root, and that it leaves no trace."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts.observation import Installed, Question, RebootNeed
from reconciler.process import BASE_PATH
from reconciler.targets.local import LocalTarget
from tests.edge.zypper.conftest import managed
from tests.labs.naming import named
from tests.labs.rpm import Rpm
from tests.labs.zypper import ZypperLab

NOW = datetime.now(UTC)


def test_a_lock_on_versions_holds_what_has_no_other_on_offer(
    own_lab: ZypperLab, own_zypper: ScriptedManager
) -> None:
    own_lab.repository.publish(Rpm("lima", "1.2-1"))
    own_lab.refresh()
    own_lab.lock("plain > 1.0", "lima >= 1.2")
    observation = own_zypper.observe(NOW)
    assert {one.name for one in observation.installed if one.held} == {"plain"}
    offered = {one.name: [version.version for version in one.versions] for one in observation.offers}
    # zypper goes no further than the lock lets it, and still offers what is held.
    assert (offered["plain"], offered["lima"]) == (["1.1-1"], ["1.1-1"])
    moved = {one.name: one.to_version for one in own_zypper.resolve(Question()).changes}
    assert ("plain" in moved, moved["lima"]) == (False, "1.1-1")


def test_installed_packages_with_locks_and_marks(lab: ZypperLab, zypper: ScriptedManager) -> None:
    lab.lock("li*", "nothing-of-this-name")
    lab.mark_automatic("base")
    observation = zypper.observe(NOW)
    seen = named(observation.installed)
    built = partial(Installed, source="lab-source", source_version="1-1")
    assert seen["lima"] == built("lima", "noarch", "1.0-1", held=True)
    assert seen["base"] == built("base", "noarch", "1.0-1", automatic=True)
    assert seen["native"] == built("native", "x86_64", "1.0-1")
    assert seen["epoch"].version == "1:1.0-1"
    assert [name for name, package in seen.items() if package.held] == ["lima"]
    assert len(seen) == 23
    # What is locked is still offered.
    assert "lima" in {offer.name for offer in observation.offers}


def test_offers_name_every_newer_version_with_origin_security_and_advisories(
    zypper: ScriptedManager,
) -> None:
    offers = {offer.name: offer for offer in zypper.observe(NOW).offers}
    versions = {
        name: [(one.version, one.origins, one.security) for one in offer.versions]
        for name, offer in offers.items()
    }
    # The patch names 1.1-1; zypper brings it about by the newest.
    assert versions["superseded"] == [("1.2-1", ("lab",), True), ("1.1-1", ("lab",), True)]
    assert versions["secure"] == [("1.0-2", ("lab",), True)]
    assert versions["rebooting"] == [("1.1-1", ("lab",), True)]
    assert versions["plain"] == [("1.1-1", ("lab",), False)]
    assert versions["epoch"] == [("1:1.0-2", ("lab",), False)]
    assert (offers["native"].arch, offers["superseded"].candidate) == ("x86_64", "1.2-1")
    assert offers["secure"].advisories == ("CVE-2026-0001", "CVE-2026-0002", "LAB-SA-2026:0001")
    assert offers["plain"].advisories == ("LAB-BA-2026:0003",)
    assert offers["lima"].advisories == ()
    assert "local" not in offers
    assert "victim" not in offers


def test_an_offer_knows_size_and_hash_of_its_archive(lab: ZypperLab, zypper: ScriptedManager) -> None:
    plain = next(offer for offer in zypper.observe(NOW).offers if offer.name == "plain")
    data = lab.repository.file("plain", "1.1-1").read_bytes()
    assert plain.versions[0].size == len(data)
    assert plain.versions[0].sha256 == hashlib.sha256(data).hexdigest()
    assert plain.versions[0].installed_size == 6


def test_a_source_with_its_times(lab: ZypperLab, zypper: ScriptedManager) -> None:
    (source,) = zypper.observe(datetime.now(UTC)).sources
    assert (source.name, source.url, source.problem) == ("lab", f"file:{lab.repository.folder}", "")
    assert source.published is not None
    assert source.fetched is not None
    assert source.published <= source.fetched
    assert source.valid_until is None


def test_a_source_without_patches_serves_no_security_updates(
    own_lab: ZypperLab, own_zypper: ScriptedManager
) -> None:
    assert [one.security for one in own_zypper.observe(NOW).sources] == [None]
    own_lab.repository.advise_nothing()
    own_lab.refresh()
    assert [one.security for one in own_zypper.observe(NOW).sources] == [False]


def test_patches_may_hold_comments_and_unescaped_text(
    own_lab: ZypperLab, own_zypper: ScriptedManager
) -> None:
    before = own_zypper.observe(NOW).offers
    assert any(offer.advisories for offer in before)
    file = own_lab.repository.folder / "updateinfo.xml"
    said = "<!-- by hand --><description><![CDATA[a <b> & c]]></description><pkglist>"
    file.write_text(file.read_text().replace("<pkglist>", said))
    own_lab.repository.index()
    own_lab.refresh()
    assert own_zypper.observe(NOW).offers == before


def test_a_source_that_was_never_read_and_one_with_a_password(
    lab: ZypperLab, zypper: ScriptedManager
) -> None:
    lab.configure_repository("dead", "http://user:hunter2@127.0.0.1:9/x")
    before = lab.digest()
    dead, _ = zypper.observe(NOW).sources
    assert dead.problem == "its metadata were never read on this machine"
    assert (dead.name, dead.fetched) == ("dead", None)
    assert "hunter2" not in dead.url
    assert lab.digest() == before


def test_a_source_from_the_future(zypper: ScriptedManager) -> None:
    (source,) = zypper.observe(NOW - timedelta(days=2)).sources
    assert source.problem.startswith("its metadata are dated in the future: ")


def test_the_machine(lab: ZypperLab, zypper: ScriptedManager) -> None:
    observation = zypper.observe(NOW)
    assert observation.facts.os_id == "sled-lab"
    assert observation.facts.architecture == "x86_64"
    assert observation.facts.kernel == os.uname().release
    assert observation.manager == "zypper"
    assert observation.manager_version[0].isdigit()
    assert observation.privileged is (os.geteuid() == 0)
    assert observation.health.interrupted == ()
    assert observation.health.lock_holder == ""
    assert {system.path for system in observation.health.filesystems} >= {f"{lab.root}/boot"}
    assert observation.reboot.need is RebootNeed.NOT_REQUIRED


def test_the_database_is_known_by_its_digest(lab: ZypperLab, zypper: ScriptedManager) -> None:
    before = zypper.observe(NOW).database
    lab.mark_automatic("plain")
    marked = zypper.observe(NOW).database
    lab.install(Rpm("another", "1.0-1"))
    assert len({before, marked, zypper.observe(NOW).database}) == 3


def test_who_holds_the_lock(lab: ZypperLab, zypper: ScriptedManager) -> None:
    pid_file = lab.root / "run/zypp.pid"
    pid_file.write_text(f"{os.getpid()}\n")
    holder = zypper.observe(NOW).health.lock_holder
    assert holder.endswith(f"(pid {os.getpid()})")
    # As it stays behind after a kill: nobody of that number lives.
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    pid_file.write_text(f"{gone.pid}\n")
    assert zypper.observe(NOW).health.lock_holder == ""
    assert pid_file.read_text() == f"{gone.pid}\n"


def test_two_versions_at_once_are_an_interrupted_run_but_for_kernels(
    lab: ZypperLab, zypper: ScriptedManager
) -> None:
    lab.install(Rpm("plain", "1.1-1"), Rpm("kernel-default", "5.14.21-2.1"))
    assert zypper.observe(NOW).health.interrupted == ("plain (1.0-1 and 1.1-1 at once)",)


def test_what_the_operator_says_may_be_there_several_times_is_no_interrupted_run(
    lab: ZypperLab, zypper: ScriptedManager
) -> None:
    several = {"Provides": "several(lab)"}
    lab.install(
        Rpm("plain", "1.1-1"), Rpm("many", "1.0-1", fields=several), Rpm("many", "2.0-1", fields=several)
    )
    (lab.root / "etc/zypp/zypp.conf").write_text(
        "[main]\nmultiversion = other, plain\nmultiversiondir = /etc/several.d\n"
    )
    (lab.root / "etc/several.d").mkdir()
    (lab.root / "etc/several.d/lab").write_text("# of the lab\n provides:several(lab)\n")
    assert zypper.observe(NOW).health.interrupted == ()


def test_the_distributions_mark_of_a_pending_reboot(lab: ZypperLab, zypper: ScriptedManager) -> None:
    (lab.root / "run/reboot-needed").touch()
    reboot = zypper.observe(NOW).reboot
    assert (reboot.need, reboot.reasons) == (RebootNeed.REQUIRED, ("/run/reboot-needed is there",))


@pytest.mark.parametrize("is_fresh", [False, True], ids=["parsed", "unparsed"])
def test_nothing_is_changed(
    lab: ZypperLab, script: PatchScript, shell: Sequence[str], *, is_fresh: bool
) -> None:
    if is_fresh:  # zypper would parse all anew, and write that down
        lab.install(Rpm("unknown-to-zypper", "1.0-1"))
        for file in (lab.root / "var/cache/zypp/solv/lab").iterdir():
            file.unlink()
    before = lab.digest()
    managed(lab, script, tuple(shell)).observe(NOW)
    assert lab.digest() == before


def test_what_an_answer_depends_on_is_named(lab: ZypperLab, zypper: ScriptedManager) -> None:
    named = zypper.inputs()
    assert all(path.startswith(f"{lab.root}/") for path in named)
    below = {path.removeprefix(f"{lab.root}/") for path in named}
    assert below >= {
        "etc/zypp/locks",
        "etc/zypp/repos.d",
        "var/lib/zypp/AutoInstalled",
        "var/cache/zypp/raw/lab/repodata",
        f"{lab.database.relative_to(lab.root)}/rpmdb.sqlite",
    }


def test_reading_moves_none_of_these(zypper: ScriptedManager) -> None:
    def times() -> list[tuple[str, int]]:
        return [(path, Path(path).stat().st_mtime_ns) for path in zypper.inputs() if Path(path).exists()]

    before = times()
    zypper.observe(NOW)
    assert times() == before


def test_a_machine_without_zypper(script: PatchScript, tmp_path: Path) -> None:
    for name in ("sh", "mktemp", "rm", "rpm"):
        (tmp_path / name).symlink_to(Path("/usr/bin") / name)
    manager = ScriptedManager(ZYPPER, LocalTarget({"PATH": str(tmp_path)}), script)
    with pytest.raises(Stalled, match="there is no zypper on this machine"):
        manager.observe(NOW)


def test_that_rpm_cannot_say_in_time_what_is_missing_costs_that_alone(
    lab: ZypperLab, zypper: ScriptedManager, script: PatchScript, tmp_path: Path
) -> None:
    lab.rpm("-e", "--nodeps", "base")
    whole = zypper.observe(NOW)
    assert whole.health.broken == ("base is needed by user-1.0-1.noarch",)
    slow = 'case "$*" in *" -Va "*) exit 124 ;; esac'
    (tmp_path / "timeout").write_text(f'#!/bin/sh\n{slow}\nexec /usr/bin/timeout "$@"\n')
    (tmp_path / "timeout").chmod(0o755)
    target = LocalTarget({**lab.environment, "PATH": f"{tmp_path}:{BASE_PATH}"})
    hurried = ScriptedManager(ZYPPER, target, script, lab.cache, root=lab.root).observe(NOW)
    said = "zypper did not say whether all that installed packages need is there: no answer within 60 s"
    assert (whole.unexplained, hurried.unexplained) == ((), (said,))
    assert (hurried.health.broken, hurried.offers) == ((), whole.offers)


def _all_but(folder: Path, name: str) -> dict[str, str]:
    """Return a PATH with everything that this machine has, but for one program."""
    folder.mkdir()
    for place in (Path("/usr/sbin"), Path("/usr/bin")):
        for program in place.iterdir():
            if program.name != name and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return {"PATH": str(folder)}


def _packed(lab: ZypperLab, kind: str) -> tuple[Path, str]:
    """Return the file of a kind of metadata, and which program unpacks it: newer ones are made by zstd."""
    (file,) = (lab.root / "var/cache/zypp/raw/lab/repodata").glob(f"*{kind}.xml.*")
    return file, {".gz": "gzip", ".zst": "zstd"}[file.suffix]


def test_metadata_that_nothing_here_can_unpack_are_no_empty_metadata(
    lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    _, program = _packed(lab, "primary")
    environment = {**lab.environment, **_all_but(tmp_path / "bin", program)}
    manager = ScriptedManager(ZYPPER, LocalTarget(environment), script, lab.cache, root=lab.root)
    with pytest.raises(Stalled, match=f"missing {program}"):
        manager.observe(NOW)
    with pytest.raises(Stalled, match=f"missing {program}"):
        manager.resolve(Question())


@pytest.mark.parametrize("kind", ["primary", "updateinfo"])
def test_metadata_that_are_cut_are_no_half_of_an_answer(
    lab: ZypperLab, zypper: ScriptedManager, kind: str
) -> None:
    file, program = _packed(lab, kind)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(Stalled, match=f"{program} ended with 1"):
        zypper.observe(NOW)


def test_metadata_of_a_form_that_nobody_knows_are_named(lab: ZypperLab, zypper: ScriptedManager) -> None:
    (file,) = (lab.root / "var/cache/zypp/raw/lab/repodata").glob("*primary.xml.*")
    file.rename(file.with_suffix(".new"))
    with pytest.raises(Stalled, match=r"no program here reads .*primary\.xml\.new, metadata of lab"):
        zypper.observe(NOW)


def test_what_installed_packages_miss_is_told(lab: ZypperLab, zypper: ScriptedManager) -> None:
    assert zypper.observe(NOW).health.broken == ()
    lab.rpm("-e", "--nodeps", "base")
    assert zypper.observe(NOW).health.broken == ("base is needed by user-1.0-1.noarch",)


def test_a_root_without_packages(lab: ZypperLab, zypper: ScriptedManager) -> None:
    for file in lab.database.iterdir():
        file.unlink()
    with pytest.raises(Stalled):
        zypper.observe(NOW)
