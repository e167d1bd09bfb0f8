"""A made-up forge on loopback: pull requests and their comments, by the REST of GitHub, Forgejo and GitLab.

Paths, methods, headers and shapes are those of their public documents: GitHub "REST API endpoints for pull
requests" and "for issue comments", Forgejo ``/api/swagger`` (repository, issue), GitLab "Merge requests API"
and "Notes API". What is not arranged is answered with 404.
"""

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import trustme

from tests.edge.gitops.bench import git

Kind = Literal["github", "forgejo", "gitlab"]
TOKEN = "s3cret-of-the-job"
BOT = {"github": "github-actions[bot]", "forgejo": "forgejo-actions", "gitlab": "project_7_bot"}
_SENDS = {"github": "Bearer", "forgejo": "token"}


@dataclass(frozen=True)
class Fault:
    """What a forge answers that is not well, or another server in its place.

    Attributes:
        status: Of the answer.
        body: As it is sent.
        headers: Beside the usual ones.
        after: Requests that are answered well before.
        drips: One byte at a time, for ever.
        hangs: Answer nothing, before the other end goes away.
    """

    status: int = 200
    body: bytes = b'{"message": "no"}'
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    drips: bool = False
    hangs: bool = False


@dataclass
class Forge:
    """What was asked of it, and what it holds."""

    kind: Kind
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refuses: int = 0
    """A status that answers everything."""
    page: int = 100
    port: int = 0
    authorization: list[str] = field(default_factory=list)
    repository: Path | None = None
    """Bare or not, whose branches pull requests are of; without it there are none."""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    """As this forge tells them, the oldest first."""
    faults: dict[str, Fault] = field(default_factory=dict)
    """What answers requests that begin so, such as ``POST /repos``, instead of the forge."""
    meanwhile: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What somebody else does, once, just before a request that begins so is answered."""

    frozen: bool = False
    """It looks at no branch: pull requests are told as they were arranged."""

    pause: threading.Event = field(default_factory=threading.Event)

    def fault_of(self, request: str) -> Fault | None:
        """Return what answers a request instead of the forge, and count it."""
        for begin, fault in self.faults.items():
            if request.startswith(begin):
                if fault.after:
                    self.faults[begin] = replace(fault, after=fault.after - 1)
                    return None
                self.asked.append(request)
                return fault
        return None

    @property
    def api(self) -> str:
        """Where its REST begins."""
        tail = {"github": "", "forgejo": "/api/v1", "gitlab": "/api/v4"}[self.kind]
        return f"http://127.0.0.1:{self.port}{tail}"

    @property
    def thread(self) -> str:
        """Path of the comments of the pull request 5 of project 7, or ``ops/policy``."""
        root = urlsplit(self.api).path
        if self.kind == "gitlab":
            return f"{root}/projects/7/merge_requests/5/notes"
        return f"{root}/repos/ops/policy/issues/5/comments"

    def write(self, who: str, body: str) -> dict[str, Any]:
        """Add a comment."""
        key, name = ("author", "username") if self.kind == "gitlab" else ("user", "login")
        comment = {"id": 1000 + len(self.comments), "body": body, key: {name: who, "id": 3}}
        self.comments.append(comment)
        return comment

    def answer(self, method: str, target: str, token: str, body: Any) -> tuple[int, Any]:
        """Return the status and what is sent."""
        self.asked.append(f"{method} {target}")
        for begin in [one for one in self.meanwhile if f"{method} {target}".startswith(one)]:
            self.meanwhile.pop(begin)()
        self.authorization.append(token)
        sent = TOKEN if self.kind == "gitlab" else f"{_SENDS[self.kind]} {TOKEN}"
        if self.refuses:
            return self.refuses, {"message": "no\x1b[31m, not now"}
        if token != sent:
            return 401, {"message": "Bad credentials"}
        return self._served(method, target, body) or (404, {"message": "Not Found"})

    @property
    def place(self) -> str:
        """Path of the repository."""
        root = urlsplit(self.api).path
        return f"{root}/projects/ops%2Fpolicy" if self.kind == "gitlab" else f"{root}/repos/ops/policy"

    def commit_of(self, branch: str) -> str:
        """Return where a branch is, empty where there is none."""
        told = ("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return "" if self.repository is None else git(self.repository, *told)

    def open(self, branch: str, title: str, body: str, *, fork: bool = False, base: str = "main") -> Any:
        """Open a pull request, as this forge tells it."""
        number = len(self.pulls) + 1
        address = f"http://127.0.0.1:{self.port}/ops/policy/{number}"
        commit = self.commit_of(branch)
        if self.kind == "gitlab":
            pull: dict[str, Any] = {"id": 5000 + number, "iid": number, "project_id": 7, "title": title}
            pull |= {"description": body, "state": "opened", "web_url": address, "sha": commit}
            pull |= {"source_branch": branch, "target_branch": base, "merged_at": None}
            pull |= {"source_project_id": 8 if fork else 7, "target_project_id": 7, "labels": []}
        else:
            home = {"id": 8 if fork else 7, "full_name": "eve/policy" if fork else "ops/policy"}
            pull = {"id": 5000 + number, "number": number, "title": title, "body": body, "state": "open"}
            pull |= {"html_url": address, "merged_at": None, "draft": False, "labels": []}
            pull["head"] = {"label": f"ops:{branch}", "ref": branch, "sha": commit, "repo": home}
            pull["base"] = {"label": f"ops:{base}", "ref": base, "sha": "b" * 40, "repo": home}
        self.pulls.append(pull)
        return pull

    def refresh(self) -> None:
        """Look at the branches of open pull requests, as a forge does when it is pushed to."""
        told = ("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads")
        if self.frozen:
            return
        listed = "" if self.repository is None or not self.pulls else git(self.repository, *told)
        commits = dict(line.rsplit(" ", 1) for line in listed.split("\n") if line)
        for pull in self.pulls:
            commit = commits.get(self.branch_of(pull), "")
            if pull["state"] not in {"open", "opened"}:
                continue
            if self.kind == "gitlab":
                pull["sha"] = commit or pull["sha"]
            elif commit:
                pull["head"]["sha"] = commit
            elif pull["head"]["repo"]["full_name"] == "ops/policy":
                pull["state"] = "closed"  # GitHub and Forgejo close what has lost its branch

    def branch_of(self, pull: Mapping[str, Any]) -> str:
        """Return what a pull request would merge."""
        return str(pull["source_branch"] if self.kind == "gitlab" else pull["head"]["ref"])

    def standing(self) -> dict[str, dict[str, Any]]:
        """Return the open pull requests by their branch, each as ``number``, ``title`` and ``body``."""
        self.refresh()
        number, body = ("iid", "description") if self.kind == "gitlab" else ("number", "body")
        return {
            self.branch_of(one): {"number": one[number], "title": one["title"], "body": one[body]}
            for one in self.pulls
            if one["state"] in {"open", "opened"}
        }

    def finish(self, branch: str, *, is_merged: bool) -> None:
        """Close the open pull request of a branch, as a person does in the browser."""
        self.refresh()
        for pull in self.pulls:
            if self.branch_of(pull) == branch and pull["state"] in {"open", "opened"}:
                pull["state"] = "merged" if is_merged and self.kind == "gitlab" else "closed"
                pull["merged_at"] = "2026-11-22T09:00:00Z" if is_merged else None

    def _served(self, method: str, target: str, body: Any) -> tuple[int, Any] | None:
        self.refresh()
        return self._pull_requests(method, target, body) or self._comments(method, target, body)

    def _pull_requests(self, method: str, target: str, body: Any) -> tuple[int, Any] | None:
        url = urlsplit(target)
        noun = "merge_requests" if self.kind == "gitlab" else "pulls"
        match method:
            case "GET" if url.path == f"{self.place}/{noun}":
                return 200, self._listed(parse_qs(url.query))
            case "POST" if url.path == f"{self.place}/{noun}":
                return self._opened(body)
        change, number = ("PUT", "iid") if self.kind == "gitlab" else ("PATCH", "number")
        talk = "merge_requests" if self.kind == "gitlab" else "issues"
        words = "notes" if self.kind == "gitlab" else "comments"
        for pull in self.pulls:
            if (method, url.path) == (change, f"{self.place}/{noun}/{pull[number]}"):
                return self._changed(pull, body)
            if (method, url.path) == ("POST", f"{self.place}/{talk}/{pull[number]}/{words}"):
                comment = self.write(BOT[self.kind], body["body"])
                return 201, {**comment, "about": pull[number]}
        return None

    def _listed(self, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        wanted = query.get("state", ["open"])[0]
        told = [one for one in self.pulls if wanted in {one["state"], "all"}]
        if self.kind == "gitlab":
            for key in ("source_branch", "target_branch"):
                told = [one for one in told if one[key] == query.get(key, [one[key]])[0]]
        elif self.kind == "github" and "head" in query:
            told = [one for one in told if one["head"]["label"] == query["head"][0]]
        asked = int(query.get("limit" if self.kind == "forgejo" else "per_page", ["30"])[0])
        size, page = min(self.page, asked, 50 if self.kind == "forgejo" else 100), int(query["page"][0])
        return told[::-1][(page - 1) * size : page * size]  # the newest first

    def _there(self, branch: str, base: str) -> dict[str, Any] | None:
        """Return the open pull request that is about the same, and of no copy."""
        self.refresh()
        for one in self.pulls:
            if self.kind == "gitlab":
                about = one["source_branch"], one["target_branch"], one["source_project_id"]
            else:
                about = one["head"]["ref"], one["base"]["ref"], one["head"]["repo"]["id"]
            if one["state"] in {"open", "opened"} and about == (branch, base, 7):
                return one
        return None

    def _opened(self, body: Any) -> tuple[int, Any]:
        is_gitlab = self.kind == "gitlab"
        branch = body["source_branch"] if is_gitlab else body["head"]
        base = body["target_branch"] if is_gitlab else body["base"]
        there = self._there(branch, base)
        if there is not None and is_gitlab:
            said = f"Another open merge request already exists for this source branch: !{there['iid']}"
            return 409, {"message": [said]}
        if there is not None and self.kind == "forgejo":
            return 409, {"message": "pull request already exists for these targets", "url": "/api/swagger"}
        if there is not None or not self.commit_of(branch):
            said = f"A pull request already exists for ops:{branch}." if there else "Head is invalid"
            problem = {"resource": "PullRequest", "code": "custom", "message": said}
            return 422, {"message": "Validation Failed", "errors": [problem]}
        text = body["description"] if is_gitlab else body["body"]
        if len(text) > 65536 or len(body["title"]) > 255:
            return 422, {"message": "Validation Failed", "errors": [{"message": "is too long"}]}
        return 201, self.open(branch, body["title"], text, base=base)

    def _changed(self, pull: dict[str, Any], body: Mapping[str, Any]) -> tuple[int, Any]:
        for key, value in body.items():
            if key == "state_event":
                pull["state"] = "closed"
            elif key in pull:
                pull[key] = value
        return (201 if self.kind == "forgejo" else 200), pull

    def _comments(self, method: str, target: str, body: Any) -> tuple[int, Any] | None:
        url = urlsplit(target)
        match method, url.path:
            case "GET", self.thread:
                return 200, self._paged(parse_qs(url.query))
            case "POST", self.thread:
                return 201, self.write(BOT[self.kind], body["body"])
            case "GET", "/api/v4/user" if self.kind == "gitlab":
                return 200, {"id": 3, "username": BOT["gitlab"]}
        one = self.thread if self.kind == "gitlab" else self.thread.replace("/5/comments", "/comments")
        change = "PUT" if self.kind == "gitlab" else "PATCH"
        for comment in self.comments:
            if (method, url.path) == (change, f"{one}/{comment['id']}"):
                comment["body"] = body["body"]
                return 200, comment
        return None

    def _paged(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        if self.kind == "forgejo":  # knows no pages here
            return self.comments
        # GitLab tells the newest first where nobody asks for another order.
        is_newest_first = self.kind == "gitlab" and query.get("sort") != ["asc"]
        told = self.comments[::-1] if is_newest_first else self.comments
        start = (int(query["page"][0]) - 1) * self.page
        return told[start : start + min(self.page, int(query["per_page"][0]))]


def _fail(handler: BaseHTTPRequestHandler, forge: Forge, fault: Fault) -> None:
    if fault.hangs:
        handler.rfile.read(1)  # nothing more is sent, so that this ends when the other one goes away
        return
    handler.send_response(fault.status)
    for name, value in fault.headers.items():
        handler.send_header(name, value)
    if not fault.drips:
        handler.send_header("Content-Length", str(len(fault.body)))
    handler.end_headers()
    with contextlib.suppress(OSError):  # who reads no further goes away
        while fault.drips:
            handler.wfile.write(b" ")
            forge.pause.wait(0.02)
        handler.wfile.write(fault.body)


@contextmanager
def serving(forge: Forge, certificate: trustme.LeafCert | None = None) -> Iterator[Forge]:
    """Serve on a free port of loopback, over https where there is a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("PRIVATE-TOKEN") or self.headers.get("Authorization") or ""
            fault = forge.fault_of(f"{self.command} {self.path}")
            if fault is not None:
                _fail(self, forge, fault)
                return
            status, told = forge.answer(self.command, self.path, token, body)
            data = json.dumps(told).encode()
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="forge"')
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        # The handshake is each connection's own business, and not that of who accepts them.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    forge.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
