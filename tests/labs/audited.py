"""A host, its signed reports and a publisher, at made-up times: a story that an audit is asked about.

And the host as its own enemy: it writes what it reported anew, and signs that with its own key.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from reconciler.fleet.auditing import AuditAsked, FleetAudit, audit_fleet
from reconciler.fleet.reading import FleetSources, read_fleet
from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.revision import read_revision
from reconciler.managers.scripts import manifest
from reconciler.planning.audit.audit import CHECKS, Check
from reconciler.planning.audit.verdicts import TargetAudit
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.reporting.report import to_json
from reconciler.planning.text import canonical
from reconciler.policy.load import PolicyFile
from reconciler.reconcile.assess import decide_again
from tests.e2e.site import BEFORE, POLICY, Site
from tests.edge.gitops.bench import git
from tests.labs.apt import AptLab
from tests.labs.signing import Key, signed_commit, store

WANTED = """\
kind: Exception
name: wanted
packages: {names}
action: include
reason: of this test
expires: 2099-01-01
"""
BRANCH = "refs/heads/hosts/web-01"


@dataclass
class Reported:
    """A report commit, as it is to be written anew.

    Attributes:
        documents: Its JSON files, by path.
        message: Of the commit.
        key: Signs it; ``None`` where nobody does.
        before: The reports before it, as they are now.
        first_policy: The policy commit that the first report names.
        is_left_out: It is not written anew: what came after follows the one before.
        dated: When the commit is to have been made; as it was, where none is told.
        remakes: ``report.json`` is made of the recording, where that was changed.
    """

    documents: dict[str, Any]
    message: str
    key: Key | None
    before: tuple[str, ...] = ()
    first_policy: str = ""
    is_left_out: bool = False
    dated: datetime | None = None
    remakes: bool = True

    @property
    def report(self) -> Any:
        return self.documents["report.json"]

    @property
    def recording(self) -> Any:
        return self.documents["observation.json"]

    @property
    def run(self) -> Any:
        """The record of its newest run."""
        return self.documents[max(path for path in self.documents if path.startswith("runs/"))]


Edit = Callable[[Reported], None]


@dataclass
class Audited:
    """An installation whose reports are signed.

    Attributes:
        site: The installation.
        key: Signs its reports.
        publisher: Signs the branch ``fleet``.
    """

    site: Site
    key: Key
    publisher: Key
    settings: dict[str, object] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, lab: AptLab, key: Key, publisher: Key) -> "Audited":
        """Make one whose policy enrols it."""
        site = Site.create(folder, environment=lab.environment)
        world = cls(site, key, publisher)
        reports = {"remote": str(site.reports), "signing_key": key.settings["user.signingkey"]}
        site.configure(environment=lab.environment, reports=reports)
        site.commit({"hosts/web-01.yaml": world.document(), "trust/publishers": publisher.line()})
        return world

    def document(self) -> str:
        """Return the Host document."""
        return f'kind: Host\nname: web-01\nreport_key: "{self.key.public} web-01"\n'

    def copy(self, folder: Path) -> "Audited":
        """Return a copy of both repositories, for whoever writes them anew."""
        folder.mkdir()
        for name in ("policy", "reports.git"):
            shutil.copytree(self.site.folder / name, folder / name)
        return replace(self, site=Site(folder))

    def want(self, *names: str, policy: str = "") -> str:
        """Let the policy want updates of these packages alone."""
        exception = WANTED.format(names=json.dumps(names))
        base = {"policies/base.yaml": f"{POLICY}updates: none\n{policy}", "exceptions/wanted.yaml": exception}
        return self.site.commit(base)

    def commit_policy(self, at: datetime, name: str, text: str) -> str:
        """Change the policy at a made-up time."""
        path = self.site.policy / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        git(self.site.policy, "add", "-A")
        date = at.isoformat()
        git(self.site.policy, "commit", "-qm", "change", GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
        return git(self.site.policy, "rev-parse", "HEAD")

    def sources(self) -> FleetSources:
        """Return where the fleet is read from."""
        folder = self.site.folder / "console"
        folder.mkdir(exist_ok=True)
        mirror = PolicyMirror(folder / "policy.git", f"file://{self.site.policy}/.git", "main")
        remotes = (f"file://{self.site.reports}",)
        return FleetSources(folder / "fleet", mirror, None, remotes, GitAccess(), 60.0)

    def publish(self, at: datetime) -> None:
        """Have a publisher look at the fleet."""
        done = read_fleet(self.sources(), at, Path(self.publisher.settings["user.signingkey"]))
        assert not [one.message for one in done.problems]

    def fleet(self, until: datetime, checks: tuple[Check, ...] = CHECKS) -> FleetAudit:
        """Audit the whole story."""
        return audit_fleet(self.sources(), AuditAsked(BEFORE, until, (), manifest(), checks), until)

    def audit(self, until: datetime, checks: tuple[Check, ...] = CHECKS) -> TargetAudit:
        """Audit the only host."""
        (found,) = self.fleet(until, checks).targets
        return found

    def commits(self) -> list[str]:
        """Return all reports, the oldest first."""
        return git(self.site.reports, "rev-list", "--reverse", "--topo-order", BRANCH).splitlines()

    def rewrite(self, edits: dict[int, Edit]) -> None:
        """Write reports anew, from the first that is to be another one on.

        Args:
            edits: What becomes of each, by its number from 0 for the oldest.
        """
        reports = self.site.reports
        first = json.loads(git(reports, "show", f"{self.commits()[0]}:report.json"))["policy_commit"]
        runs: dict[str, Any] = {}
        listed, line, renamed = self.commits(), list[str](), dict[str, str]()
        for number, oid in enumerate(listed):
            if number < min(edits):
                line.append(oid)
                continue
            one = replace(self._reported(oid, renamed), before=tuple(line), first_policy=first)
            one.documents.update({path: held for path, held in runs.items() if path in one.documents})
            was = json.dumps(one.documents.get("observation.json"))
            if number in edits:
                edits[number](one)
            if one.remakes and json.dumps(one.recording) != was:
                one.documents["report.json"] = json.loads(self._made_again(one.recording))
            runs |= {path: held for path, held in one.documents.items() if path.startswith("runs/")}
            if not one.is_left_out:
                renamed[oid] = self._written(oid, one, line[-1] if line else "")
                line.append(renamed[oid])
        self.move(line[-1])

    def move(self, commit: str) -> None:
        """Have the branch be elsewhere."""
        git(self.site.reports, "update-ref", BRANCH, commit)

    def _reported(self, oid: str, renamed: dict[str, str]) -> Reported:
        reports = self.site.reports
        documents = {}
        for path in git(reports, "ls-tree", "-r", "--name-only", oid).splitlines():
            if path.endswith(".json"):
                text = git(reports, "show", f"{oid}:{path}")
                for old, new in renamed.items():
                    text = text.replace(old, new)
                documents[path] = json.loads(text)
        message = git(reports, "log", "-1", "--format=%B", oid)
        return Reported(documents, message, self.key)

    def _made_again(self, recording: Any) -> bytes:
        @lru_cache(maxsize=4)
        def at(commit: str) -> list[PolicyFile]:
            return read_revision(self.site.policy / ".git", commit)

        def read(commit: str, now: datetime) -> list[PolicyFile]:
            del now
            return at(commit)

        return to_json(decide_again(read_recording(canonical.to_bytes(recording)), read).report)

    def _written(self, oid: str, one: Reported, after: str) -> str:
        reports = self.site.reports
        made = {path: canonical.to_bytes(held) for path, held in one.documents.items()}
        top = {path: data for path, data in made.items() if "/" not in path}
        runs = {path.partition("/")[2]: data for path, data in made.items() if "/" in path}
        rows = [f"100644 blob {store(reports, b'blob', data)}\t{path}\n" for path, data in top.items()]
        if runs:
            below = "".join(
                f"100644 blob {store(reports, b'blob', data)}\t{path}\n" for path, data in runs.items()
            )
            rows.append(f"040000 tree {git(reports, 'mktree', stdin=below)}\truns\n")
        tree = git(reports, "mktree", stdin="".join(rows))
        who = git(reports, "log", "-1", "--format=%cn <%ce> %ct +0000", oid)
        if one.dated is not None:
            name = git(reports, "log", "-1", "--format=%cn <%ce>", oid)
            who = f"{name} {int(one.dated.timestamp())} +0000"
        parent = f"parent {after}\n" if after else ""
        commit = f"tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{one.message}\n".encode()
        signed = commit if one.key is None else signed_commit(commit, one.key)
        return store(reports, b"commit", signed)


def reasons(found: TargetAudit) -> dict[str, str]:
    """Return what speaks against anything of a target, by check: ``VERDICT: REASON``."""
    every = [*found.against, *(one for change in found.changes for one in change.against)]
    return {one.check: f"{one.verdict}: {one.reason}" for one in every}
