"""Pull requests by the REST of each forge, over http; whatever answers in its place is said in one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import trustme

from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.forges import (
    AT_MOST,
    ForgeLine,
    ForgePlace,
    ForgeRefused,
    PullRequests,
    authorization,
    place_of,
    pull_requests,
)
from tests.edge.gitops.bench import Repository, git
from tests.labs.forge import TOKEN, Fault, Forge, Kind, serving


@pytest.fixture(params=get_args(Kind))
def forge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Forge]:
    repository = Repository.create(tmp_path / "policy.git")
    repository.commit({"policies/p.yaml": "kind: Policy\nname: p\n"})
    for branch in ("proposals/a", "proposals/b"):
        git(repository.path, "update-ref", f"refs/heads/{branch}", "main")
    with serving(Forge(request.param, repository=repository.path)) as one:
        yield one


def asked(forge: Forge, token: str = TOKEN, timeout: float = 30.0) -> PullRequests:
    place = ForgePlace(forge.kind, forge.api, "ops/policy")
    line = ForgeLine(place.api, authorization(place.kind, token), (token,), timeout)
    assert token not in repr(line)
    return pull_requests(place, line, "main")


def test_one_is_opened_changed_closed_and_commented_on(forge: Forge) -> None:
    pulls = asked(forge)
    assert pulls.opened() == ()
    made = pulls.open("proposals/a", "Approve", "why")
    assert made.address.startswith("http://127.0.0.1")
    pulls.edit(made.number, "Approve b", "because")
    (one,) = pulls.opened()
    assert (one.branch, one.title, one.body) == ("proposals/a", "Approve b", "because")
    assert one.commit == forge.commit_of("proposals/a")
    pulls.close(one.number)
    pulls.comment(one.number, "no longer")
    assert pulls.opened() == ()
    assert [comment["body"] for comment in forge.comments] == ["no longer"]


def test_one_that_is_there_already_is_found(forge: Forge) -> None:
    pulls = asked(forge)
    first = pulls.open("proposals/a", "Approve", "why")
    assert pulls.open("proposals/a", "Approve", "why") == first
    assert len(forge.pulls) == 1


def test_all_pages_are_read_and_nothing_of_a_copy_or_of_another_base(forge: Forge) -> None:
    forge.page = 3
    forge.open("proposals/a", "theirs", "", fork=True)
    forge.open("proposals/b", "theirs", "", base="next")
    for number in range(10):
        forge.open(f"work/{number}", "another", "")
    made = asked(forge).open("proposals/a", "Approve", "why")
    found = [one for one in asked(forge).opened() if one.branch.startswith("proposals/")]
    assert found == [made]


def test_one_that_was_closed_without_a_merge_is_known_by_its_commit(forge: Forge) -> None:
    pulls = asked(forge)
    for branch, is_merged in (("proposals/a", False), ("proposals/b", True)):
        pulls.open(branch, "Approve", "why")
        forge.finish(branch, is_merged=is_merged)
    commit = forge.commit_of("main")
    assert pulls.was_declined("proposals/a", commit)
    assert not pulls.was_declined("proposals/a", "0" * 40)
    assert not pulls.was_declined("proposals/b", commit)
    assert not pulls.was_declined("proposals/c", commit)


def test_more_than_a_job_can_look_at_is_said_where_all_of_it_counts(forge: Forge) -> None:
    forge.page = 1
    for _ in range(101):
        forge.open("proposals/b", "another", "")
    with pytest.raises(Stalled, match="it lists more than 5000 pull requests"):
        asked(forge, timeout=200).opened()
    forge.finish("proposals/b", is_merged=False)
    assert not asked(forge).was_declined("proposals/a", "0" * 40)


_HTML = b"<html><title>Sign in</title></html>"
_LONG = b"[" + b" " * (AT_MOST + 1)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault(401), Stalled, "the forge answers 401: no"),
        (Fault(403), Stalled, "the forge answers 403: no"),
        (Fault(403, headers={"X-RateLimit-Remaining": "0"}), Transient, "(too many requests)"),
        (Fault(403, headers={"Retry-After": "60"}), Transient, "(too many requests)"),
        (Fault(429, headers={"Retry-After": "60"}), Transient, "(too many requests)"),
        (Fault(404), ForgeRefused, "the forge answers 404"),
        (Fault(409), ForgeRefused, "the forge answers 409"),
        (Fault(422, b'{"message": "Validation Failed", "errors": [{"message": "x"}]}'), ForgeRefused, "; x"),
        (Fault(500, _HTML), Transient, "the forge answers 500: <html>"),
        (Fault(503, b""), Transient, "the forge answers 503 (its own failure)"),
        (Fault(200, _HTML), Transient, "what answers is no forge: it sends no JSON"),
        (Fault(200, b"[" * 100_000), Transient, "what answers is no forge: it sends no JSON"),
        (Fault(200, b'{"message": "hello"}'), Transient, "the answer is no list"),
        (Fault(200, b'[{"number": "x", "iid": "x"}]'), Transient, "the answer is no pull request"),
        (Fault(200, _LONG), Transient, "the answer is longer than 16 MiB"),
        (Fault(500, b'{"message": "%s"}' % TOKEN.encode()), Transient, "the forge answers 500: ***"),
        (
            Fault(500, b'{"message": "a\\u001b[31mb\\nc"}'),
            Transient,
            "the forge answers 500: a\\u{1b}[31mb c",
        ),
    ],
)
def test_what_is_no_answer_is_said_in_one_line(
    forge: Forge, fault: Fault, kind: type[ReconcilerError], said: str
) -> None:
    forge.faults["GET"] = fault
    with pytest.raises(kind) as caught:
        asked(forge).opened()
    assert type(caught.value) is kind
    assert said in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert TOKEN not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("fault", [Fault(hangs=True), Fault(drips=True)], ids=["hangs", "drips"])
def test_a_forge_that_never_comes_to_an_end_is_left_in_time(forge: Forge, fault: Fault) -> None:
    forge.faults["GET"] = fault
    with pytest.raises(Transient, match=r"no answer within 0\.5 seconds for all requests"):
        asked(forge, timeout=0.5).opened()


def test_a_time_that_is_over_is_over_for_the_next_request_too(forge: Forge) -> None:
    pulls = asked(forge, timeout=0.5)
    forge.faults["GET"] = Fault(hangs=True)
    with pytest.raises(Transient):
        pulls.opened()
    forge.faults.clear()
    before = len(forge.asked)
    with pytest.raises(Transient, match="no answer within"):
        pulls.opened()
    assert len(forge.asked) == before


def test_a_redirect_is_not_followed_so_that_the_token_goes_nowhere_else(forge: Forge) -> None:
    with serving(Forge(forge.kind)) as other:
        forge.faults["GET"] = Fault(302, headers={"Location": f"{other.api}/elsewhere"})
        with pytest.raises(Stalled, match="it has moved to http://127") as caught:
            asked(forge).opened()
        assert other.asked == []
    assert "proposals.api" in caught.value.hint


def test_a_token_that_is_wrong_is_told_by_the_forge(forge: Forge) -> None:
    with pytest.raises(Stalled, match="the forge answers 401: Bad credentials"):
        asked(forge, "another").opened()


def test_nobody_answers(forge: Forge) -> None:
    place = ForgePlace(forge.kind, "http://127.0.0.1:9", "ops/policy")
    line = ForgeLine(place.api, {}, (), 5.0)
    with pytest.raises(Transient, match="the forge does not answer"):
        pull_requests(place, line, "main").opened()


def test_a_certificate_must_be_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    forge = Forge("github")
    with serving(forge, issued):
        api = f"https://127.0.0.1:{forge.port}"
        place = ForgePlace("github", api, "ops/policy")
        with pytest.raises(Stalled, match="the certificate of the server is not trusted"):
            pull_requests(place, ForgeLine(api, {}, (), 10.0), "main").opened()
        assert forge.asked == []
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        line = ForgeLine(api, authorization("github", TOKEN), (TOKEN,), 10.0, f"{tmp_path}/ca.pem")
        assert pull_requests(place, line, "main").opened() == ()
        (tmp_path / "ca.pem").write_text("none", encoding="utf-8")
        with pytest.raises(Misuse, match=r"ca\.pem: "):
            pull_requests(place, ForgeLine(api, {}, (), 10.0, f"{tmp_path}/ca.pem"), "main").opened()


@pytest.mark.parametrize(
    ("environment", "is_near"),
    [
        ({"https_proxy": "http://127.0.0.1:9"}, False),
        ({"HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "other, 127.0.0.1"}, True),
    ],
)
def test_a_proxy_is_the_one_of_the_configuration(environment: dict[str, str], *, is_near: bool) -> None:
    authority = trustme.CA()
    with serving(Forge("github"), authority.issue_cert("127.0.0.1")) as forge:
        line = ForgeLine(f"https://127.0.0.1:{forge.port}", {}, (), 10.0, environment=environment)
        with pytest.raises(Stalled if is_near else Transient):
            line.ask("GET", "/")


@pytest.mark.parametrize(
    ("remote", "said", "expected"),
    [
        ("https://github.com/ops/policy.git", {}, ("github", "https://api.github.com", "ops/policy")),
        ("git@github.com:ops/policy.git", {}, ("github", "https://api.github.com", "ops/policy")),
        (
            "https://bot@github.example:8443/ops/policy",
            {},
            ("github", "https://github.example:8443/api/v3", "ops/policy"),
        ),
        (
            "ssh://git@gitlab.example:2222/a/b/policy.git",
            {},
            ("gitlab", "https://gitlab.example/api/v4", "a/b/policy"),
        ),
        ("https://codeberg.org/o/p.git", {}, ("forgejo", "https://codeberg.org/api/v1", "o/p")),
        (
            "git@git.example:o/p.git",
            {"kind": "forgejo"},
            ("forgejo", "https://git.example/api/v1", "o/p"),
        ),
        (
            "/srv/policy.git",
            {"kind": "gitlab", "api": "https://x/api/v4/", "repository": "o/p"},
            ("gitlab", "https://x/api/v4", "o/p"),
        ),
    ],
)
def test_the_address_of_the_policy_tells_where_pull_requests_are(
    remote: str, said: dict[str, str], expected: tuple[str, str, str]
) -> None:
    asked = {"kind": None, "api": None, "repository": None, **said}
    assert place_of(remote, **asked) == ForgePlace(*expected)  # type: ignore[arg-type]  # words of a table


@pytest.mark.parametrize(
    ("remote", "api", "said"),
    [
        ("git@git.example:o/p.git", None, "it is not known which forge"),
        ("/srv/policy.git", None, "it is not known which forge"),
        ("https://github.com/o/p", "http://github.example/api/v3", "a token would travel readable"),
        ("https://github.com/o/p", "http://127.0.0.1.github.example", "a token would travel readable"),
        ("https://github.com/o/p", "https://a:b@github.com", "holds a user name or password"),
        ("https://github.com/o/p", "https://", "is not known"),
        ("https://github.com", None, "does not tell where pull requests are"),
    ],
)
def test_where_it_does_not_tell_that_is_said(remote: str, api: str | None, said: str) -> None:
    with pytest.raises(Misuse, match=said):
        place_of(remote, None, api, None)
