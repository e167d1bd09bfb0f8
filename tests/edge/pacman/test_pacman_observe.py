"""What ``--observe`` sees of a real root, and that it leaves no trace."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Installed, Question, RebootNeed
from reconciler.planning.facts.package import PackageId
from reconciler.process import BASE_PATH
from reconciler.targets.local import LocalTarget
from tests.edge.pacman.conftest import run
from tests.labs.pacman import PacmanLab, Pkg

NOW = datetime.now(UTC)


def test_installed_packages_with_holds_and_marks(lab: PacmanLab, pacman: ScriptedManager) -> None:
    lab.hold_package("lim?")
    lab.configure("IgnoreGroup = tools")
    lab.install(Pkg("grouped", "1.0-1", (("group", "tools"), ("pkgbase", "toolbox"))))
    seen = {package.name: package for package in pacman.observe(NOW).installed}
    assert seen["lima"] == Installed("lima", "any", "1.0-1", held=True)
    assert seen["grouped"] == Installed("grouped", "any", "1.0-1", held=True, source="toolbox")
    assert seen["base"] == Installed("base", "any", "1.0-1", automatic=True)
    assert seen["epoch"].version == "1:1.0-1"
    assert len(seen) == 14


@pytest.mark.parametrize("pattern", ["li[[:lower:]]a", "[^a-k]ima", r"l\im*"])
def test_the_operators_patterns_are_those_of_fnmatch(
    lab: PacmanLab, pacman: ScriptedManager, pattern: str
) -> None:
    lab.hold_package(pattern)
    assert {package.name for package in pacman.observe(NOW).installed if package.held} == {"lima"}


def test_what_an_upgrade_takes_nothing_from_offers_nothing(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager
) -> None:
    before = pacman.observe(NOW).offers
    successor = (("replaces", "local"), ("conflict", "local"))
    lab.publish_in("testing", Pkg("victim", "1.2-1"), Pkg("plain", "1.3-1"), Pkg("heir", "1-1", successor))
    text = lab.configuration.read_text()
    head, mark, testing = text.partition("[testing]\n")
    options, own, rest = head.partition("[lab]\n")
    # The first one that has a package counts, where it counts at all.
    lab.configuration.write_text(f"{options}{mark}Usage = Sync Search Install\n{testing}{own}{rest}")
    run(lab, script, "--refresh")
    assert pacman.observe(NOW).offers == before
    assert {source.name for source in pacman.observe(NOW).sources} == {"lab", "testing"}


def test_offers_name_the_one_version_with_repository_size_and_hash(
    lab: PacmanLab, pacman: ScriptedManager
) -> None:
    offers = {offer.name: offer for offer in pacman.observe(NOW).offers}
    assert sorted(offers) == [
        "base", "configured", "epoch", "hostile", "lima", "newdep", "pair", "pair-data", "plain", "replacer",
        "user",
    ]  # fmt: skip
    (version,) = offers["plain"].versions
    file = lab.repository / "plain-1.1-1-any.pkg.tar.zst"
    assert (version.version, version.origins, version.security) == ("1.1-1", ("lab",), False)
    assert (version.size, version.installed_size) == (file.stat().st_size, 20480)
    done = subprocess.run(["sha256sum", str(file)], capture_output=True, text=True, check=True)
    assert version.sha256 == done.stdout.split()[0]
    assert offers["epoch"].candidate == "1:1.0-2"


def test_what_the_operator_holds_is_offered_all_the_same(lab: PacmanLab, pacman: ScriptedManager) -> None:
    lab.hold_package("lima")
    assert "lima" in {offer.name for offer in pacman.observe(NOW).offers}


def test_sources_tell_when_they_were_written_and_read(lab: PacmanLab, pacman: ScriptedManager) -> None:
    (source,) = pacman.observe(datetime.now(UTC)).sources
    assert (source.name, source.url) == ("lab", f"file://{lab.repository}")
    assert source.published is not None
    assert source.published <= datetime.now(UTC)
    assert source.fetched is not None
    assert source.fetched > NOW - timedelta(minutes=10)
    assert source.problem == ""


def test_a_source_that_was_never_read_or_is_from_the_future_has_a_problem(
    lab: PacmanLab, pacman: ScriptedManager
) -> None:
    (early,) = pacman.observe(NOW - timedelta(days=400)).sources
    assert early.problem.startswith("its database is dated in the future: ")
    with lab.configuration.open("a") as file:
        file.write("[other]\nServer = http://user:hunter2@127.0.0.1:9/other\n")
    other = pacman.observe(NOW).sources[1]
    assert (other.name, other.problem) == ("other", "its database was never read")
    assert other.url == "http://127.0.0.1:9/other"


def test_without_what_we_read_what_pacman_read_counts(
    fresh_lab: PacmanLab, script: PatchScript, fresh_pacman: ScriptedManager
) -> None:
    assert fresh_pacman.observe(NOW).offers == ()
    fresh_lab.pacman("-Sy")
    alone = ScriptedManager(PACMAN, LocalTarget(fresh_lab.environment), script)
    assert len(alone.observe(NOW).offers) == 11


def test_what_pacman_read_later_counts_instead_of_ours(lab: PacmanLab, pacman: ScriptedManager) -> None:
    lab.publish(Pkg("plain", "1.3-1"))
    lab.pacman("-Sy")
    offers = {offer.name: offer.candidate for offer in pacman.observe(NOW).offers}
    assert offers["plain"] == "1.3-1"


def test_that_it_cannot_say_in_time_what_replaces_what_costs_that_alone(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager, tmp_path: Path
) -> None:
    (tmp_path / "timeout").write_text("#!/bin/sh\nexit 124\n")
    (tmp_path / "timeout").chmod(0o755)
    target = LocalTarget({**lab.environment, "PATH": f"{tmp_path}:{BASE_PATH}"})
    hurried = ScriptedManager(PACMAN, target, script, lab.cache).observe(NOW)
    whole = pacman.observe(NOW)
    assert {offer.name for offer in whole.offers} - {offer.name for offer in hurried.offers} == {"replacer"}
    said = "pacman did not say what would take the place of installed packages: no answer within 60 s"
    assert (whole.unexplained, hurried.unexplained) == ((), (said,))


def test_facts_come_from_the_root(pacman: ScriptedManager) -> None:
    observation = pacman.observe(NOW)
    assert (observation.facts.os_id, observation.facts.os_name) == ("arch", "Arch Linux")
    assert observation.facts.architecture == "x86_64"
    assert observation.facts.kernel == os.uname().release
    assert observation.manager == "pacman"
    assert observation.manager_version.startswith(("6.", "7."))
    assert observation.scripts[1][0] == "pacman-update.sh"


def test_dependencies_that_are_not_met_are_told(lab: PacmanLab, pacman: ScriptedManager) -> None:
    assert pacman.observe(NOW).health.broken == ()
    lab.pacman("-Rdd", "base")
    assert pacman.observe(NOW).health.broken == ("missing 'base' dependency for 'user'",)


def test_a_half_written_entry_is_told(lab: PacmanLab, pacman: ScriptedManager) -> None:
    assert pacman.observe(NOW).health.interrupted == ()
    (lab.database / "local/plain-1.0-1/desc").unlink()
    assert pacman.observe(NOW).health.interrupted == ("plain-1.0-1 (half written in pacman's database)",)


HOLDER = """
import sys
lock = open(sys.argv[1], "x")
print("held", flush=True)
sys.stdin.read()
"""


def test_who_has_the_lock_is_named_and_a_lock_of_nobody_is_stale(
    lab: PacmanLab, pacman: ScriptedManager
) -> None:
    assert pacman.observe(NOW).health.lock_holder == ""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lab.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        name = Path(f"/proc/{holder.pid}/comm").read_text().strip()
        health = pacman.observe(NOW).health
        assert (health.lock_holder, health.interrupted) == (f"{name} (pid {holder.pid})", ())
        holder.stdin.close()
        holder.wait()
    health = pacman.observe(NOW).health
    assert (health.lock_holder, health.interrupted) == ("", (f"{lab.lock} is left of a run that is dead",))
    assert lab.lock.exists()


def test_a_container_or_another_root_needs_no_reboot(lab: PacmanLab, pacman: ScriptedManager) -> None:
    (lab.root / "usr/lib/modules/0.0.1-arch1-1").mkdir(parents=True)
    assert pacman.observe(NOW).reboot.need is RebootNeed.NOT_REQUIRED


def test_free_space_is_told_for_what_a_run_writes_to(lab: PacmanLab, pacman: ScriptedManager) -> None:
    filesystems = pacman.observe(NOW).health.filesystems
    assert [each.path for each in filesystems] == [
        f"{lab.root}{part}" for part in ("/var/cache/pacman/pkg", "/", "/boot", "/var")
    ]
    assert all(0 < each.free <= each.size for each in filesystems)


def test_equal_machines_give_equal_records_but_for_time(lab: PacmanLab, pacman: ScriptedManager) -> None:
    first, again = pacman.observe(NOW), pacman.observe(NOW)
    assert (first.installed, first.offers, first.database) == (again.installed, again.offers, again.database)
    lab.pacman("-D", "--asdeps", "plain")
    assert pacman.observe(NOW).database != first.database


def test_every_shell_sees_the_same(
    lab: PacmanLab, script: PatchScript, shell: tuple[str, ...], pacman: ScriptedManager
) -> None:
    other = ScriptedManager(PACMAN, LocalTarget(lab.environment, shell), script, lab.cache)
    assert other.observe(NOW).offers == pacman.observe(NOW).offers
    assert other.observe(NOW).installed == pacman.observe(NOW).installed


def test_observing_leaves_the_root_as_it_was_byte_for_byte(lab: PacmanLab, pacman: ScriptedManager) -> None:
    before = lab.digest()
    pacman.observe(NOW)
    assert lab.digest() == before


def one_change_after_another(lab: PacmanLab, script: PatchScript) -> Iterator[str]:
    lab.hold_package("lima")
    yield "a hold"
    lab.pacman("-D", "--asdeps", "plain")
    yield "a mark"
    lab.publish(Pkg("plain", "1.2-1"))
    target = LocalTarget(lab.environment)
    script.run(target, ["--refresh", "--cache", str(lab.cache)], timeout=60)
    yield "new databases"
    lab.lock.touch()
    yield "a lock"
    lab.lock.unlink()
    lab.install(Pkg("local", "1.1-1"))
    yield "another version"


def test_whatever_changes_an_observation_changes_one_of_its_inputs(
    lab: PacmanLab, pacman: ScriptedManager, script: PatchScript
) -> None:
    before = lab.digest()
    paths = [Path(name) for name in pacman.inputs()]
    assert lab.digest() == before

    def signature() -> list[tuple[int, int] | None]:
        states = [path.stat() if path.exists() else None for path in paths]
        return [state and (state.st_mtime_ns, state.st_ino) for state in states]

    seen = signature()
    for what in one_change_after_another(lab, script):
        assert signature() != seen, what
        seen = signature()


def test_an_ordinary_user_sees_the_same(lab: PacmanLab, script: PatchScript, pacman: ScriptedManager) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh")
    target = LocalTarget(lab.environment, nobody)
    observed = ScriptedManager(PACMAN, target, script, lab.cache).observe(NOW)
    expected = pacman.observe(NOW)
    assert (observed.privileged, expected.privileged) == (False, True)
    assert observed.offers == expected.offers
    assert observed.installed == expected.installed
    assert observed.sources == expected.sources


def test_a_root_is_observed_by_its_own_configuration(
    lab: PacmanLab, script: PatchScript, pacman: ScriptedManager
) -> None:
    expected = pacman.observe(NOW).offers
    mirrors = lab.root / "etc/pacman.d/mirrorlist"
    mirrors.write_text(f"Server = file://{lab.repository}\n")
    lab.configuration.write_text(
        "[options]\nArchitecture = x86_64\nSigLevel = Never\nIgnorePkg = lima\n"
        "CacheDir = /var/cache/pacman/pkg/\n[lab]\nInclude = /etc/pacman.d/mirrorlist\n"
    )
    below = ScriptedManager(PACMAN, LocalTarget({}), script, lab.cache, root=lab.root)
    observed = below.observe(NOW)
    assert observed.offers == expected
    assert [package.name for package in observed.installed if package.held] == ["lima"]
    assert observed.sources[0].url == f"file://{lab.repository}"
    assert observed.health.filesystems[0].path == f"{lab.root}/var/cache/pacman/pkg"


def test_no_pacman_at_all_is_said(script: PatchScript, tmp_path: Path) -> None:
    for tool in ("sh", "cat", "awk", "mktemp", "rm"):
        path = shutil.which(tool)
        assert path is not None
        (tmp_path / tool).symlink_to(path)
    target = LocalTarget({"PATH": str(tmp_path)}, (str(tmp_path / "sh"),))
    with pytest.raises(Stalled, match="there is no pacman on this machine"):
        ScriptedManager(PACMAN, target, script).observe(NOW)


def test_a_machine_without_bsdtar_is_told_what_it_lacks(
    lab: PacmanLab, script: PatchScript, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name != "bsdtar":
            (tmp_path / "bin" / program.name).symlink_to(program)
    target = LocalTarget({**lab.environment, "PATH": str(tmp_path / "bin")})
    pacman = ScriptedManager(PACMAN, target, script, lab.cache)
    for ask in (lambda: pacman.observe(NOW), lambda: pacman.resolve(Question())):
        with pytest.raises(Stalled, match="there is no bsdtar on this machine"):
            ask()


# --- what takes the place of another ------------------------------------------------------------------------


@pytest.mark.parametrize("held", ["", "replaced", "replacer"])
def test_what_replaces_an_installed_package_is_an_offer(
    lab: PacmanLab, pacman: ScriptedManager, held: str
) -> None:
    if held:
        lab.hold_package(held)
    (offer,) = (offer for offer in pacman.observe(NOW).offers if offer.replaces)
    assert (offer.name, offer.installed, offer.candidate) == ("replacer", "1.0-1", "2.0-1")
    assert (offer.replaces, offer.held) == ((PackageId("replaced", "any"),), bool(held))
    assert offer.versions[0].origins == ("lab",)
