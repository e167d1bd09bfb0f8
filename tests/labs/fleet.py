"""A fleet in git: a signed policy, a report repository, and hosts that report without being there.

Its commits are made without a process, so that a test may have many.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.fleet.reading import FleetRead, FleetSources, read_fleet
from reconciler.fleet.verified_policy import SignedPolicy
from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.signed_history import SignedHistory, SigningRules
from reconciler.planning.facts.observation import ClockState
from reconciler.planning.fleet.rows import Row
from reconciler.planning.reporting.document import Report
from reconciler.planning.text import canonical
from reconciler.planning.text.untrusted import commit_message
from tests.edge.gitops.bench import git
from tests.labs.signing import Key, Keys, SignedRepository, signed_commit, store
from tests.report_samples import report_of

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
Entry = tuple[str, str]
"""Mode and id of what is in a tree."""


@dataclass
class FleetWorld:
    """A policy, its hosts, and where they report.

    Attributes:
        folder: Everything is below it.
        keys: Makes keys.
        now: The instant of the next reading.
        host_keys: By host.
    """

    folder: Path
    keys: Keys
    now: datetime = NOW
    host_keys: dict[str, Key] = field(default_factory=dict)
    state: str = "state"

    @classmethod
    def create(cls, folder: Path, keys: Keys, ada: Key, *hosts: str) -> "FleetWorld":
        """Make one whose policy ada signs and enrols these hosts, and whose publisher is ``pub``."""
        world = cls(folder, keys)
        (folder / "signers").write_text(ada.line(), encoding="utf-8")
        SignedRepository.create(world.policy.path)
        git(folder, "init", "--quiet", "--bare", "reports.git")
        files = {
            "patchledger.yaml": "repository: example\n",
            "trust/publishers": world.publisher.line(),
        }
        world.enrol(ada, *hosts, files=files)
        return world

    @property
    def policy(self) -> SignedRepository:
        """The policy repository."""
        return SignedRepository(self.folder / "policy")

    @property
    def reports(self) -> Path:
        """The report repository."""
        return self.folder / "reports.git"

    @property
    def publisher(self) -> Key:
        """The key of who publishes."""
        return self._key("pub")

    def _key(self, name: str) -> Key:
        file = self.keys.folder / f"{name}-ed25519"
        known = self.host_keys.get(name)
        self.host_keys[name] = known or (self.keys.existing(name) if file.exists() else self.keys.ssh(name))
        return self.host_keys[name]

    def key(self, host: str) -> Key:
        """Return the key of a host."""
        return self._key(host)

    def enrol(self, ada: Key, *hosts: str, files: Mapping[str, str] | None = None) -> str:
        """Commit a document for each host, and other files."""
        made = {f"hosts/{host}.yaml": self.document(host, self.key(host)) for host in hosts}
        return self.policy.commit({**made, **(files or {})}, ada)

    def document(self, host: str, key: Key | None) -> str:
        """Return the Host document of a host, with this key."""
        named = "" if key is None else f'report_key: "{key.public} {host}"\n'
        return f"kind: Host\nname: {host}\n{named}"

    def tip(self, host: str) -> str:
        """Return the newest report of a host, empty without one."""
        return git(self.reports, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch_of(host)}")

    def report(
        self,
        host: str,
        report: Report | None = None,
        *,
        key: Key | None = None,
        files: Mapping[str, bytes | Entry] | None = None,
        parent: str | None = None,
        policy: str | None = None,
        at: datetime | None = None,
        is_signed: bool = True,
        trailer: str = "",
        tree: str = "",
    ) -> str:
        """Have a host report, and return the commit."""
        hypervisor, _, target = host.rpartition("/")
        told = report or report_of(target=target, now=at or self.now)
        if report is None and hypervisor:
            told = replace(told, host=replace(told.host, guest_of=hypervisor))
        held: dict[str, bytes | Entry] = {"report.json": canonical.to_bytes(canonical.plain(told))}
        held |= {"report.md": b"# a report\n"} if files is None else files
        tree = tree or self.tree({name: one for name, one in held.items() if one != b""})
        trailers = {
            "Host": trailer or host,
            "Policy-Commit": self.policy.head() if policy is None else policy,
        }
        message = commit_message(f"{target}: a report", trailers)
        after = self.tip(host) if parent is None else parent
        who = f"{target} <{target}@{target}> {int((at or self.now).timestamp())} +0000"
        parents = f"parent {after}\n" if after else ""
        commit = f"tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}".encode()
        commit = signed_commit(commit, key or self.key(host.partition("/")[0])) if is_signed else commit
        oid = store(self.reports, b"commit", commit)
        git(self.reports, "update-ref", f"refs/heads/{branch_of(host)}", oid)
        return oid

    def tree(self, files: Mapping[str, bytes | Entry]) -> str:
        """Store a tree, and what is below it, and return its id."""
        here: dict[str, Entry] = {}
        below: dict[str, dict[str, bytes | Entry]] = {}
        for path, one in files.items():
            top, slash, rest = path.partition("/")
            if slash:
                below.setdefault(top, {})[rest] = one
            elif isinstance(one, bytes):
                here[top] = ("100644", store(self.reports, b"blob", one))
            else:
                here[top] = one
        here |= {name: ("40000", self.tree(held)) for name, held in below.items()}
        # Git sorts a folder as if its name ended in a slash.
        rows = sorted(here.items(), key=lambda row: row[0] + ("/" if row[1][0] == "40000" else ""))
        return self.raw_tree(*((mode, name, oid) for name, (mode, oid) in rows))

    def raw_tree(self, *rows: tuple[str, str, str]) -> str:
        """Store a tree of these modes, names and ids, just as they are, and return its id."""
        told = (f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid) for mode, name, oid in rows)
        return store(self.reports, b"tree", b"".join(told))

    def sources(self, *remotes: str, **values: Any) -> FleetSources:
        """Return where the fleet is read from."""
        folder = self.folder / self.state
        folder.mkdir(exist_ok=True)
        mirror = PolicyMirror(folder / "policy.git", f"file://{self.policy.path}/.git", "main")
        history = SignedHistory(mirror, SigningRules(self.folder / "signers"))
        usual = FleetSources(
            folder / "fleet",
            mirror,
            SignedPolicy(history, "example", lambda: ClockState.SYNCHRONISED),
            remotes or (f"file://{self.reports}",),
            GitAccess(),
            60.0,
        )
        return replace(usual, **values)

    def read(self, *, publish: bool = True, **values: Any) -> FleetRead:
        """Read the fleet, and publish it."""
        key = Path(self.publisher.settings["user.signingkey"]) if publish else None
        return read_fleet(self.sources(**values), self.now, key)

    def rows(self, **values: Any) -> dict[str, Row]:
        """Read and publish the fleet, and return its rows by target; nothing may be wrong with it."""
        found = self.read(**values)
        assert not [problem.message for problem in found.problems]
        return {row.target: row for row in found.fleet.rows}

    def later(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)

    def published(self, branch: str = "fleet") -> dict[str, str]:
        """Return the trees and files of a branch of the fleet, by path: of targets their folder alone."""
        found = {}
        listed = git(self.reports, "ls-tree", "-r", "-t", f"refs/heads/{branch}")
        for line in listed.splitlines():
            details, _, path = line.partition("\t")
            if path.count("/") in (0, 2) and not path.startswith("runs"):
                found[path] = details.split()[2]
        return found

    def targets(self) -> dict[str, str]:
        """Return the tree of each target on the branch ``fleet``."""
        return {path[9:]: oid for path, oid in self.published().items() if path.startswith("hosts/")}

    def tree_of(self, commit: str) -> str:
        """Return the tree of a commit."""
        return git(self.reports, "rev-parse", f"{commit}^{{tree}}")


def branch_of(host: str) -> str:
    """Return the branch of a target."""
    return f"guests/{host}" if "/" in host else f"hosts/{host}"
