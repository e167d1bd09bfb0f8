"""The commands of a how-to are run, one after the other, as its reader runs them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.revision import read_folder, read_revision
from reconciler.gitops.signed_history import SignedHistory, SigningRules
from reconciler.gitops.signed_reports import own_public_key
from reconciler.host.machine.clock import SystemClock
from reconciler.policy.load import Revision, load
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import resolve
from reconciler.policy.signers import fingerprint_of_line
from reconciler.reconcile.ports.policies import Fetched
from tests.labs.fleet import FleetWorld
from tests.labs.signing import Key, Keys
from tests.policy.updaters import DEBIAN, DNF4, PERIODIC

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Return the blocks of shell commands of a page that need nothing but this machine."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    return [block for block in BLOCK.findall(text) if "patchledger " in block]


def plant(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def followed(
    blocks: Iterable[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    own: Path = Path(sys.executable).parent,
) -> subprocess.CompletedProcess[str]:
    """Run blocks of shell commands in a folder, with our own program first; the first failure ends them."""
    return subprocess.run(
        ["sh", "-eu"],
        input="\n".join(blocks),
        cwd=folder,
        env={**os.environ, **(variables or {}), "PATH": f"{own}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_coming_from_other_updaters(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "web-01/apt.conf.d/20auto-upgrades": PERIODIC,
            "web-01/apt.conf.d/50unattended-upgrades": DEBIAN,
            "web-01/os-release": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
            "alma-01/automatic.conf": DNF4,
        },
    )
    blocks = commands("come-from-unattended-upgrades.md")
    assert len(blocks) == 3

    done = followed(blocks, tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no problem in 2 documents") == 1
    page = (ROOT / "docs" / "how-to" / "come-from-unattended-upgrades.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown in done.stdout
    assert "06:" in done.stdout.partition("on_failure")[2]


def test_a_few_hosts_begin_two_days_before_the_others(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "begin-with-a-few-hosts.md").read_text(encoding="utf-8")
    documents = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [path for path, _ in documents] == [
        "hosts/all.yaml",
        "schedules/turns.yaml",
        "policies/turns.yaml",
        "freezes/stop.yaml",
    ]
    plant(tmp_path, {path: text for path, text in documents if path != "freezes/stop.yaml"})

    done = followed(commands("begin-with-a-few-hosts.md"), tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stderr == "no problem in 7 documents\n"
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "START",
        "Tue",
        "Tue",
        "START",
        "Thu",
        "Thu",
    ]
    plant(tmp_path, dict(documents))
    stopped = load(read_folder(tmp_path))
    assert isinstance(stopped, Revision)
    frozen = {name: resolve(stopped, HostFacts(name, {}, "", "", "")).frozen for name in ("web-01", "web-02")}
    assert {name: [one.name for one in found] for name, found in frozen.items()} == {
        "web-01": [],
        "web-02": ["stop-second-turn"],
    }


def test_coming_from_ansible(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / "come-from-ansible.md").read_text(encoding="utf-8")
    (inventory,) = re.findall(r"^```ini\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    plant(tmp_path, {"inventory.ini": inventory})
    done = followed(commands("come-from-ansible.md"), tmp_path)
    assert done.returncode == 0, done.stderr
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert shown in done.stdout
    assert "no problem in 7 documents" in done.stderr
    assert "security" in done.stdout.rpartition("updates")[2]


def test_a_policy_that_is_signed_by_the_page_is_one_that_a_host_obeys(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    plant(tmp_path, {"policy/policies/base.yaml": "kind: Policy\nname: base\n"})
    subprocess.run([*git, "init", "-q", "-b", "main"], cwd=tmp_path / "policy", check=True)
    text = (ROOT / "docs" / "how-to" / "sign-the-policy.md").read_text(encoding="utf-8")
    who = {
        f"GIT_{role}_{part}": "ada@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }
    done = followed(BLOCK.findall(text), tmp_path, who)
    assert done.returncode == 0, done.stderr
    mirror = PolicyMirror(tmp_path / "mirror.git", str(tmp_path / "policy"))
    now = datetime.now(UTC)
    fetched = mirror.fetch(timeout=60, now=now)
    assert isinstance(fetched, Fetched)
    rules = SigningRules(tmp_path / "policy/trust/allowed_signers")
    signed = SignedHistory(mirror, rules).verify([fetched.head], now)
    assert isinstance(signed, tuple)
    assert [one.signer for one in signed] == ["ada@example.org"]
    (named,) = re.findall(r"^  repository: (.*)$", text, re.MULTILINE)
    revision = load(read_revision(mirror.mirror, fetched.head), fetched.head)
    assert isinstance(revision, Revision)
    assert revision.repository == named


SETUP = """\
host: web-01
policy: {{remote: "{folder}/policy"}}
reports: {{remote: "{folder}/reports.git"}}
state_dir: {folder}/state
log_dir: {folder}/log
hooks_dir: {folder}/etc/hooks
manager: apt
"""


def test_a_host_that_is_enrolled_by_the_page_signs_reports_by_the_key_that_the_policy_names(
    tmp_path: Path,
) -> None:
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    who = {
        f"GIT_{role}_{part}": "ada@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }
    own = tmp_path / "bin" / "patchledger"
    # On the reader's host it is the running system that is set up; here, a folder.
    wrapper = (
        f'#!/bin/sh\ncase $1 in setup) set -- --config {tmp_path}/etc/config.yaml "$@" '
        f'--unit-dir {tmp_path}/units --program {own};; esac\nexec {sys.executable} -m reconciler "$@"\n'
    )
    plant(tmp_path, {"bin/patchledger": wrapper, "setup.yaml": SETUP.format(folder=tmp_path)})
    plant(tmp_path, {"policy/policies/base.yaml": "kind: Policy\nname: base\n"})
    own.chmod(0o755)
    for command in (
        [*git, "-C", "policy", "init", "-q", "-b", "main"],
        [*git, "-C", "policy", "add", "-A"],
        [*git, "-C", "policy", "commit", "-q", "-m", "first"],
        [*git, "init", "-q", "--bare", "reports.git"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)
    variables = {**who, "PYTHONPATH": str(ROOT)}
    done = followed(commands("enrol-a-host.md"), tmp_path, variables, own.parent)
    assert done.returncode == 0, done.stderr
    assert "this host is enrolled by hosts/web-01.yaml:1@" in done.stderr
    revision = load(read_folder(tmp_path / "policy"), "")
    assert isinstance(revision, Revision)
    (key,) = (one.value.report_key for one in revision.hosts if one.value.name == "web-01")
    assert key is not None
    assert fingerprint_of_line(key) == fingerprint_of_line(own_public_key(tmp_path / "etc" / "report_key"))


def test_reading_a_fleet(tmp_path: Path, keys: Keys, ada: Key) -> None:
    world = FleetWorld.create(tmp_path, keys, ada, "web-01", "web-02")
    world.report("web-01", at=SystemClock().now())
    page = (ROOT / "docs" / "how-to" / "read-a-fleet.md").read_text(encoding="utf-8")
    (console,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for shown, real in {
        "ssh://git@git.example/policy.git": f"file://{world.policy.path}/.git",
        "ssh://git@git.example/reports.git": f"file://{world.reports}",
        "/etc/patchledger/allowed_signers": f"{tmp_path}/signers",
        "/var/lib/patchledger-console": f"{tmp_path}/console",
    }.items():
        assert shown in console
        console = console.replace(shown, real)
    (tmp_path / "console.yaml").write_text(console, encoding="utf-8")
    settings = {
        f"GIT_CONFIG_{kind}_{number}": text
        for number, pair in enumerate(
            {
                **ada.settings,
                "commit.gpgsign": "true",
                "user.name": "Ada",
                "user.email": "ada@example.org",
            }.items()
        )
        for kind, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    blocks = BLOCK.findall(page)
    assert len(blocks) == 4

    done = followed(blocks, tmp_path, {"GIT_CONFIG_COUNT": str(len(settings) // 2), **settings})

    assert done.returncode == 0, done.stderr
    assert "2 targets: 1 silent, 1 fine" in done.stdout
    assert "web-01: fine" in done.stdout
    assert "does not list" not in done.stderr
    assert (tmp_path / "fleet.csv").read_text().count("\n") == 2
    assert (tmp_path / "fleet.prom").read_text().endswith("# EOF\n")


def test_answering_an_auditor(tmp_path: Path, keys: Keys, ada: Key) -> None:
    world = FleetWorld.create(tmp_path, keys, ada, "web-01")
    first = world.report("web-01")
    # Up to the end of the period, or to the present where that is not over.
    world.report("web-01", tree=world.tree_of(first), at=datetime(2027, 1, 31, tzinfo=UTC))
    told = {
        "host": "console-01",
        "policy": {"remote": f"file://{world.policy.path}/.git"},
        "reports": {"remote": f"file://{world.reports}"},
        "trust": {"mode": "signed", "allowed_signers": f"{tmp_path}/signers", "repository": "example"},
        "state_dir": f"{tmp_path}/console",
    }
    (tmp_path / "console.yaml").write_text(json.dumps(told), encoding="utf-8")
    blocks = commands("answer-an-auditor.md")
    assert len(blocks) == 3
    done = followed(blocks, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("web-01: proved, 2 reports up to ") == len(["all", "the host", "the package"])
    assert (tmp_path / "audit.md").read_text().startswith("# Audit: proved\n")
    assert (tmp_path / "audit.csv").read_text().startswith("target,verdict,")
