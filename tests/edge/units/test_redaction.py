"""No secret is shown or kept in clear: verbs are run with secrets in all places, and all outputs are read."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.edge.units.conftest import CONFIG, PASSWORD, Host, encrypt
from tests.labs.apt import Deb

VALUE = "open-sesame-4711"  # of the configured environment
USERINFO = "swordfish-0815"  # of a remote's address
TOKEN = "pat-AAAABBBBCCCC"  # in the file of git.credential
SECRETS = (PASSWORD, VALUE, USERINFO, TOKEN)
VERBS = (
    ("run",),
    ("run", "--format", "json"),
    ("run", "--now", "--reason", "a test"),
    ("plan",),
    ("plan", "--format", "json"),
    ("status",),
    ("status", "--format", "json"),
    ("explain", "--fresh"),
    ("windows",),
    ("doctor",),
    ("doctor", "--format", "json"),
    ("log",),
    ("log", "last"),
    ("notify", "test"),
    ("watch", "--check"),
    ("adjust", "--yes", "--dry-run"),
    ("policy", "show", "web-01", "/srv/policy"),
)
FAILING = (("run",), ("plan", "--format", "json"), ("status",), ("doctor",))
# Everything that a tick writes, but for what only holds it encrypted; git's objects are compressed.
PLACES = (
    "/var/lib/patchledger",
    "/var/log",
    "/run/patchledger",
    "/tmp",  # noqa: S108 - the machine's
    "/etc/systemd/system",
    "/run/systemd",
)


def configure(host: Host, **changed: object) -> None:
    config = json.loads(host.run("cat", str(CONFIG)))
    host.run("tee", str(CONFIG), stdin=json.dumps({**config, **changed}))


def said_by(host: Host, verbs: Sequence[tuple[str, ...]] = VERBS) -> str:
    return "".join(host.patchledger(*verb, check=False) for verb in verbs)


def kept(host: Host) -> str:
    """Return all that was written, with the names of the files."""
    dump = "git --git-dir={} log --all --patch --format=raw --text 2>/dev/null || true"
    repositories = ("/srv/reports.git", "/var/lib/patchledger/reports.git", "/var/lib/patchledger/policy.git")
    shown = [host.run("sh", "-c", dump.format(path)) for path in repositories]
    shown.append(host.run("journalctl", "--all", "--no-pager", "--output=export"))
    found = [f"--regexp={secret}" for secret in SECRETS]
    options = ("--recursive", "--text", "--only-matching", "--no-messages")
    shown.append(host.run("grep", *options, *found, *PLACES, check=False))
    return "\n".join(shown)


def shown_secrets(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture
def secretive(host: Host) -> Host:
    """A host with a secret in every place that has one."""
    host.run("sh", "-ec", f"umask 077; echo {TOKEN} >/etc/patchledger/token")
    configure(host, environment={"LAB_TOKEN": VALUE, "https_proxy": f"http://ada:{VALUE}@127.0.0.1:1"})
    git = json.loads(host.run("cat", str(CONFIG)))["git"]
    configure(host, git={**git, "credential": "/etc/patchledger/token"})
    return host


def test_no_verb_shows_a_secret_and_nothing_keeps_one(secretive: Host) -> None:
    host = secretive
    host.run("systemctl", "start", "patchledger.service", check=False)
    assert host.version("shop") == "1.1", host.journal("patchledger.service")
    said = said_by(host)
    assert "ops answers" in said, "the secret was in use"
    # Where things fail, more is said: nothing listens there, and the notifier refuses.
    encrypt(host, f"jsons://ops:{PASSWORD}@127.0.0.1:8098/{PASSWORD}")
    configure(host, policy={"remote": "https://127.0.0.1:1/policy.git"})
    host.publish(Deb("shop", "1.3", scripts={"postinst": "exit 3"}))
    host.run("apt-get", "-q", "update")
    host.run("systemctl", "start", "patchledger.service", check=False)
    said += said_by(host, FAILING)
    assert "PROBLEM" in said
    assert shown_secrets(said) == []
    assert shown_secrets(kept(host)) == []


def test_a_password_in_an_address_is_refused_without_being_shown(host: Host) -> None:
    configure(host, policy={"remote": f"https://ada:{USERINFO}@127.0.0.1:1/policy.git"})
    host.run("systemctl", "start", "patchledger.service", check=False)
    assert host.show("patchledger.service", "ExecMainStatus") == "2"
    said = said_by(host, FAILING)
    assert "holds a password" in said
    assert shown_secrets(said + kept(host)) == []


def test_the_encrypted_file_is_the_only_place(host: Host) -> None:
    found = host.run("grep", "-r", "-l", "-a", "--no-messages", PASSWORD, "/etc", check=False)
    assert found == "", f"in clear: {found}"
    assert Path("/etc/patchledger/credentials/ops.cred").name in host.run(
        "ls", "/etc/patchledger/credentials"
    )


def test_a_secret_that_is_kept_would_be_found(host: Host) -> None:
    """The search itself, last of all."""
    host.run("mkdir", "-p", "/var/lib/patchledger")
    host.run("tee", "/var/lib/patchledger/planted", stdin=f"x\0{TOKEN}\n")
    host.run("systemd-cat", "echo", VALUE)
    host.run("journalctl", "--sync")
    assert shown_secrets(kept(host)) == [VALUE, TOKEN]
