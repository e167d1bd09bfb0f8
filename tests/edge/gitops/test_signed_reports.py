"""By which key a report was signed: real keys, real commits, and everything that proves nothing."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.gitops.git import Git
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.gitops.signed_commits import Bench, read_commit
from reconciler.gitops.signed_reports import own_public_key, signatures_of
from reconciler.gitops.ssh_signatures import check_ssh, read_signature
from reconciler.planning.text.untrusted import commit_message
from reconciler.policy.signers import Signer, fingerprint_of_line
from reconciler.reconcile.ports.policies import Unproved
from reconciler.reconcile.ports.reports import Commit, SignedReport, UnprovedReport
from tests.edge.gitops.bench import NOW, git
from tests.labs.signing import Key, Keys

WEB = "hosts/web-01"
POLICY = "0123456789abcdef0123456789abcdef01234567"
Commits = Callable[..., str]


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    return tmp_path / "reports.git"


@pytest.fixture
def report(queue: Path) -> Commits:
    """Return a function that commits a report of a host, signed by a key or not at all."""

    def commit(key: Key | None, target: str = "web-01", branch: str = WEB, **more: str) -> str:
        signing = "" if key is None else key.settings["user.signingkey"]
        sink = ReportQueue(queue, None, Identity("web-01", signing))
        trailers = {"Host": target, "Policy-Commit": POLICY, **more}
        files = {"report.json": b"%d" % len(list(queue.glob("objects/??/*")))}
        made = sink.commit(branch, files, commit_message("a report", trailers), NOW, keep_runs=5)
        assert isinstance(made, Commit)
        return made.oid

    return commit


def answers(queue: Path, *commits: str, branch: str = WEB) -> list[SignedReport | UnprovedReport]:
    return list(signatures_of(Git(queue), branch, commits))


def why(queue: Path, commit: str, branch: str = WEB) -> Unproved | None:
    (found,) = answers(queue, commit, branch=branch)
    return found.why if isinstance(found, UnprovedReport) else None


def test_a_report_names_the_key_that_signed_it_and_the_policy_it_followed(
    queue: Path, report: Commits, ada: Key, eve: Key
) -> None:
    commits = [report(key) for key in (ada, eve, ada)]
    keys = [ada.fingerprint, eve.fingerprint, ada.fingerprint]
    assert answers(queue, *commits) == [
        SignedReport(oid, key, POLICY) for oid, key in zip(commits, keys, strict=True)
    ]


def test_what_carries_no_signature_proves_nothing(queue: Path, report: Commits) -> None:
    assert why(queue, report(None)) is Unproved.UNSIGNED


def test_a_report_of_one_target_proves_nothing_on_the_branch_of_another(
    queue: Path, report: Commits, ada: Key
) -> None:
    commit = report(ada)
    assert why(queue, commit, branch="hosts/web-02") is Unproved.OTHER_BRANCH
    assert why(queue, commit, branch="guests/web-01/web-02") is Unproved.OTHER_BRANCH
    assert why(queue, commit, branch="guests/web-01/web-01") is Unproved.OTHER_BRANCH, "a guest of that name"
    of_guest = report(ada, "web-01/web-01", "guests/web-01/web-01")
    assert why(queue, of_guest, branch="guests/web-01/web-01") is None
    assert why(queue, of_guest) is Unproved.OTHER_BRANCH


def remade(queue: Path, commit: str, change: Callable[[str], str]) -> str:
    """Return a commit whose bytes were changed after it was signed."""
    text = subprocess.run(
        ["git", "-C", str(queue), "cat-file", "commit", commit], capture_output=True, text=True, check=True
    ).stdout
    assert change(text) != text
    return git(queue, "hash-object", "-t", "commit", "-w", "--stdin", stdin=change(text))


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (("a report", "another report"), Unproved.BAD_SIGNATURE),
        ((POLICY, POLICY[::-1]), Unproved.BAD_SIGNATURE),
        (("Host: web-01", "Host: web-01\nHost: web-01"), Unproved.OTHER_BRANCH),
    ],
)
def test_a_report_that_was_altered_proves_nothing(
    queue: Path, report: Commits, ada: Key, change: tuple[str, str], wrong: Unproved
) -> None:
    commit = remade(queue, report(ada), lambda text: text.replace(*change))
    assert why(queue, commit) is wrong


def test_a_signature_that_stands_on_another_report_proves_nothing(
    queue: Path, report: Commits, ada: Key
) -> None:
    report(ada)
    second = report(ada)
    tree = git(queue, "rev-parse", f"{second}^{{tree}}")
    older = git(queue, "rev-parse", f"{second}^^{{tree}}")
    assert why(queue, remade(queue, second, lambda text: text.replace(tree, older))) is Unproved.BAD_SIGNATURE


def test_no_certificate_stands_for_a_key(queue: Path, report: Commits, keys: Keys, ada: Key) -> None:
    certified = keys.certified("web@example.org", ada, "web-01")
    assert why(queue, report(certified)) is Unproved.UNKNOWN_KEY


def test_a_key_that_is_too_short_proves_nothing(queue: Path, report: Commits, keys: Keys) -> None:
    weak = keys.ssh("weak@example.org", "rsa", "-b", "1024")
    assert why(queue, report(weak)) is Unproved.BAD_SIGNATURE


def test_without_the_program_nothing_is_proved(queue: Path, report: Commits, ada: Key) -> None:
    commit = report(ada)
    (found,) = signatures_of(Git(queue), WEB, [commit], {"PATH": "/nonexistent"})
    assert isinstance(found, UnprovedReport)
    assert found.why is Unproved.CANNOT_VERIFY


@pytest.mark.parametrize("does", ["sleep 60", "kill -9 $$"])
def test_a_program_that_stands_still_is_not_waited_for_at_each_signature(
    tmp_path: Path, queue: Path, report: Commits, ada: Key, does: str
) -> None:
    """Of ten thousand hosts nobody could wait for all; one that is killed may do better with the next."""
    calls, instead = tmp_path / "calls", tmp_path / "bin" / "ssh-keygen"
    instead.parent.mkdir()
    commit = report(ada)
    instead.write_text(f"#!/bin/sh\necho >>{calls}\n{does}\n")
    instead.chmod(0o755)
    data = git(queue, "cat-file", "commit", commit).encode() + b"\n"
    signed = read_commit(commit, data)
    signature = read_signature(signed.signature)
    assert signature is not None
    signer = Signer("report", signature.type, signature.key, ada.fingerprint)
    bench = Bench(tmp_path, {"PATH": f"{instead.parent}:{os.environ['PATH']}"}, patience=0.5)
    for _ in range(5):
        found = check_ssh(signature, signed.payload, signer, NOW, bench)
        assert found is Unproved.CANNOT_VERIFY
    assert len(calls.read_text()) == (3 if does.startswith("sleep") else 5)


def test_without_room_for_files_a_queue_says_so(
    queue: Path, report: Commits, ada: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = report(ada)
    tracking = f"refs/remotes/reports/{WEB}"
    git(queue, "update-ref", tracking, report(ada))
    git(queue, "update-ref", f"refs/heads/{WEB}", ours)
    sink = ReportQueue(queue, None, Identity("web-01", ada.settings["user.signingkey"]))
    monkeypatch.setattr(tempfile, "tempdir", str(queue / "nowhere"))
    for ask in (lambda: sink.standing(WEB, timeout=20, ask=False), lambda: sink.proven(WEB)):
        with pytest.raises(Stalled, match="signatures of reports cannot be verified"):
            ask()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_public_half_of_a_private_key_is_read_without_opening_it(keys: Keys, kind: str) -> None:
    key = keys.ssh(f"own-{kind}@example.org", kind)
    private = Path(key.settings["user.signingkey"])
    public = own_public_key(private)
    assert public == key.public
    assert fingerprint_of_line(public) == key.fingerprint
    private.with_name(f"{private.name}.pub").unlink()
    assert own_public_key(private) == key.public


def test_of_a_key_in_another_form_the_file_beside_it_tells(keys: Keys) -> None:
    key = keys.ssh("pem@example.org", "rsa", "-m", "PEM")
    private = Path(key.settings["user.signingkey"])
    assert own_public_key(private) == key.public
    private.with_name(f"{private.name}.pub").unlink()
    assert own_public_key(private) == ""


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n????\n-----END OPENSSH PRIVATE KEY-----\n",
        b"ssh-ed25519 AAAA\n",
    ],
)
def test_a_damaged_key_has_no_public_half(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "key").write_bytes(damage)
    assert own_public_key(tmp_path / "key") == ""
