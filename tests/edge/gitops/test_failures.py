"""What git's texts mean, for those that no server of these tests can be made to say."""

import pytest

from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.gitops.failures import Suspect, explain
from reconciler.policy.remotes import Remote
from reconciler.process import Completed


def failed(text: str) -> Completed:
    return Completed(("git",), 128, b"", text.encode())


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        (
            "error: cannot lock ref 'refs/x': Unable to create '/q/refs/x.lock': Permission denied",
            Stalled,
            "the file system refuses",
        ),
        ("fatal: Unable to create '/q/packed-refs.lock': File exists.", Transient, "another process"),
        ("error: cannot lock ref 'refs/x': is at 1 but expected 2", Transient, "another process"),
        ("error: insufficient permission for adding an object", Stalled, "the file system refuses"),
        ("fatal: Unable to create '/q/x.lock': Read-only file system", Stalled, "the file system refuses"),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from", Stalled, "refused the ssh key"),
        ("ERROR: Permission to a/b.git denied to deploy key", Stalled, "forbids the access"),
        ("FATAL: W any reports host DENIED by fallthru", Stalled, "forbids the access"),
        ("ERROR: Repository not found.\nfatal: Could not read from", Stalled, "no such git repository"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 429", Transient, "busy"),
        ("fatal: unable to access 'https://h/': SSL certificate problem: expired", Stalled, "not trusted"),
        ("fatal: unable to access 'https://h/': Received HTTP code 407 from proxy", Stalled, "forbids"),
        ("ssh: connect to host h port 22: No route to host", Transient, "cannot be reached"),
        ("kex_exchange_identification: Connection closed by remote host", Transient, "connection broke"),
        ("fatal: error setting certificate verify locations: CAfile: /x", Misuse, "certificate file"),
        ("remote: No space left on device\nfatal: early EOF", Suspect, "early EOF"),
        ("", Suspect, "ended with code 128"),
    ],
)
def test_a_text_has_one_meaning(text: str, kind: type[ReconcilerError], reason: str) -> None:
    problem = explain(failed(text), "cannot fetch")
    assert type(problem) is kind
    assert reason in problem.message
    assert problem.hint or kind is Suspect


def test_a_password_is_masked_wherever_git_repeats_it() -> None:
    remote = Remote("https://h/p", "https", "u", "hunter2")
    problem = explain(
        failed("fatal: hunter2 at https://x:y@h/p\n\x1b[2Jmore"), "from https://u:hunter2@h", remote
    )
    assert problem.message == "from https://***@h: fatal: *** at https://***@h/p"
