"""A generated fleet in git: a policy that enrols it, and a report of each of its hosts, signed.

Each host has a key of its own, which always is the same, and signs without a process.
"""

import base64
import hashlib
import json
import os
import struct
import subprocess
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.labs.signing import ssh_signature

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}
_COMMIT = 1
_PACKAGES = 15
"""Pending updates of each host: its report has some 10 KB."""


@dataclass(frozen=True, slots=True)
class Repositories:
    """The two repositories of a generated fleet, and who reads them.

    Attributes:
        folder: Everything is below it.
    """

    folder: Path

    @property
    def reports(self) -> Path:
        """The report repository."""
        return self.folder / "reports.git"

    @property
    def policy(self) -> Path:
        """The policy repository."""
        return self.folder / "policy.git"

    def configuration(self) -> Path:
        """Write the configuration of who reads it, and return its path."""
        told = {
            "host": "console-01",
            "policy": {"remote": f"file://{self.policy}"},
            "reports": {"remote": f"file://{self.reports}"},
            "state_dir": f"{self.folder}/state",
            "log_dir": f"{self.folder}/log",
        }
        path = self.folder / "console.yaml"
        path.write_text(json.dumps(told), encoding="utf-8")
        return path


@dataclass(frozen=True, slots=True)
class Fleet(Repositories):
    """A generated fleet.

    Attributes:
        hosts: Their ids.
    """

    hosts: tuple[str, ...]

    @classmethod
    def create(cls, folder: Path, count: int, others: int) -> "Fleet":
        """Make a fleet.

        Args:
            folder: An empty one.
            count: How many hosts.
            others: How many of them have other packages than the first.
        """
        fleet = cls(folder, tuple(f"host-{number:05}" for number in range(count)))
        ran("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pub", "-f", str(folder / "publisher"))
        fleet._make_policy()
        git(folder, "init", "-q", "--bare", "reports.git")
        fleet.report(fleet.hosts, others)
        git(fleet.reports, "pack-refs", "--all")
        return fleet

    def report(self, hosts: Sequence[str], others: int = 0, note: str = "") -> None:
        """Have hosts report: a few processes for all of them.

        Args:
            hosts: Which.
            others: How many of them, from the first on, have packages of their own.
            note: Makes this report another one than before.
        """
        stream = b"".join(_blobs(hosts, others, note))
        git(self.reports, "fast-import", "--quiet", "--done", stdin=stream)
        listed = git(self.reports, "for-each-ref", "--format=%(refname:lstrip=2) %(tree)", "refs/scratch/")
        trees = dict(line.split() for line in listed.decode().splitlines())
        parents = self._tips(hosts)
        policy = git(self.policy, "rev-parse", "main").decode().strip()
        self._commit({host: _commit(host, trees[host], parents.get(host, ""), policy) for host in hosts})
        scratch = "".join(f"delete refs/scratch/{host}\n" for host in hosts)
        git(self.reports, "update-ref", "--stdin", stdin=scratch.encode())

    def beat(self, hosts: Sequence[str]) -> None:
        """Have hosts say that nothing is new: a commit of the same files, with what a heartbeat tells."""
        policy = git(self.policy, "rev-parse", "main").decode().strip()
        listed = git(
            self.reports, "for-each-ref", "--format=%(refname:lstrip=3) %(tree)", "refs/heads/hosts/"
        )
        trees = dict(line.split() for line in listed.decode().splitlines())
        inventory = f"Inventory: sha256:{hashlib.sha256(policy.encode()).hexdigest()}\n"
        told = f"{inventory}Program: patchledger 0.1.0\n"
        parents = self._tips(hosts)
        self._commit({host: _commit(host, trees[host], parents[host], policy, told) for host in hosts})

    def _commit(self, commits: Mapping[str, bytes]) -> None:
        signed = {host: _signed(commit, host) for host, commit in commits.items()}
        git(self.reports, "index-pack", "--stdin", stdin=_pack([*signed.values()]))
        moves = "".join(f"update refs/heads/hosts/{host} {_oid(one)}\n" for host, one in signed.items())
        git(self.reports, "update-ref", "--stdin", stdin=moves.encode())

    def packed(self) -> int:
        """Pack the report repository as its server does it weekly, and return the bytes that it has then."""
        git(self.reports, "repack", "-q", "-adf")
        return sum(path.stat().st_size for path in (self.reports / "objects/pack").iterdir())

    def _tips(self, hosts: Iterable[str]) -> Mapping[str, str]:
        listed = git(
            self.reports, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/heads/hosts/"
        )
        tips = dict(line.split() for line in listed.decode().splitlines())
        return {host: tips[host] for host in hosts if host in tips}

    def _make_policy(self) -> None:
        git(self.folder, "init", "-q", "--bare", "-b", "main", "policy.git")
        publisher = (self.folder / "publisher.pub").read_text(encoding="utf-8")
        files = {
            f"hosts/{host}.yaml": f'kind: Host\nname: {host}\nreport_key: "{public_line(host)}"\n'
            for host in self.hosts
        }
        files["trust/publishers"] = f"publisher {publisher}"
        lines = [_began("refs/heads/main", "enrol all")]
        lines += [_file(path, text.encode()) for path, text in files.items()]
        git(self.policy, "fast-import", "--quiet", "--done", stdin=b"".join([*lines, b"done\n"]))


def _key(host: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(host.encode()).digest())


def _public(host: str) -> bytes:
    """Return the public key as SSH has it (RFC 8709)."""
    parts = (b"ssh-ed25519", _key(host).public_key().public_bytes_raw())
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def public_line(host: str) -> str:
    """Return the line of a host's public key."""
    return f"ssh-ed25519 {base64.b64encode(_public(host)).decode()} {host}"


def signed_by(host: str, payload: bytes) -> bytes:
    """Return the armoured signature of a host."""
    return ssh_signature(payload, _key(host), _public(host))


def _signed(commit: bytes, host: str) -> bytes:
    head, _, message = commit.partition(b"\n\n")
    signature = signed_by(host, commit).replace(b"\n", b"\n ")
    return head + b"\ngpgsig " + signature + b"\n\n" + message


def _blobs(hosts: Sequence[str], others: int, note: str) -> Iterator[bytes]:
    """Yield what ``git fast-import`` makes a tree of for each host, on a ref of its own."""
    for number, host in enumerate(hosts):
        yield _began(f"refs/scratch/{host}", "scratch")
        yield _file("report.json", report(host, number if number < others else -1, note))
        yield _file("report.md", f"# {host}\n".encode())
        yield _file("observation.json", f'{{"target": "{host}"}}\n'.encode())
    yield b"done\n"


def _began(ref: str, message: str) -> bytes:
    who = "Ada <ada@example.org> 1795000000 +0000"
    return f"commit {ref}\ncommitter {who}\ndata {len(message)}\n{message}\ndeleteall\n".encode()


def _file(path: str, data: bytes) -> bytes:
    return b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)


def _commit(host: str, tree: str, parent: str, policy: str, more: str = "") -> bytes:
    who = f"{host} <{host}@{host}> {int(datetime.now(UTC).timestamp())} +0000"
    parents = f"parent {parent}\n" if parent else ""
    message = f"{host}: a report\n\nHost: {host}\nPolicy-Commit: {policy}\n{more}"
    return f"tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}".encode()


def _oid(commit: bytes) -> str:
    return hashlib.sha1(b"commit %d\0%s" % (len(commit), commit), usedforsecurity=False).hexdigest()


def _pack(commits: Sequence[bytes]) -> bytes:
    """Return commits as a pack (gitformat-pack(5)): each whole, none as a difference."""
    parts = [struct.pack(">4sII", b"PACK", 2, len(commits))]
    for commit in commits:
        size = len(commit)
        head = [(_COMMIT << 4) | (size & 15)]
        size >>= 4
        while size:
            head[-1] |= 128
            head.append(size & 127)
            size >>= 7
        parts += [bytes(head), zlib.compress(commit, 1)]
    whole = b"".join(parts)
    return whole + hashlib.sha1(whole, usedforsecurity=False).digest()


def report(host: str, number: int, note: str) -> bytes:
    """Return the ``report.json`` of a host, such as a host with some updates writes it.

    Args:
        host: Its id.
        number: Makes its packages its own; all hosts with the same number have the same ones.
        note: Stands in its decision.
    """
    updates = [
        {
            "name": f"package-{one}" if number < 0 else f"package-{number}-{one}",
            "arch": "amd64",
            "installed": "1.0-1",
            "candidate": "1.0-2",
            "origin": "Debian:12.8/bookworm",
            "security": one % 5 == 0,
            "disposition": "planned",
            "reasons": [{"code": "wanted", "message": "the policy wants it", "origin": "policies/a.yaml:4"}],
            "advisories": [],
            "size": 1048576,
            "installed_delta": 0,
            "replaces": [],
        }
        for one in range(_PACKAGES)
    ]
    told = json.loads(Path(__file__).with_name("report.json").read_bytes())
    told["target"] = host
    told["plan"]["updates"] = updates
    told["decision"]["reason"] = f"outside the windows of nightly{note}"
    told["counts"] |= {"updates": _PACKAGES, "pending": _PACKAGES}
    return (json.dumps(told, sort_keys=True, indent=1) + "\n").encode()


def git(where: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Return what git prints in a folder, by nobody's configuration."""
    return ran("git", "-C", str(where), "-c", "safe.directory=*", *arguments, stdin=stdin)


def ran(*argv: str, stdin: bytes = b"") -> bytes:
    """Return what a program prints.

    Raises:
        RuntimeError: It fails.
    """
    done = subprocess.run(argv, env=_ENVIRONMENT, input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} {argv[-1]}: {done.stderr.decode(errors='replace')}")
    return done.stdout
