"""What ``--observe`` sees of a real root, and that it leaves no trace."""

import fcntl
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from reconciler.errors import Stalled
from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Installed, Question, RebootNeed
from reconciler.targets.local import LocalTarget
from tests.labs.dnf import IS_5, DnfLab
from tests.labs.rpm import Advisory, Rpm


def now() -> datetime:
    return datetime.now(UTC)


def test_installed_packages_with_every_kernel(dnf: ScriptedManager) -> None:
    seen = dnf.observe(now()).installed
    built = partial(Installed, source="lab-source", source_version="1-1")
    assert built("plain", "noarch", "1.0-1") in seen
    assert built("epoch", "noarch", "1:1.0-1") in seen
    assert built("native", "x86_64", "1.0-1") in seen
    assert [one.version for one in seen if one.name == "kernel-core"] == ["5.1-1", "5.2-1", "5.3-1"]
    assert len(seen) == 25


def test_what_installed_packages_miss_or_cannot_be_beside_is_told(lab: DnfLab, dnf: ScriptedManager) -> None:
    assert dnf.observe(now()).health.broken == ()
    lab.rpm("-e", "--nodeps", "base")
    lab.rpm("-U", "--nodeps", "--nosignature", str(lab.repository.file("remover", "2.0-1")))
    assert dnf.observe(now()).health.broken == (
        "base is needed by user-1.0-1.noarch",
        "victim conflicts with remover-2.0-1.noarch",
    )


def test_what_came_in_for_others_is_automatic(lab: DnfLab, dnf: ScriptedManager) -> None:
    lab.dnf("-y", "install", "newdep-1.1-1.noarch")
    automatic = [one.name for one in dnf.observe(now()).installed if one.automatic]
    assert automatic == ["newdep-lib"]


Lock = Callable[[DnfLab], None]


def lock_of_4(*entries: str) -> Lock:
    return lambda lab: lab.lock_version("\n".join(entries))


def lock_of_5(name: str, comparator: str, version: str) -> Lock:
    return lambda lab: lab.lock_version_of_5(name, comparator, version)


# Of several packages at once, since each look at a machine starts dnf nine times.
LOCKS_OF_4: tuple[tuple[Lock, list[str]], ...] = (
    (
        lock_of_4("lima-0:1.0-1.*", "# a comment", "native", "pair*", "!plain-0:1.1-1.*"),
        ["lima", "native", "pair", "pair-data", "plain"],
    ),
    (
        lock_of_4("lima-0:1.1-1.*", "native-1.1*", "plain-0:1.0-1.*", "plain-0:1.1-1.*", "!base-0:2*"),
        [],
    ),
)
LOCKS_OF_5: tuple[tuple[Lock, list[str]], ...] = (
    (lock_of_5("lima", "=", "1.0-1"), ["lima"]),
    (lock_of_5("lima", "<", "1.1-1"), ["lima"]),
    (lock_of_5("pair*", "=", "1.0-1"), ["pair", "pair-data"]),
    (lock_of_5("lima", "=", "1.1-1"), []),
    (lock_of_5("lima", "!=", "1.1-1"), ["lima"]),
    (lock_of_5("lima", ">", "1.0-1"), []),
    # What dnf 4 keeps, dnf 5 does not read.
    (lock_of_4("lima-0:1.0-1.*"), []),
)


@pytest.mark.parametrize(("lock", "held"), LOCKS_OF_5 if IS_5 else LOCKS_OF_4)
def test_what_the_operator_locks_is_held_where_no_newer_version_is_admitted(
    lab: DnfLab, dnf: ScriptedManager, lock: Lock, held: list[str]
) -> None:
    lock(lab)
    observation = dnf.observe(now())
    assert [one.name for one in observation.installed if one.held] == held
    # What is held is offered all the same.
    assert "lima" in {offer.name for offer in observation.offers}


@pytest.mark.parametrize(
    ("configuration", "held"),
    [
        ("exclude=lim*, plain", ["lima", "plain"]),
        ("excludepkgs=\n  lima\n  plain", ["lima", "plain"]),
        ("includepkgs=secure, lima*", None),
    ],
)
def test_what_the_operator_excludes_is_held(
    lab: DnfLab, dnf: ScriptedManager, configuration: str, held: list[str] | None
) -> None:
    lab.configure(configuration)
    observation = dnf.observe(now())
    found = [one.name for one in observation.installed if one.held]
    assert found == held if held is not None else not {"secure", "lima"} & {*found} and "plain" in found
    assert "lima" in {offer.name for offer in observation.offers}


@pytest.mark.parametrize(
    ("line", "held"),
    [
        ("excludepkgs=lima superseded-1.2*", ["lima"]),
        ("exclude=li*,plain-1.1*", ["lima", "plain"]),
        ("exclude = lima\n  epoch", ["epoch", "lima"]),
    ],
)
def test_what_a_repositorys_file_excludes_is_held_where_no_other_has_it(
    lab: DnfLab, dnf: ScriptedManager, line: str, held: list[str]
) -> None:
    lab.configure_repository(more=line)
    observation = dnf.observe(now())
    assert [one.name for one in observation.installed if one.held] == held
    lab.configure_repository("second", lab.repository.url)
    lab.refresh()
    observation = dnf.observe(now())
    assert not any(one.held for one in observation.installed)
    origins = {offer.name: offer.versions[0].origins for offer in observation.offers}
    assert (origins["lima"], origins["secure"]) == (("second",), ("lab", "second"))


def test_what_a_repositorys_file_does_not_include_is_held(lab: DnfLab, dnf: ScriptedManager) -> None:
    lab.configure_repository(more="includepkgs=plain lima")
    observation = dnf.observe(now())
    free = {offer.name for offer in observation.offers} - {
        one.name for one in observation.installed if one.held
    }
    assert free == {"plain", "lima"}


def exclude(lab: DnfLab) -> None:
    lab.configure("excludepkgs=superseded-1.2*")


ADMITTING: tuple[Lock, ...] = (
    (lock_of_5("superseded", "=", "1.1-1"), lock_of_5("superseded", "!=", "1.2-1"))
    if IS_5
    else (lock_of_4("superseded-0:1.1-1.*"), lock_of_4("!superseded-0:1.2-1.*"))
)


@pytest.mark.parametrize("admit", [exclude, *ADMITTING])
def test_a_version_that_the_operator_leaves_free_is_the_offer(
    lab: DnfLab, dnf: ScriptedManager, admit: Lock
) -> None:
    admit(lab)
    observation = dnf.observe(now())
    assert not any(one.held for one in observation.installed)
    superseded = next(offer for offer in observation.offers if offer.name == "superseded")
    assert [one.version for one in superseded.versions] == [superseded.candidate] == ["1.1-1"]
    answer = dnf.resolve(Question())
    assert [one.to_version for one in answer.changes if one.name == "superseded"] == ["1.1-1"]


@pytest.mark.parametrize(
    ("settings", "held"),
    [
        ("[main]\nenabled=0", []),
        ("[main]\nenabled = 1\nlocklist = /etc/my.list", [] if IS_5 else ["plain"]),
    ],
)
def test_locks_are_where_their_plugin_is_told_to_look(
    lab: DnfLab, dnf: ScriptedManager, settings: str, held: list[str]
) -> None:
    lab.lock_version("lima")
    (lab.root / "etc/dnf/plugins/versionlock.conf").write_text(settings + "\n")
    (lab.root / "etc/my.list").write_text("plain\n")
    assert [one.name for one in dnf.observe(now()).installed if one.held] == held


def test_offers_name_every_newer_version_with_what_advisories_say(lab: DnfLab, dnf: ScriptedManager) -> None:
    offers = {offer.name: offer for offer in dnf.observe(now()).offers}
    superseded = [(one.version, one.origins, one.security) for one in offers["superseded"].versions]
    assert superseded == [("1.2-1", ("lab",), False), ("1.1-1", ("lab",), True)]
    assert (offers["superseded"].candidate, offers["superseded"].advisories) == (
        "1.2-1",
        ("LAB-SA-2026:0002",),
    )
    assert offers["secure"].advisories == ("CVE-2026-0001", "CVE-2026-0002", "LAB-SA-2026:0001")
    assert offers["plain"].advisories == ("LAB-BA-2026:0003",)
    assert not offers["plain"].versions[0].security
    assert offers["plain"].versions[0].size == lab.repository.file("plain", "1.1-1").stat().st_size
    assert offers["kernel-core"].installed == "5.3-1"
    assert offers["epoch"].candidate == "1:1.0-2"
    assert {"local", "obsoleted", "victim"} & offers.keys() == set()


def test_what_a_plugin_prints_is_not_read(lab: DnfLab, dnf: ScriptedManager) -> None:
    lab.install(Rpm("plain", "1.1-1"))  # Twice, so that every question is asked.
    lab.configure("excludepkgs=lima")
    before = dnf.observe(now())
    lab.add_talkative_plugin()
    seen = dnf.observe(now())
    assert (seen.installed, seen.offers) == (before.installed, before.offers)
    assert (seen.health.interrupted, seen.manager_version) == (
        before.health.interrupted,
        before.manager_version,
    )
    assert [one.name for one in seen.sources] == ["lab"]


def test_what_a_plugin_prints_is_shown_among_the_complaints(lab: DnfLab, script: PatchScript) -> None:
    lab.add_talkative_plugin()
    words = ["sh", "-c", script.content.decode(), DNF.script, "--observe", "--root", str(lab.root)]
    said = subprocess.run(
        words, env={**os.environ, **lab.environment}, capture_output=True, text=True, check=True
    )
    upgrades = said.stdout.partition("[upgrades]\n")[2].partition("\n= 0\n")[0]
    # dnf 5 runs no plugins in Python.
    assert ("!plain\tnoarch\t9-9" in upgrades.splitlines()) is not IS_5
    advisories = said.stdout.partition("[advisories]\n")[2].partition("\n= 0\n")[0].splitlines()
    assert [line.split()[0] for line in advisories if "LAB" in line] == [
        "|LAB-BA-2026:0003",
        "|LAB-SA-2026:0001",
        "|LAB-SA-2026:0002",
    ]
    assert not any("Vendor" in line for line in advisories if line.startswith("|"))


def test_an_advisory_beyond_the_candidate_or_installed_already_is_not_told(
    own_lab: DnfLab, own_dnf: ScriptedManager
) -> None:
    own_lab.repository.advise(
        Advisory("LAB-SA-1", ("plain-1.0-1",)),
        Advisory("LAB-SA-2", ("base-1.1-1",)),
        Advisory("LAB-SA-3", ("base-9-1",)),
    )
    own_lab.refresh()
    offers = {offer.name: offer for offer in own_dnf.observe(now()).offers}
    assert offers["plain"].advisories == ()
    assert offers["base"].advisories == ("LAB-SA-2",)


RENAMED = (
    Rpm("newname", "2.0-1", fields={"Obsoletes": "oldname < 3", "Provides": "oldname = 2.0-1"}),
    Rpm("newname", "2.1-1", fields={"Obsoletes": "oldname < 3", "Provides": "oldname = 2.1-1"}),
    Rpm("beside", "1.0-1", fields={"Obsoletes": "oldname < 0.5"}),
)


@pytest.mark.parametrize(
    ("configuration", "versions"),
    [
        ("", [("2.1-1", False), ("2.0-1", True)]),
        ("excludepkgs=newname-2.1*", [("2.0-1", True)]),
        ("obsoletes=0", []),
    ],
)
def test_what_takes_the_place_of_an_installed_package_is_offered(
    own_lab: DnfLab, own_dnf: ScriptedManager, configuration: str, versions: list[tuple[str, bool]]
) -> None:
    own_lab.install(Rpm("oldname", "1.0-1"))
    own_lab.repository.publish(*RENAMED)
    own_lab.repository.advise(Advisory("LAB-SA-9", ("newname-2.0-1",)))
    own_lab.refresh()
    own_lab.configure(configuration)
    found = {offer.name: offer for offer in own_dnf.observe(now()).offers if offer.replaces}
    told = [(one.version, one.security) for offer in found.values() for one in offer.versions]
    assert (told, found.keys() - {"newname"}) == (versions, set())
    assert not any(offer.held for offer in found.values())


def test_what_takes_a_place_is_held_where_the_operator_excludes_all_of_it(
    own_lab: DnfLab, own_dnf: ScriptedManager
) -> None:
    own_lab.install(Rpm("oldname", "1.0-1"))
    own_lab.repository.publish(*RENAMED)
    own_lab.refresh()
    own_lab.configure("excludepkgs=newname")
    (offer,) = (offer for offer in own_dnf.observe(now()).offers if offer.replaces)
    assert (offer.name, offer.candidate, offer.held) == ("newname", "2.1-1", True)


def test_a_source_tells_its_age(dnf: ScriptedManager) -> None:
    (source,) = dnf.observe(now()).sources
    assert source.name == "lab"
    assert source.url.startswith("file:///")
    assert source.published is not None
    assert source.fetched is not None
    assert now() - timedelta(hours=1) < source.published <= source.fetched < now() + timedelta(hours=1)
    assert source.problem == ""


def test_a_source_without_advisories_serves_no_security_updates(
    own_lab: DnfLab, own_dnf: ScriptedManager
) -> None:
    assert [one.security for one in own_dnf.observe(now()).sources] == [None]
    own_lab.repository.advise_nothing()
    own_lab.refresh()
    assert [one.security for one in own_dnf.observe(now()).sources] == [False]


def test_a_source_from_the_future_or_never_read_has_a_problem(lab: DnfLab, dnf: ScriptedManager) -> None:
    lab.configure_repository("dead", "http://user:hunter2@127.0.0.1:9/x")
    problems = {one.name: one.problem for one in dnf.observe(now() - timedelta(days=400)).sources}
    assert problems["dead"] == "its metadata have never been read"
    assert problems["lab"].startswith("its metadata are dated in the future")


def test_facts_come_from_the_root(dnf: ScriptedManager) -> None:
    observation = dnf.observe(now())
    assert (observation.facts.os_id, observation.facts.os_version) == ("lab", "9.4")
    assert observation.facts.architecture == os.uname().machine
    assert observation.manager_version.startswith("5." if IS_5 else "4.")
    assert observation.privileged
    assert [name for name, _ in observation.scripts] == ["common.sh", "dnf-update.sh"]


def test_another_root_needs_no_reboot_for_a_kernel(dnf: ScriptedManager) -> None:
    assert dnf.observe(now()).reboot.need is RebootNeed.NOT_REQUIRED


def test_packages_that_are_there_twice_are_told(lab: DnfLab, dnf: ScriptedManager) -> None:
    assert dnf.observe(now()).health.interrupted == ()
    lab.install(Rpm("plain", "1.1-1"))
    assert dnf.observe(now()).health.interrupted == ("plain:noarch is installed in versions 1.0-1 and 1.1-1",)


def test_who_holds_the_database_is_told(lab: DnfLab, dnf: ScriptedManager) -> None:
    assert dnf.observe(now()).health.lock_holder == ""
    with (lab.database / ".rpm.lock").open("r+b") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        assert f"(pid {os.getpid()})" in dnf.observe(now()).health.lock_holder


def test_a_lock_file_of_a_living_dnf_is_told_and_a_dead_ones_not(lab: DnfLab, dnf: ScriptedManager) -> None:
    lock = lab.root / "var/lib/dnf/rpmdb_lock.pid"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("4194305")  # beyond the kernel's largest pid
    assert dnf.observe(now()).health.lock_holder == ""
    lock.write_text(str(os.getpid()))
    assert f"(pid {os.getpid()})" in dnf.observe(now()).health.lock_holder


def test_the_digest_changes_with_packages_and_marks(lab: DnfLab, dnf: ScriptedManager) -> None:
    before = dnf.observe(now()).database
    assert dnf.observe(now()).database == before
    lab.want("plain")
    marked = dnf.observe(now()).database
    lab.dnf("-y", "upgrade", "plain")
    assert len({before, marked, dnf.observe(now()).database}) == 3


def test_nothing_in_the_root_changes(lab: DnfLab, script: PatchScript, shell: tuple[str, ...]) -> None:
    dnf = ScriptedManager(DNF, LocalTarget(lab.environment, shell), script, root=lab.root)
    before = lab.digest()
    dnf.observe(now())
    dnf.inputs()
    assert lab.digest() == before


def test_inputs_change_with_packages_metadata_and_configuration(lab: DnfLab, dnf: ScriptedManager) -> None:
    inputs = dnf.inputs()
    assert f"{lab.database}/rpmdb.sqlite" in inputs
    assert f"{lab.root}/etc/yum.repos.d" in inputs
    assert any(path.endswith("repodata/repomd.xml") for path in inputs)
    assert not any(path.endswith("-shm") for path in inputs)


def test_an_empty_database_is_no_machine(lab: DnfLab, dnf: ScriptedManager) -> None:
    for file in lab.database.iterdir():
        file.unlink()
    with pytest.raises(Stalled, match="rpm knows no installed package"):
        dnf.observe(now())


def test_a_cache_folder_named_by_variables_is_refused(lab: DnfLab, dnf: ScriptedManager) -> None:
    lab.configure(f"{'system_cachedir' if IS_5 else 'cachedir'}=/var/cache/yum/$basearch")
    with pytest.raises(Stalled, match="holds variables"):
        dnf.observe(now())
