"""The commands of a how-to are run, one after the other, as its reader runs them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from reconciler.gitops.revision import read_folder
from reconciler.host.machine.clock import SystemClock
from reconciler.policy.load import Revision, load
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import resolve
from tests.labs.fleet import FleetWorld
from tests.labs.pages import Command, to_follow
from tests.labs.signing import Key, Keys

ROOT = Path(__file__).parents[2]


def typed(commands: Iterable[Command]) -> list[str]:
    """Return what is typed."""
    return [one.text for one in commands]


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

    done = followed(typed(to_follow("begin-with-a-few-hosts.md")), tmp_path)

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
    done = followed(typed(to_follow("come-from-ansible.md")), tmp_path)
    assert done.returncode == 0, done.stderr
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert shown in done.stdout
    assert "no problem in 7 documents" in done.stderr
    assert "security" in done.stdout.rpartition("updates")[2]


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
    own = {"/etc/patchledger/publisher": f"{tmp_path}/publisher", "/tmp/fleet": f"{tmp_path}/said"}  # noqa: S108
    commands = typed(to_follow("read-a-fleet.md"))
    for shown, real in own.items():
        assert any(shown in one for one in commands)
        commands = [one.replace(shown, real) for one in commands]

    done = followed(commands, tmp_path, {"GIT_CONFIG_COUNT": str(len(settings) // 2), **settings})

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
    blocks = typed(to_follow("answer-an-auditor.md"))
    done = followed(blocks, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("web-01: proved, 2 reports up to ") == len(["all", "the host", "the package"])
    assert (tmp_path / "audit.md").read_text().startswith("# Audit: proved\n")
    assert (tmp_path / "audit.csv").read_text().startswith("target,verdict,")
