"""What git may see, do and ask when patchledger runs it."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Misuse
from reconciler.gitops.git import Git, GitAccess, shell_quote, ssh_command
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.policy.remotes import Remote, one_line, parse_remote, redact_url
from reconciler.reconcile.ports.policies import Fetched
from tests.edge.gitops.bench import NOW, Repository, git


@pytest.mark.parametrize(
    ("address", "remote"),
    [
        ("https://git.example.org/p.git", Remote("https://git.example.org/p.git", "https")),
        ("https://git.example.org:8443/p.git", Remote("https://git.example.org:8443/p.git", "https")),
        ("https://[::1]:8443/p.git", Remote("https://[::1]:8443/p.git", "https")),
        ("https://[::1]/p.git", Remote("https://[::1]/p.git", "https")),
        ("HTTPS://u:p%40s@h/p", Remote("https://h/p", "https", "u", "p@s")),
        ("https://token@h/p", Remote("https://h/p", "https", "token", "")),
        ("http://h/p", Remote("http://h/p", "http")),
        ("ssh://git@h:2222/p.git", Remote("ssh://git@h:2222/p.git", "ssh")),
        ("git@h:team/p.git", Remote("git@h:team/p.git", "ssh")),
        ("h:p.git", Remote("h:p.git", "ssh")),
        ("file:///srv/p.git", Remote("file:///srv/p.git", "file")),
        ("/srv/p.git", Remote("/srv/p.git", "file")),
    ],
)
def test_addresses_that_are_remotes(address: str, remote: Remote) -> None:
    assert parse_remote(address) == remote


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ext::sh -c touch% /tmp/x", "'ext::' is not allowed, since it can run commands"),
        ("fd::17", "'fd::' is not allowed"),
        ("git://h/p.git", "git:// is not an allowed transport"),
        ("ftp://u:secret@h/p", "ftp:// is not an allowed transport"),
        ("git+ssh://h/p", "is not an allowed transport"),
        ("policy.git", "is a relative path"),
        ("../policy.git", "is a relative path"),
        ("file://policy.git", "needs an absolute path"),
        ("", "is not an address"),
        (" /srv/p.git", "is not an address"),
        ("--upload-pack=touch /tmp/x", "is not an address"),
        ("https://h/p\nhttps://h/q", "is not an address"),
        ("ssh://-oProxyCommand=x/p", "no usable host name"),
        ("https://u:sec/ret@h/p", "no usable host name"),
        ("ssh://u:secret@h/p", "holds a password"),
        ("u:secret@h:p.git", "holds a password"),
    ],
)
def test_addresses_that_are_refused(address: str, says: str) -> None:
    with pytest.raises(Misuse, match=re.escape(says)) as caught:
        parse_remote(address)
    assert caught.value.hint
    assert "secret" not in caught.value.message
    assert "sec/ret" not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://u:p@h/x and http://t@h", "see https://***@h/x and http://***@h"),
        ("ssh://git@h/p and ssh://u:p@h/p", "ssh://git@h/p and ssh://***@h/p"),
        ("https://u:pa/ss@h/x", "https://***@h/x"),
        ("git@github.com:team/p.git", "git@github.com:team/p.git"),
        ("https://h/team/p.git", "https://h/team/p.git"),
        ("u:p@h:x", "***@h:x"),
        ("https://h/p?token=z&x=1 ended", "https://h/p?*** ended"),
        ("https://h/p/info/refs?service=git-upload-pack", "https://h/p/info/refs?service=git-upload-pack"),
    ],
)
def test_what_may_be_secret_in_an_address_is_masked(text: str, shown: str) -> None:
    assert redact_url(text) == shown


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("known_hosts", "git@h:p.git"),
        ("identity", "git@h:p.git"),
        ("ca_file", "https://h/p"),
        ("client_certificate", "https://h/p"),
        ("client_key", "https://h/p"),
        ("credential", "https://h/p"),
    ],
)
@pytest.mark.parametrize("whose", ["owner", "folder", "mode"])
def test_a_file_that_others_may_change_is_refused(
    tmp_path: Path, setting: str, address: str, whose: str
) -> None:
    """It says which server policy comes from, or who we are there."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    path = folder / "file"
    path.write_text("token")
    path.chmod(0o600)
    repository = Git(tmp_path / "q.git", replace(GitAccess(), **{setting: str(path)}))  # type: ignore[arg-type]
    repository.invocation(parse_remote(address), "policy", "fetch")
    match whose:
        case "owner":
            os.chown(path, 65534, -1)
        case "folder":
            os.chown(folder, 65534, -1)
        case _:
            folder.chmod(0o777)
    with pytest.raises(Misuse, match=rf"^git\.{setting}: others can change"):
        repository.invocation(parse_remote(address), "policy", "fetch")


def test_foreign_text_becomes_one_harmless_line() -> None:
    assert one_line("a\x1b[2J\r\nb\u202ec\t d") == "a [2J b c d"
    assert one_line("x" * 500, 10) == "xxxxxxxxx…"


def test_nothing_of_the_callers_git_environment_counts(
    tmp_path: Path, upstream: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "/nowhere/"]\n\tinsteadOf = {upstream.path}\n[core]\n\tbare = maybe\n'
    )
    poison = {
        "HOME": str(home),
        "GIT_DIR": "/nowhere",
        "GIT_INDEX_FILE": "/nowhere",
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GIT_SSH_COMMAND": f"touch {marker};",
        "GIT_EXTERNAL_DIFF": f"touch {marker};",
        "GIT_CONFIG_PARAMETERS": "'core.bare=maybe'",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "maybe",
        "GIT_EXEC_PATH": "/nowhere",
        "GIT_TRACE": str(marker),
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NAMESPACE": "elsewhere",
        "PATCHLEDGER_GIT_PASSWORD": "x",
    }
    for name, value in poison.items():
        monkeypatch.setenv(name, value)
    source = PolicyMirror(tmp_path / "m", str(upstream.path), "main", GitAccess(environment=poison))
    answer = source.fetch(timeout=20, now=NOW)
    monkeypatch.undo()
    assert answer == Fetched(upstream.head())
    assert source.head() == upstream.head()
    assert not marker.exists()


def test_hooks_of_the_mirror_do_not_run(tmp_path: Path, source: PolicyMirror, upstream: Repository) -> None:
    source.fetch(timeout=20, now=NOW)
    marker = tmp_path / "marker"
    hooks = source.mirror / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-merge", "pre-auto-gc", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (hooks / name).chmod(0o755)
    upstream.commit({"policies/b.yaml": "b"})
    source.fetch(timeout=20, now=NOW)
    assert not marker.exists()
    git(source.mirror, "update-ref", "refs/heads/proof", upstream.head(), GIT_DIR=str(source.mirror))
    assert marker.exists(), "the hook would run where hooks are on"


def test_one_transport_is_allowed_per_remote(tmp_path: Path) -> None:
    repository = Git(tmp_path / "r.git")
    repository.run("init", "--quiet", "--bare", str(tmp_path / "r.git"))
    # A remote that says one transport and names another cannot come from parse_remote; git refuses it too.
    marker = tmp_path / "marker"
    done = repository.talk(
        Remote(f"ext::touch {marker}", "https"), "x", "fetch", "x", "refs/heads/main", timeout=20
    )
    assert done.returncode
    assert "transport 'ext' not allowed" in done.error_text
    assert not marker.exists()


def test_broken_objects_are_refused_on_arrival(tmp_path: Path, upstream: Repository) -> None:
    tree = git(upstream.path, "hash-object", "-t", "tree", "--literally", "-w", "--stdin", stdin="")
    text = f"tree {tree}\nauthor a <a@b> zero +0000\ncommitter a <a@b> 1 +0000\n\nbad date\n"
    bad = git(upstream.path, "hash-object", "-t", "commit", "--literally", "-w", "--stdin", stdin=text)
    git(upstream.path, "update-ref", "refs/heads/main", bad)
    source = PolicyMirror(tmp_path / "m", str(upstream.path))
    with pytest.raises(Exception, match="git's own check refuses"):
        source.fetch(timeout=20, now=NOW)
    assert source.head() is None


def test_the_password_is_in_no_argument_list(tmp_path: Path) -> None:
    spy = tmp_path / "bin"
    spy.mkdir()
    for name in ("prlimit", "git"):
        (spy / name).write_text(f'#!/bin/sh\necho "$0" "$@" >> {tmp_path}/arguments\n')
        (spy / name).chmod(0o755)
    options = GitAccess(environment={"PATH": f"{spy}:/usr/bin:/bin"})
    remote = parse_remote("https://host:h1dden%40@h/p.git")
    done = Git(tmp_path / "r.git", options).talk(remote, "policy", "fetch", "policy", timeout=20)
    assert done.returncode == 0
    written = (tmp_path / "arguments").read_text()
    assert "fetch policy" in written
    assert "h1dden" not in written + repr(remote) + repr(done)


def test_ssh_never_asks_and_never_trusts_on_first_use(tmp_path: Path) -> None:
    hosts = tmp_path / "known 100% hosts"
    hosts.write_text("")
    command = ssh_command(GitAccess(known_hosts=str(hosts), identity=str(hosts)))
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "ControlMaster=no"):
        assert f"-o '{option}'" in command
    assert f"""-o 'UserKnownHostsFile="{tmp_path}/known 100%% hosts"'""" in command


def test_a_shell_word_survives_quotes() -> None:
    assert shell_quote("it's") == "'it'\\''s'"


@pytest.mark.parametrize("content", ["", "username=x\n", "username=x\ntoken\n"])
def test_a_credential_without_a_password_is_refused(tmp_path: Path, content: str) -> None:
    credential = tmp_path / "c"
    credential.write_text(content)
    credential.chmod(0o600)
    remote = parse_remote("https://h/p")
    with pytest.raises(Misuse, match="holds no credential"):
        Git(tmp_path, GitAccess(credential=str(credential))).talk(remote, "p", "fetch", timeout=20)
