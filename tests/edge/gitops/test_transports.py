"""Every transport against its real server, and what a host is told when the server says no."""

import os
from pathlib import Path

import pytest

from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.report_branches import host_branch
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.reconcile.ports.policies import Fetched
from reconciler.reconcile.ports.reports import Commit, Pushed
from tests.edge.gitops.bench import NOW, HttpsServer, Repository, SshServer, free_port, git

SECRET = "p%40ss%2Fw"


def fetch(folder: Path, address: str, options: GitAccess, **more: str) -> Fetched:
    answer = PolicyMirror(folder / "policy.git", address, more.get("ref", "main"), options).fetch(
        timeout=20, now=NOW
    )
    assert isinstance(answer, Fetched)
    return answer


def push(folder: Path, address: str, options: GitAccess, host: str) -> None:
    sink = ReportQueue(folder / "reports.git", address, Identity(host), options)
    committed = sink.commit(host_branch(host), {"report.json": b"{}\n"}, "first\n", NOW, keep_runs=5)
    assert isinstance(committed, Commit)
    assert sink.push(timeout=20) == Pushed((f"hosts/{host}",))


def ssh_options(server: SshServer, **changed: str) -> GitAccess:
    return GitAccess(
        **{"known_hosts": str(server.known_hosts), "identity": str(server.identity), **changed}  # type: ignore[arg-type]  # only texts
    )


def test_ssh_fetches_and_pushes(tmp_path: Path, sshd: SshServer, served: Path) -> None:
    options = ssh_options(sshd)
    answer = fetch(tmp_path, f"{sshd.url}/policy.git", options)
    assert answer == Fetched(Repository(served / "policy.git").head())
    push(tmp_path, f"{sshd.url}/reports.git", options, "ssh-01")
    assert Repository(served / "reports.git").show("hosts/ssh-01:report.json") == "{}"


def test_ssh_refuses_an_unknown_host_key(tmp_path: Path, sshd: SshServer) -> None:
    nobody = tmp_path / "known_hosts"
    nobody.write_text("")
    with pytest.raises(Stalled, match=r"host key of the server is unknown") as caught:
        fetch(tmp_path, f"{sshd.url}/policy.git", ssh_options(sshd, known_hosts=str(nobody)))
    assert "git.known_hosts" in caught.value.hint


def test_ssh_says_that_the_key_was_refused(tmp_path: Path, sshd: SshServer) -> None:
    with pytest.raises(Stalled, match="the server refused the ssh key") as caught:
        fetch(tmp_path, f"{sshd.url}/policy.git", ssh_options(sshd, identity=str(sshd.stranger)))
    assert "git.identity" in caught.value.hint


def test_ssh_says_that_there_is_no_such_repository(tmp_path: Path, sshd: SshServer) -> None:
    with pytest.raises(Stalled, match="there is no such git repository"):
        fetch(tmp_path, f"{sshd.url}/nothing.git", ssh_options(sshd))


def test_https_fetches_and_pushes_with_a_credential_from_a_file(
    tmp_path: Path, https: HttpsServer, served: Path
) -> None:
    options = GitAccess(ca_file=str(https.ca_file), credential=str(https.credential))
    answer = fetch(tmp_path, f"{https.url}/git/policy.git", options)
    assert answer.head == Repository(served / "policy.git").head()
    push(tmp_path, f"{https.url}/git/reports.git", options, "https-01")
    assert Repository(served / "reports.git").show("hosts/https-01:report.json") == "{}"


@pytest.mark.parametrize(
    ("content", "user"),
    [("p@ss/w", "host"), ("p@ss/w\n", "host"), ("\n username=host\r\n\npassword=p@ss/w \n", "other")],
)
def test_https_takes_a_credential_however_its_file_is_written(
    tmp_path: Path, https: HttpsServer, content: str, user: str
) -> None:
    credential = tmp_path / "a credential"
    credential.write_bytes(content.encode())
    credential.chmod(0o640)
    options = GitAccess(ca_file=str(https.ca_file), credential=str(credential))
    address = https.url.replace("https://", f"https://{user}@")
    assert fetch(tmp_path, f"{address}/git/policy.git", options).head


def test_https_takes_a_credential_from_the_address(tmp_path: Path, https: HttpsServer) -> None:
    address = https.url.replace("https://", f"https://host:{SECRET}@")
    assert fetch(tmp_path, f"{address}/git/policy.git", GitAccess(ca_file=str(https.ca_file))).head


def test_https_takes_a_client_certificate(tmp_path: Path, https: HttpsServer) -> None:
    options = GitAccess(
        ca_file=str(https.ca_file), client_certificate=str(https.client), client_key=str(https.client)
    )
    assert fetch(tmp_path, f"{https.url}/mutual/policy.git", options).head


def test_https_refuses_an_unknown_authority_whatever_the_caller_exports(
    tmp_path: Path, https: HttpsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")
    monkeypatch.setenv("GIT_SSL_CAINFO", str(https.ca_file))
    with pytest.raises(Stalled, match="certificate of the server is not trusted") as caught:
        fetch(tmp_path, f"{https.url}/git/policy.git", GitAccess(credential=str(https.credential)))
    assert "git.ca_file" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("git/policy.git", Stalled, "refused the user name or password"),
        ("forbidden/policy.git", Stalled, "forbids the access"),
        ("mutual/policy.git", Stalled, "forbids the access"),
        ("nowhere/policy.git", Stalled, "no such git repository"),
        ("busy/policy.git", Transient, "failing or busy"),
        ("portal/policy.git", Transient, "what answers is no git server"),
        ("page/policy.git", Transient, "what answers is no git server"),
    ],
)
def test_https_failures_are_told_apart(
    tmp_path: Path, https: HttpsServer, path: str, kind: type[ReconcilerError], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        fetch(tmp_path, f"{https.url}/{path}", GitAccess(ca_file=str(https.ca_file)))
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_an_empty_repository_is_no_web_page(tmp_path: Path, https: HttpsServer) -> None:
    options = GitAccess(ca_file=str(https.ca_file), credential=str(https.credential))
    with pytest.raises(Stalled, match="the repository is empty"):
        fetch(tmp_path, f"{https.url}/git/empty.git", options)


def test_a_web_page_does_not_say_that_the_branch_of_reports_is_gone(
    tmp_path: Path, https: HttpsServer
) -> None:
    options = GitAccess(ca_file=str(https.ca_file), credential=str(https.credential))
    push(tmp_path, f"{https.url}/git/reports.git", options, "web-07")
    noted = tmp_path / "reports.remote"
    noted.unlink()  # so that these are one remote, at three times
    sink = ReportQueue(
        tmp_path / "reports.git", f"{https.url}/portal/reports.git", Identity("web-07"), options
    )
    assert sink.standing("hosts/web-07", timeout=20, ask=True) is None
    assert sink.unpushed() == ()
    noted.unlink(missing_ok=True)
    gone = ReportQueue(tmp_path / "reports.git", f"{https.url}/git/empty.git", Identity("web-07"), options)
    assert gone.standing("hosts/web-07", timeout=20, ask=True) is None
    assert gone.unpushed() == ("hosts/web-07",)


def test_what_a_person_must_change_has_a_word_for_machines(
    tmp_path: Path, https: HttpsServer, sshd: SshServer
) -> None:
    none = tmp_path / "none"
    none.touch()
    for address, options, word in (
        (https.url + "/git/policy.git", GitAccess(), "CertificateNotTrusted"),
        (https.url + "/git/policy.git", GitAccess(ca_file=str(https.ca_file)), "AccessRefused"),
        (sshd.url + "/policy.git", GitAccess(known_hosts=str(none)), "HostKeyUnknown"),
        (str(tmp_path / "nowhere"), GitAccess(), "NoSuchPolicy"),
        (
            https.url + "/git/empty.git",
            GitAccess(ca_file=str(https.ca_file), credential=str(https.credential)),
            "NoSuchPolicy",
        ),
    ):
        with pytest.raises(Stalled) as caught:
            fetch(tmp_path, address, options)
        assert caught.value.reason == word


def test_a_wrong_password_is_never_shown(tmp_path: Path, https: HttpsServer) -> None:
    address = https.url.replace("https://", "https://host:wr0ng-secret@")
    with pytest.raises(Stalled) as caught:
        fetch(tmp_path, f"{address}/git/policy.git", GitAccess(ca_file=str(https.ca_file)))
    assert "wr0ng-secret" not in repr(caught.value) + caught.value.hint
    assert "https://***@127.0.0.1" in caught.value.message


@pytest.mark.parametrize(
    "address", ["https://host:{secret}@127.0.0.1:{port}/p.git", "ssh://127.0.0.1:{port}/p.git"]
)
def test_a_server_that_is_down_is_transient(tmp_path: Path, address: str) -> None:
    with pytest.raises(Transient, match="cannot be reached") as caught:
        fetch(tmp_path, address.format(secret=SECRET, port=free_port()), GitAccess())
    assert SECRET not in caught.value.message


def test_a_name_that_does_not_resolve_is_transient(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="cannot be resolved"):
        fetch(tmp_path, "https://no-such-host.invalid/p.git", GitAccess())


def test_a_silent_server_ends_at_the_time_limit(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="no answer within the time limit"), _listener() as port:
        PolicyMirror(tmp_path / "m", f"http://127.0.0.1:{port}/p.git").fetch(timeout=0.5, now=NOW)


def test_a_plain_path_and_a_bundle_are_remotes_too(tmp_path: Path, upstream: Repository) -> None:
    bundle = tmp_path / "policy.bundle"
    git(upstream.path, "bundle", "create", "--quiet", str(bundle), "main")
    for number, address in enumerate((upstream.path, bundle)):
        source = PolicyMirror(tmp_path / f"mirror-{number}", str(address))
        assert source.fetch(timeout=20, now=NOW) == Fetched(upstream.head())


def test_a_proxy_comes_from_the_environment_option(tmp_path: Path) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Transient, match="cannot be reached") as caught:
        fetch(tmp_path, "https://policy.invalid/p.git", GitAccess(environment={"https_proxy": proxy}))
    assert proxy.rpartition(":")[2] in caught.value.message


def test_a_policy_owned_by_another_user_may_be_read(tmp_path: Path, upstream: Repository) -> None:
    _give_away(upstream.path)
    assert fetch(tmp_path, str(upstream.path), GitAccess()).head


def test_reports_are_not_pushed_into_a_folder_whose_hooks_are_another_users(
    tmp_path: Path, reports: Repository
) -> None:
    _give_away(reports.path)
    sink = ReportQueue(tmp_path / "queue", str(reports.path), Identity("web-01"))
    sink.commit("hosts/web-01", {"report.json": b"{}"}, "first\n", NOW, keep_runs=5)
    with pytest.raises(Stalled, match="belongs to another user") as caught:
        sink.push(timeout=20)
    assert "ssh://" in caught.value.hint
    assert sink.unpushed() == ("hosts/web-01",)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620])
def test_a_credential_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    credential = tmp_path / "credential"
    credential.write_text("password=x\n")
    credential.chmod(mode)
    with pytest.raises(Misuse, match="open to other users") as caught:
        fetch(tmp_path, "https://policy.invalid/p.git", GitAccess(credential=str(credential)))
    assert caught.value.hint == f"chmod 600 {credential}"


def test_no_credential_of_a_host_travels_readable(tmp_path: Path, https: HttpsServer) -> None:
    """Neither for policy nor for reports, whoever would answer, and whether or not it would be asked for."""
    options = GitAccess(credential=str(https.credential))
    for place in ("http://policy.invalid/p.git", "http://localhost.policy.invalid:80/p.git"):
        with pytest.raises(Misuse, match=f"would travel readable to {place}") as caught:
            fetch(tmp_path / "a", place, options)
        assert caught.value.hint == "reach it by https:// or ssh"
        with pytest.raises(Misuse, match="would travel readable to"):
            push(tmp_path / "b", place, options, "web-01")
    with pytest.raises(Misuse, match="a password would travel readable") as refused:
        fetch(tmp_path / "a", f"http://host:{SECRET}@policy.invalid/p.git", GitAccess())
    assert SECRET not in refused.value.message
    # On this machine nobody is on the way; and what needs no credential is fetched as before.
    for place, more in (("http://127.0.0.1:9/p.git", options), ("http://[::1]:9/p.git", options)):
        with pytest.raises(Transient):
            fetch(tmp_path / "a", place, more)


@pytest.mark.parametrize(
    "options",
    [GitAccess(known_hosts="/nowhere"), GitAccess(identity="key"), GitAccess(identity='/a"b')],
)
def test_files_of_the_options_are_checked_first(tmp_path: Path, options: GitAccess) -> None:
    with pytest.raises(Misuse, match=r"git\.(known_hosts|identity)"):
        fetch(tmp_path, "ssh://git@policy.invalid/p.git", options)


def _give_away(folder: Path) -> None:
    assert os.geteuid() == 0, "this test needs root, to give a folder to another user"
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534)


def _listener() -> "Silent":
    return Silent()


class Silent:
    """A socket that takes connections and never answers."""

    def __enter__(self) -> int:
        import socket  # noqa: PLC0415 - only this class needs it

        self._socket = socket.create_server(("127.0.0.1", 0))
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_a_redirect_is_not_followed(tmp_path: Path, https: HttpsServer) -> None:
    options = GitAccess(ca_file=str(https.ca_file), credential=str(https.credential))
    with pytest.raises(Stalled, match="redirect, which is not followed"):
        fetch(tmp_path, f"{https.url}/moved/policy.git", options)
