"""What ``--observe`` sees of a real root, and that it leaves no trace."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Installed, RebootNeed
from reconciler.targets.local import LocalTarget
from tests.labs.apt import MAIN, AptLab, Deb
from tests.labs.naming import named

NOW = datetime.now(UTC)


def test_installed_packages_with_holds_and_marks(lab: AptLab, apt: ScriptedManager) -> None:
    lab.hold_package("lima")
    lab.mark_auto("base")
    rebuilt = Deb("rebuilt", "1:1.0+b1", fields={"Source": "origin (1:1.0)"})
    lab.install(rebuilt, Deb("part", "1.0", fields={"Source": "whole"}))
    seen = named(apt.observe(NOW).installed)
    assert seen["rebuilt"] == Installed("rebuilt", "all", "1:1.0+b1", source="origin", source_version="1:1.0")
    assert seen["part"] == Installed("part", "all", "1.0", source="whole")
    assert seen["lima"] == Installed("lima", "all", "1.0", held=True)
    assert seen["base"] == Installed("base", "all", "1.0", automatic=True)
    assert seen["foreign"] == Installed("foreign", "i386", "1.0")
    assert seen["epoch"].version == "1:1.0-1"
    assert seen["twin:i386"] == Installed("twin", "i386", "1.0")
    assert len(seen) == 25


def test_offers_name_every_newer_version_with_origin_and_security(apt: ScriptedManager) -> None:
    offers = named(apt.observe(NOW).offers)
    versions = {
        name: [(one.version, one.origins, one.security) for one in offer.versions]
        for name, offer in offers.items()
    }
    main, security = "Debian:12/stable", "Debian-Security:12/stable-security"
    assert versions["superseded"] == [("1.2", (main,), False), ("1.1", (security,), True)]
    assert versions["both"] == [("1.1", (main, security), True)]
    assert versions["secure"] == [("1.0+deb12u1", (security,), True)]
    assert offers["superseded"].candidate == "1.2"
    assert offers["foreign"].arch == "i386"
    assert offers["phased"].versions[0].phased == 10
    assert "local" not in offers
    assert "victim" not in offers


def test_an_offer_knows_size_and_hash_of_its_archive(lab: AptLab, apt: ScriptedManager) -> None:
    plain = next(offer for offer in apt.observe(NOW).offers if offer.name == "plain")
    file = lab.repository / "pool/plain_1.1_all.deb"
    assert plain.versions[0].size == file.stat().st_size
    assert plain.versions[0].installed_size == 20 * 1024
    done = subprocess.run(["sha256sum", str(file)], capture_output=True, text=True, check=True)
    assert plain.versions[0].sha256 == done.stdout.split()[0]


def test_sources_tell_their_age(apt: ScriptedManager) -> None:
    sources = apt.observe(NOW).sources
    assert [source.name for source in sources] == ["Debian:12/stable", "Debian-Security:12/stable-security"]
    for source in sources:
        assert source.published is not None
        assert source.published < NOW
        assert source.valid_until is not None
        assert source.fetched is not None
        assert source.problem == ""


def test_a_source_past_its_date_or_from_the_future_has_a_problem(apt: ScriptedManager) -> None:
    late = {source.problem[:25] for source in apt.observe(NOW + timedelta(days=400)).sources}
    early = {source.problem[:31] for source in apt.observe(NOW - timedelta(days=400)).sources}
    assert late == {"its release file was vali"}
    assert early == {"its release file is dated in th"}


@pytest.mark.parametrize("field", ["Valid-Until", "Date"])
def test_a_date_that_apt_was_told_to_pass_over_leaves_the_age_unknown(
    own_lab: AptLab, own_apt: ScriptedManager, field: str
) -> None:
    own_lab.configure('Acquire::Check-Valid-Until "false"; Acquire::Check-Date "false";')
    other = "Sat, 01 Jan 2022 00:00:00 UTC" if field == "Valid-Until" else "Fri, 01 Jan 2100 00:00:00 UTC"
    for release in own_lab.repository.glob("dists/*/Release"):
        release.write_text(re.sub(f"(?m)^{field}: .*$", f"{field}: {other}", release.read_text()))
    for signed in own_lab.repository.glob("dists/*/InRelease"):
        signed.unlink()
    sources = own_lab.root / "etc/apt/sources.list"
    shutil.rmtree(own_lab.root / "var/lib/apt/lists")  # apt does not take what was signed before
    sources.write_text(re.sub(r"(?m)^deb (\[.*?\] )?", "deb [trusted=yes] ", sources.read_text()))
    own_lab.refresh()
    for source in own_apt.observe(datetime.now(UTC)).sources:
        assert source.problem == ""
        assert source.age_unknown.endswith("and apt takes it all the same")


def test_a_source_without_release_file_is_named(lab: AptLab, apt: ScriptedManager) -> None:
    flat = lab.folder / "flat"
    flat.mkdir()
    with (lab.root / "etc/apt/sources.list").open("a") as file:
        file.write(f"deb [trusted=yes] file:{flat} ./\n")
    (flat / "Packages").write_text(
        "Package: plain\nVersion: 9\nArchitecture: all\nMaintainer: x <x@example.invalid>\n"
        "Filename: ./plain_9_all.deb\nSize: 5\nSHA256: 00\nDescription: x\n\n"
    )
    lab.refresh()
    after = apt.observe(NOW)
    source = next(source for source in after.sources if source.url == f"file:{flat}")
    assert (source.problem, source.age_unknown.partition(":")[0]) == ("", "no release file")
    plain = next(offer for offer in after.offers if offer.name == "plain")
    assert plain.versions[0].origins == ("localhost",)


def test_facts_come_from_the_root(apt: ScriptedManager) -> None:
    observation = apt.observe(NOW)
    assert (observation.facts.os_id, observation.facts.os_version) == ("debian", "12")
    assert observation.facts.architecture == "amd64"
    assert observation.facts.kernel == os.uname().release
    assert observation.manager_version.startswith(("1.", "2.", "3."))
    assert observation.scripts[0][0] == "apt-update.sh"


def test_an_interrupted_dpkg_is_told_with_names(lab: AptLab, apt: ScriptedManager) -> None:
    assert apt.observe(NOW).health.interrupted == ()
    status = lab.admin / "status"
    text = status.read_text().replace(
        "Package: plain\nStatus: install ok installed", "Package: plain\nStatus: install ok half-configured"
    )
    status.write_text(text)
    (lab.admin / "updates/0001").write_text("")
    assert apt.observe(NOW).health.interrupted == (
        "plain (half-configured)",
        "dpkg's journal holds 1 unfinished update",
    )


HOLDER = """
import fcntl, sys
lock = open(sys.argv[1], "r+")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("file", ["var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock"])
def test_who_holds_the_lock_is_named_without_taking_it(lab: AptLab, apt: ScriptedManager, file: str) -> None:
    assert apt.observe(NOW).health.lock_holder == ""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lab.root / file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        name = Path(f"/proc/{holder.pid}/comm").read_text().strip()
        assert apt.observe(NOW).health.lock_holder == f"{name} (pid {holder.pid})"
        holder.stdin.close()
        holder.wait()
    with (lab.root / file).open("r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_reboot_mark_is_told_with_its_packages(lab: AptLab, apt: ScriptedManager) -> None:
    assert apt.observe(NOW).reboot.need is RebootNeed.NOT_REQUIRED
    (lab.root / "run/reboot-required").touch()
    (lab.root / "run/reboot-required.pkgs").write_text("libc6\ndbus\nlibc6\n")
    assert apt.observe(NOW).reboot.need is RebootNeed.REQUIRED
    assert apt.observe(NOW).reboot.reasons == ("dbus", "libc6")


def test_free_space_is_told_for_what_a_run_writes_to(lab: AptLab, apt: ScriptedManager) -> None:
    paths = [filesystem.path for filesystem in apt.observe(NOW).health.filesystems]
    assert paths == [f"{lab.root}{part}" for part in ("/var/cache/apt/archives", "", "/boot", "/var")]
    assert all(0 < filesystem.free <= filesystem.size for filesystem in apt.observe(NOW).health.filesystems)


def test_equal_machines_give_equal_records_but_for_time(lab: AptLab, apt: ScriptedManager) -> None:
    first, again = apt.observe(NOW), apt.observe(NOW)
    assert first.installed == again.installed
    assert first.offers == again.offers
    assert first.database == again.database
    lab.mark_auto("base")
    assert apt.observe(NOW).database != first.database


def test_every_shell_sees_the_same(
    lab: AptLab, script: PatchScript, shell: tuple[str, ...], apt: ScriptedManager
) -> None:
    other = ScriptedManager(APT, LocalTarget(lab.environment, shell), script, lab.cache)
    assert other.observe(NOW).offers == apt.observe(NOW).offers
    assert other.observe(NOW).installed == apt.observe(NOW).installed


def test_observing_leaves_the_root_as_it_was_byte_for_byte(lab: AptLab, apt: ScriptedManager) -> None:
    before = lab.digest()
    apt.observe(NOW)
    assert lab.digest() == before


def one_change_after_another(lab: AptLab) -> Iterator[str]:
    lab.hold_package("lima")
    yield "a hold"
    lab.mark_auto("base")
    yield "a mark"
    lab.prefer("Package: plain\nPin: release *\nPin-Priority: -1\n")
    yield "a pin"
    lab.publish(MAIN, Deb("plain", "1.2"))
    lab.refresh()
    yield "new lists"
    (lab.admin / "updates/0001").touch()
    yield "an interrupted run"
    (lab.admin / "updates/0001").unlink()
    (lab.root / "run/reboot-required").touch()
    yield "a reboot mark"
    lab.install(Deb("local", "1.1"))
    yield "another version"


def test_whatever_changes_an_observation_changes_one_of_its_inputs(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    before = own_lab.digest()
    paths = [Path(name) for name in own_apt.inputs()]
    assert own_lab.digest() == before

    def signature() -> list[tuple[int, int] | None]:
        states = [path.stat() if path.exists() else None for path in paths]
        return [state and (state.st_mtime_ns, state.st_ino) for state in states]

    seen = signature()
    for what in one_change_after_another(own_lab):
        assert signature() != seen, what
        seen = signature()


def test_an_ordinary_user_sees_the_same(lab: AptLab, script: PatchScript, apt: ScriptedManager) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh")
    observed = ScriptedManager(APT, LocalTarget(lab.environment, nobody), script).observe(NOW)
    expected = apt.observe(NOW)
    assert not observed.privileged
    assert expected.privileged
    assert observed.offers == expected.offers
    assert observed.installed == expected.installed
    assert observed.sources == expected.sources


def test_text_of_packages_cannot_pass_for_the_scripts_own(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    own_lab.publish(
        MAIN,
        Deb("plain", "1.2", fields={"Description": "x\v[resolve]\x1c= 0\x85exit 10\u2028exit 26"}, stanza={}),
    )
    own_lab.refresh()
    offers = {offer.name: offer for offer in own_apt.observe(NOW).offers}
    assert offers["hostile"].candidate == "1.1"
    assert [one.version for one in offers["plain"].versions] == ["1.2", "1.1"]


def test_a_hook_that_is_another_is_seen(lab: AptLab, apt: ScriptedManager) -> None:
    assert apt.observe(NOW).hooks == ""
    program = lab.folder / "hook"
    program.write_text("#!/bin/sh\nexit 1\n")
    lab.configure(f'DPkg::Pre-Invoke {{ "if [ -x {program} ]; then {program}; fi"; }};')
    before = apt.observe(NOW).hooks
    assert (before != "", apt.observe(NOW).hooks) == (True, before)
    assert str(program) in apt.inputs()
    program.write_text("#!/bin/sh\nexit 0\n")
    assert apt.observe(NOW).hooks != before


def test_this_machines_own_apt_is_observed(script: PatchScript, tmp_path: Path) -> None:
    observation = ScriptedManager(APT, LocalTarget({}), script, tmp_path).observe(NOW)
    counted = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}\\n"], capture_output=True, text=True, check=True
    )
    rows = [line for line in counted.stdout.splitlines() if line not in {"config-files", "not-installed"}]
    assert len(observation.installed) == len(rows)
    assert observation.facts.os_id != ""


def test_no_apt_at_all_is_said(script: PatchScript, tmp_path: Path) -> None:
    for tool in ("sh", "cat", "awk", "mktemp", "rm"):
        path = shutil.which(tool)
        assert path is not None
        (tmp_path / tool).symlink_to(path)
    target = LocalTarget({"PATH": str(tmp_path)}, (str(tmp_path / "sh"),))
    with pytest.raises(Stalled, match="there is no apt-get on this machine"):
        ScriptedManager(APT, target, script).observe(NOW)


@pytest.mark.parametrize("tool", ["apt-config", "apt-cache", "dpkg-query", "dpkg", "awk", "cat", "stat"])
@pytest.mark.parametrize("shell", [("dash",), ("busybox", "sh")], ids=["dash", "busybox"])
def test_a_tool_that_is_killed_is_no_empty_answer(
    tool: str, shell: tuple[str, ...], lab: AptLab, script: PatchScript, tmp_path: Path
) -> None:
    stub = tmp_path / tool
    stub.write_text("#!/bin/sh\nkill -9 $$\n")
    stub.chmod(0o755)
    target = LocalTarget({**lab.environment, "PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"}, shell)
    with pytest.raises(Stalled, match=f"{tool} ended with 137"):
        ScriptedManager(APT, target, script, lab.cache).observe(NOW)


def test_words_of_apt_s_about_its_own_configuration_are_told(lab: AptLab, apt: ScriptedManager) -> None:
    lab.configure("Dir::Etc { unfinished")
    with pytest.raises(Stalled, match=r"lab\.conf:\d+: "):
        apt.observe(NOW)


def test_unmet_dependencies_of_what_is_installed_are_told(lab: AptLab, apt: ScriptedManager) -> None:
    assert apt.observe(NOW).health.broken == ()
    lab.install(Deb("vendor", "1.0", fields={"Depends": "nobody-has (>= 2) | other, plain (>= 9)"}))
    for _ in range(2):
        assert apt.observe(NOW).health.broken == (
            "vendor: Depends: nobody-has (>= 2) or other",
            "vendor: Depends: plain (>= 9)",
        )
    lab.install(Deb("other", "1.0"), Deb("plain", "9.0"))
    assert apt.observe(NOW).health.broken == ()


def test_dependencies_are_asked_again_only_where_the_database_is_another(
    lab: AptLab, script: PatchScript, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    stub = tmp_path / "apt-get"
    stub.write_text(
        f'#!/bin/sh\ncase " $* " in *" check ") echo once >>{asked} ;; esac\nexec /usr/bin/apt-get "$@"\n'
    )
    stub.chmod(0o755)
    target = LocalTarget({**lab.environment, "PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"})
    apt = ScriptedManager(APT, target, script, lab.cache)
    for _ in range(3):
        apt.observe(NOW)
    assert asked.read_text() == "once\n"
    lab.install(Deb("one-more", "1.0"))
    for _ in range(2):
        apt.observe(NOW)
    assert asked.read_text() == "once\nonce\n"
