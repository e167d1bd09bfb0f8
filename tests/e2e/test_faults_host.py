"""Hosts that are full, half installed, or unknown to us: nothing is changed, and the reason is told."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.managers.scripted import options
from reconciler.planning.facts.observation import Change
from reconciler.planning.runs.execution import Instruction
from tests.e2e.machines import INSIDE, Arch, Debian, Plant, code_of
from tests.e2e.site import BEFORE, POLICY, Site
from tests.labs.apt import AptLab

Command = Callable[..., tuple[int, str, str]]
LATER = INSIDE + timedelta(minutes=15)
APT = pytest.mark.parametrize("plant", ["apt"], indirect=True)


# --- space --------------------------------------------------------------------------------------------------


def small(folder: Path, size: str) -> str:
    """Return the command that makes a folder a small file system of its own, with what it held."""
    return (
        f"mkdir -p {folder} && cp -a {folder} {folder}.kept && mount -t tmpfs -o size={size} none {folder} &&"
        f" cp -a {folder}.kept/. {folder}/ && rm -rf {folder}.kept"
    )


@APT
def test_without_space_for_the_archives_the_gate_is_closed_with_the_figures(plant: Plant) -> None:
    assert isinstance(plant.machine, Debian)
    plant.want("plain")
    plant.machine.lab.download_copies()
    code, _ = plant.tick_where(small(plant.machine.root / "var/cache/apt/archives", "300k"))
    decision = plant.report()["decision"]
    assert (code, decision["outcome"]) == (0, "no-space")
    assert "free and" in decision["reason"]
    assert plant.runs() == []
    assert plant.version("plain") == "1.0"
    assert [one.outcome for one in plant.tick(LATER).runs] == ["applied"]


@pytest.mark.parametrize("plant", ["apt", "dnf", "zypper", "pacman"], indirect=True)
def test_without_space_to_unpack_it_is_tried_again_when_there_is_some(plant: Plant) -> None:
    """On a file system that nobody looks at beforehand."""
    plant.offer("big", size=400_000)
    plant.want("big", "plain")
    if isinstance(plant.machine, Arch):
        plant.machine.lab.configure("CheckSpace")  # as Arch delivers it
    code, messages = plant.tick_where(small(plant.machine.root / "opt", "100k"))
    assert code == 5, messages
    (record,) = plant.runs()
    assert (record["outcome"], record["code"]) == ("failed", "no-space")
    assert plant.version("big") == "1.0"
    # Space is no fault of the package: nothing is left in quarantine that could come now.
    done = plant.tick(LATER)
    assert plant.version("big") == "1.1", plant.report()["decision"]
    assert plant.version("plain") == "1.1"
    assert code_of(done) == 0


FULL_STATE = """
mount -t tmpfs -o size=64m tmpfs "$1/disk"
cp -a "$1/state/." "$1/disk/"
mount --bind "$1/disk" "$1/state"
cat /dev/zero >"$1/disk/filler" 2>/dev/null || true
truncate -s "-$2" "$1/disk/filler"
"""


@APT
@pytest.mark.parametrize("room", ["0", "200K", "1M"])
def test_a_full_state_folder_means_that_nothing_is_changed_without_a_journal(plant: Plant, room: str) -> None:
    plant.want("plain")
    assert code_of(plant.tick(BEFORE)) == 0
    site = plant.site.folder
    (site / "disk").mkdir()
    fill = FULL_STATE.replace("$1", str(site)).replace("$2", room)
    after = f'"$@" && code=$? || code=$?; cp -a "{site}/state/." "{site}/after"; exit $code; :'
    (site / "after").mkdir()
    code, messages = plant.tick_where(f"{fill}\n{after}")
    shutil.rmtree(plant.site.state)
    (site / "after").rename(plant.site.state)
    (plant.site.state / "filler").unlink()
    if plant.version("plain") == "1.0":
        assert code in {1, 5}
        assert "space" in messages
        # `status` says so too: for these few bytes there is room on a disk that has none.
        ended = json.loads((plant.site.state / "tick.json").read_bytes())
        assert (ended["complete"], ended["exit_code"]) == (False, code)
        assert "no space" in ended["problems"][0]["message"].lower()
    else:
        # It went on: then what it did is written down, or reported already.
        assert plant.runs() or (plant.site.state / "journal.json").exists()
    plant.tick(LATER)
    assert plant.version("plain") == "1.1"
    assert [run["outcome"] for run in plant.runs()] in (["applied"], ["interrupted"])


# --- scripts and tools --------------------------------------------------------------------------------------


def installed_copy(folder: Path) -> Path:
    """Install a copy of the program, to be spoiled."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("reconciler", "scripts", "schemas"):
        shutil.copytree(name, folder / name, ignore=ignored)
    return folder


def run_copy(copy: Path, site: Site) -> tuple[int, str]:
    paths = [str(copy), *(path for path in sys.path if path.endswith("-packages"))]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "reconciler", "--config", str(site.config), "run"],
        capture_output=True,
        text=True,
        check=False,
        cwd=copy,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(paths)},
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("damage", ["missing", "changed", "common", "unlisted"])
def test_a_patch_script_that_is_not_what_was_shipped_is_never_run(
    site: Site, lab: AptLab, tmp_path: Path, damage: str
) -> None:
    copy = installed_copy(tmp_path / "copy")
    scripts = copy / "scripts/patch"
    name = "common.sh" if damage == "common" else "apt-update.sh"
    if damage == "missing":
        (scripts / name).unlink()
    elif damage == "unlisted":
        (scripts / "SHA256SUMS").write_text("")
    else:
        text = (scripts / name).read_bytes()
        (scripts / name).write_bytes(text[:-2] + bytes([text[-2] ^ 1]) + text[-1:])
    before = lab.digest()
    code, said = run_copy(copy, site)
    assert code == 1
    assert name in said
    assert "hint: install patchledger again" in said
    assert lab.digest() == before
    shutil.rmtree(scripts)
    shutil.copytree("scripts/patch", scripts)
    assert run_copy(copy, site)[0] == 0
    expected = hashlib.sha256(Path("scripts/patch/apt-update.sh").read_bytes()).hexdigest()
    assert {"name": "apt-update.sh", "sha256": expected} in site.report()["scripts"]


def impostor(folder: Path, tool: str, when: str, prints: str) -> str:
    """Put a tool into the PATH, and return that: it lies where its arguments hold ``when``."""
    folder.mkdir()
    path = folder / tool
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *"{when}"*) printf "{prints}"; exit 0 ;; esac\n'
        f'exec {shutil.which(tool)} "$@"\n'
    )
    path.chmod(0o755)
    return f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.parametrize("garbage", ["two words\\n", "\\001\\377\\t\\t\\n", "[machine]\\nexit 0\\n"])
def test_output_that_does_not_parse_ends_the_run_and_nothing_is_guessed(
    site: Site, lab: AptLab, tmp_path: Path, garbage: str, patchledger: Command
) -> None:
    assert patchledger("run")[0] == 0
    reported = site.commits()
    path = impostor(tmp_path / "bin", "dpkg-query", "-W", garbage)
    site.configure(environment={**lab.environment, "PATH": path})
    before = lab.digest()
    code, out, err = patchledger("run")
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert "section [installed] of the patch script's output does not parse" in err
    # All that was printed is kept for whoever has to find out.
    kept = site.state / "unparsed.txt"
    assert f"hint: all that was printed is in {kept}" in err
    first, _, _ = garbage.partition("\\")
    assert f"\n[installed]\n|{first}".encode() in kept.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0
    # What was last seen stands in git; nothing was made up in its place.
    assert site.commits() == reported
    assert lab.digest() == before
    site.configure(environment=lab.environment)
    assert patchledger("run")[0] == 0


@APT
def test_output_that_does_not_parse_while_applying_is_told_and_the_log_is_kept(
    plant: Plant, tmp_path: Path
) -> None:
    plant.want("plain")
    assert code_of(plant.tick(BEFORE)) == 0
    # Only while something is being installed, apt-get says what nobody expects, and does nothing.
    path = impostor(tmp_path / "bin", "apt-get", " -y ", "Inst nonsense\\n")
    plant.site.configure(environment={**plant.machine.environment, "PATH": path})
    done = plant.tick()
    assert code_of(done) == 1
    (record,) = plant.runs()
    assert record["outcome"] == "failed"
    assert record["difference"]["changed"] == []
    assert "Inst nonsense" in plant.log(record["run"])
    assert plant.version("plain") == "1.0"
    # The very same plan is not tried again before something changes.
    assert plant.tick(LATER).runs == ()
    assert plant.report()["decision"]["outcome"] == "already-failed"


# --- package managers ---------------------------------------------------------------------------------------


def test_a_package_manager_that_nobody_knows_is_a_mistake_of_the_configuration(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    site.configure(environment=lab.environment, manager="emerge")
    code, _, err = patchledger("run")
    assert code == 2
    assert "manager" in err
    assert "hint: " in err


def test_a_package_manager_that_is_not_on_the_machine(
    site: Site, lab: AptLab, tmp_path: Path, patchledger: Command
) -> None:
    tools = only(tmp_path / "bin", "git", "prlimit")
    site.configure(environment={**lab.environment, "PATH": tools}, manager="zypper")
    code, _, err = patchledger("run")
    assert code == 1
    assert "there is no " in err
    assert "is zypper not the manager of this target?" in err


def only(folder: Path, *names: str) -> str:
    """Return a PATH with a shell's own tools and those named."""
    folder.mkdir()
    shell = ("sh", "cat", "mktemp", "rm", "awk", "sed", "uname", "grep", "stat", "id", "tr", "head")
    for name in (*shell, *names):
        (folder / name).symlink_to(shutil.which(name) or "")
    return str(folder)


def test_two_package_managers_are_never_chosen_between(
    site: Site, lab: AptLab, tmp_path: Path, patchledger: Command
) -> None:
    other = tmp_path / "other"
    (other / "etc").mkdir(parents=True)
    (other / "etc/os-release").write_text("ID=unheard-of\n")
    site.configure(environment=lab.environment, root=str(other))
    code, _, err = patchledger("run")
    assert code == 1
    assert "this machine has apt and " in err
    assert "`manager: NAME`" in err
    # The distribution's own decides where it is known.
    site.configure(environment=lab.environment)
    assert patchledger("run")[0] == 0
    assert site.report()["host"]["manager"] == "apt"


# --- policy that means nothing here -------------------------------------------------------------------------


@pytest.mark.parametrize("versions", ["<<1", "!= 1", "newest", "<"])
def test_a_version_range_that_is_none_refuses_the_whole_revision(
    site: Site, patchledger: Command, versions: str
) -> None:
    patchledger("run")
    accepted = site.report()["policy_commit"]
    text = (
        "kind: Exception\nname: odd\naction: hold\nreason: of this test\nexpires: 2099-01-01\n"
        f"packages:\n  - {{name: plain, versions: {json.dumps(versions)}}}\n"
    )
    site.commit({"exceptions/odd.yaml": text})
    code, _, err = patchledger("run")
    assert code == 3
    assert "exceptions/odd.yaml" in err
    report = site.report()
    assert (report["policy_commit"], report["decision"]["outcome"]) == (accepted, "policy-stalled")
    site.commit({"exceptions/odd.yaml": None})
    assert patchledger("run")[0] == 0


def test_an_exception_that_matches_nothing_is_told_and_keeps_nothing_back(
    site: Site, patchledger: Command
) -> None:
    text = (
        "kind: Exception\nname: typo\npackages: openssll\naction: hold\n"
        "reason: of this test\nexpires: 2099-01-01\n"
    )
    site.commit({"exceptions/typo.yaml": text})
    code, _, _ = patchledger("run")
    assert code == 0
    told = [one for one in site.report()["conditions"] if "typo" in one["message"]]
    assert told, site.report()["conditions"]
    assert "plain" in {move["name"] for move in site.report()["plan"]["transaction"]}


# --- size ---------------------------------------------------------------------------------------------------

# Together their names are longer than one argument of a process may be.
MANY = 2200
NUMBERED = "package-of-thousands-which-have-names-as-long-as-this-one-"


@pytest.fixture
def crowd(plant: Plant) -> Plant:
    """A machine with thousands of updates, of which only the names exist."""
    machine = plant.machine
    assert isinstance(machine, Debian)
    stanza = (
        "Package: {name}{number:04}\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: Lab <lab@example.invalid>\nInstalled-Size: 1\nDescription: one of many\n{more}\n"
    )
    status = "Status: install ok installed\n"
    with (machine.lab.admin / "status").open("a") as file:
        for number in range(MANY):
            file.write(stanza.format(name=NUMBERED, number=number, version="1.0", more=status))
            info = machine.lab.admin / f"info/{NUMBERED}{number:04}.list"
            info.touch()
    with machine.index.open("a") as file:
        for number in range(MANY):
            there = f"Filename: pool/none_{number}.deb\nSize: 1000\nSHA256: {number:064x}\n"
            file.write(stanza.format(name=NUMBERED, number=number, version="1.1", more=there))
    machine.republish()
    return plant


@APT
def test_thousands_of_updates_are_planned_and_fail_cleanly_without_archives(crowd: Plant) -> None:
    policy = f"{POLICY}updates: all\nsteps: single\n"
    crowd.site.commit({"policies/base.yaml": policy})
    done = crowd.tick()
    assert code_of(done) == 5
    lacking, rest = done.runs
    names = [move.name for step in lacking.steps for move in step.changes]
    assert sum(name.startswith(NUMBERED) for name in names) == MANY
    assert (lacking.outcome, lacking.code) == ("failed", "not-fetched")
    assert lacking.difference.changed == ()
    assert len(lacking.reason) < 4096
    assert len(crowd.condition("PackagesQuarantined")["message"]) < 4096
    # All that can be had is applied.
    assert rest.outcome == "applied"
    assert crowd.version("plain") == "1.1"


def test_no_argument_of_a_process_is_longer_than_the_kernel_lets_it_be() -> None:
    names = tuple(f"a-package-with-quite-a-long-name-{number}" for number in range(5000))
    changes = tuple(Change("upgrade", name, "amd64", "1.0", "1.1") for name in names)
    given = options(Instruction(changes, exclude=names, block=names, automatic=names))
    assert max(map(len, given)) < 128 * 1024
    assert sum(len(one) + 1 for one in given) < 2 * 1024 * 1024 - 128 * 1024
