"""A whole installation in a folder: policy and report repository, configuration, a machine to plan for."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from reconciler.planning.facts.observation import ClockState

# The labs' package lists are dated by the real clock, so a made-up present must lie behind it; and the window
# must not be open in the real present, since a test that uses it wants to wait.
_NOW = datetime.now(UTC)
_HOUR = (_NOW.hour + 12) % 24
OPENING = (_NOW + timedelta(days=1, hours=12)).replace(minute=0, second=0, microsecond=0)
"""When the nightly window opens that made-up clocks are about."""
BEFORE = OPENING - timedelta(hours=14)
"""An instant outside of every window."""
SCHEDULE = f"""\
kind: Schedule
name: nightly
timezone: UTC
windows:
  - {{start: "*-*-* {_HOUR:02}:00", duration: 3h}}
"""
POLICY = """\
kind: Policy
name: base
action: apply
schedule: [nightly]
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person would, apart from this machine's own configuration."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_AUTHOR_DATE": "2026-11-20T08:00:00Z",
        "GIT_COMMITTER_DATE": "2026-11-20T08:00:00Z",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@dataclass
class SetClock:
    """A clock that stands until a test moves it."""

    at: datetime = BEFORE

    def now(self) -> datetime:
        return self.at

    def state(self) -> ClockState:
        return ClockState.SYNCHRONISED

    def forward(self, span: timedelta) -> None:
        self.at += span


@dataclass(frozen=True)
class Site:
    """The folders of one installation; ``config`` is its configuration file."""

    folder: Path
    made: ClassVar[list["Site"]] = []
    """Those that the test at work has made: each report of them is made again when it is over."""
    foreign: ClassVar[set[str]] = set()
    """Reports that the test itself has written in the place of a host: these are not."""

    @classmethod
    def create(cls, folder: Path, **settings: object) -> "Site":
        """Make an installation whose policy plans everything and may apply it at night."""
        folder.mkdir(parents=True, exist_ok=True)
        site = cls(folder)
        git(folder, "init", "-q", "-b", "main", "policy")
        site.commit({"policies/base.yaml": POLICY, "schedules/nightly.yaml": SCHEDULE})
        git(folder, "init", "-q", "--bare", "-b", "main", "reports.git")
        site.configure(**settings)
        cls.made.append(site)
        return site

    def configure(self, **settings: object) -> None:
        """Write the configuration, with top-level ``settings`` beside or instead of the usual ones."""
        usual: dict[str, object] = {
            "host": "web-01",
            "labels": {"env": "test"},
            "policy": {"remote": str(self.policy)},
            "reports": {"remote": str(self.reports)},
            "state_dir": str(self.state),
            "hooks_dir": str(self.folder / "hooks"),
            "log_dir": str(self.logs),
        }
        lines = [f"{key}: {json.dumps(value)}" for key, value in {**usual, **settings}.items()]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.config.chmod(0o600)

    def commit(self, files: Mapping[str, str | None], message: str = "change") -> str:
        """Write (``None``: delete) files of the policy repository, commit, and return the commit."""
        for name, text in files.items():
            path = self.policy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text, encoding="utf-8")
        git(self.policy, "add", "-A")
        git(self.policy, "commit", "-q", "-m", message)
        return git(self.policy, "rev-parse", "HEAD")

    def hook(self, stage: str, name: str, text: str) -> Path:
        """Write one of the host's own hooks."""
        path = self.folder / "hooks" / f"{stage}.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def policy(self) -> Path:
        return self.folder / "policy"

    @property
    def reports(self) -> Path:
        return self.folder / "reports.git"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    def report(self, branch: str = "hosts/web-01") -> Any:
        """Return report.json of the newest report that was pushed."""
        return json.loads(git(self.reports, "show", f"{branch}:report.json"))

    def commits(self, branch: str = "hosts/web-01") -> list[str]:
        """Return the subjects of all reports that were pushed, newest first."""
        return git(self.reports, "log", "--format=%s", branch).splitlines()
