"""A made-up forge on loopback: the comments of one pull request, by the REST of GitHub, Forgejo and GitLab.

Paths, methods, headers and shapes are those of their public documents: GitHub "REST API endpoints for issue
comments", Forgejo ``/api/swagger`` (issue), GitLab "Notes API". What is not arranged is answered with 404.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

Kind = Literal["github", "forgejo", "gitlab"]
TOKEN = "s3cret-of-the-job"
BOT = {"github": "github-actions[bot]", "forgejo": "forgejo-actions", "gitlab": "project_7_bot"}
_SENDS = {"github": "Bearer", "forgejo": "token"}


@dataclass
class Forge:
    """What was asked of it, and the comments that it holds."""

    kind: Kind
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refuses: int = 0
    """A status that answers everything."""
    page: int = 100
    port: int = 0
    authorization: list[str] = field(default_factory=list)

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
        self.authorization.append(token)
        sent = TOKEN if self.kind == "gitlab" else f"{_SENDS[self.kind]} {TOKEN}"
        if self.refuses:
            return self.refuses, {"message": "no\x1b[31m, not now"}
        if token != sent:
            return 401, {"message": "Bad credentials"}
        return self._served(method, target, body) or (404, {"message": "Not Found"})

    def _served(self, method: str, target: str, body: Any) -> tuple[int, Any] | None:
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


@contextmanager
def serving(forge: Forge) -> Iterator[Forge]:
    """Serve on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("PRIVATE-TOKEN") or self.headers.get("Authorization") or ""
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
    forge.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
