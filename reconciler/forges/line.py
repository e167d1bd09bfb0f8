"""One way to one forge: requests and answers in JSON, bounded in time and size, each failure in one line.

The rules:

1. No redirect is followed: the token goes nowhere but to the address that it is for.
2. All requests together have one time limit, which also ends one that is answered a byte at a time.
3. An answer is read up to a limit, and believed where it is JSON.
4. No text that anybody sees has the token in it, whatever the forge sends back.
"""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import field
from http import HTTPStatus
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from reconciler import __version__
from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.forges.places import ForgeKind
from reconciler.planning.text import canonical
from reconciler.planning.text.untrusted import one_line, redacted
from reconciler.records import dataclass
from reconciler.resources import page

AT_MOST = 16 * 2**20
"""Bytes of one answer: a hundred pull requests with the longest texts that forges take."""
_SHOWN = 300
_AGAIN = "nothing to do: the next run goes on"
_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)
_NO_ACCESS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "put a token that is valid into proposals.file or proposals.credential",
    HTTPStatus.FORBIDDEN: f"let the token write pull requests: {page('how-to/propose-approvals')}",
}
_NOT_FOUND = "look at proposals.api and proposals.repository, and whether the token may see that"
_REFUSED = "see what it says; the next run tries again"
_AUTHORIZATION: Mapping[ForgeKind, str] = {"github": "Bearer", "forgejo": "token"}


class ForgeRefused(Stalled):
    """The forge refuses one request, and may well take the next one.

    Attributes:
        status: What it answers with.
    """

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(message, hint, "ForgeRefused")
        self.status = status


@dataclass(frozen=True, slots=True)
class ForgeAnswer:
    """What a forge answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class ForgeLine:
    """A way to a forge, for one run.

    Args:
        api: Where its REST begins.
        headers: That say who asks.
        secrets: Texts that nobody may see.
        timeout: Seconds for all requests together.
        ca_file: PEM file of the authorities that are trusted instead of the system's; empty without.
        environment: Variables that may name a proxy.
    """

    api: str
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    timeout: float
    ca_file: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    _ends: float = 0.0

    def ask(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: object = None
    ) -> object:
        """Ask, and return what is answered, as plain JSON data.

        Args:
            method: Such as ``POST``.
            path: Below the address, quoted.
            query: Of the address.
            body: Plain JSON data.

        Raises:
            ForgeRefused: This request is refused.
            Stalled: The forge would refuse every other one as well.
            Transient: It cannot be reached, or does not answer in time or with what it should.
            Misuse: A file cannot be used.
        """
        target = urlsplit(self.api).path + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        doing = f"{method} {self.api}{path}"
        answer = self._answered(method, target, data, doing)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise self._refused(answer, doing)
        try:
            return canonical.read(answer.body) if answer.body else None
        except (ValueError, RecursionError):
            said = f"{doing}: what answers is no forge: it sends no JSON"
            hint = "look for a login page or a proxy in between, and at proposals.api and proposals.forge"
            raise Transient(said, hint) from None

    def _answered(self, method: str, target: str, data: bytes | None, doing: str) -> ForgeAnswer:
        self._ends = self._ends or time.monotonic() + self.timeout
        left = self._ends - time.monotonic()
        late = Transient(f"{doing}: no answer within {self.timeout:g} seconds for all requests", _AGAIN)
        if left <= 0:
            raise late
        try:
            connection = self._connection(left)
        except OSError as error:
            hint = "correct git.ca_file: a PEM file of the authorities that are trusted"
            raise Misuse(f"{self.ca_file}: {error.strerror or 'holds no certificate'}", hint) from error
        try:
            status, headers, body = _exchanged(connection, left, (method, target, data, self._said()))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise late if time.monotonic() >= self._ends else self._unreached(error, doing) from error
        if time.monotonic() >= self._ends:
            raise late
        if len(body) > AT_MOST:
            hint = "look at proposals.api: no forge sends as much"
            raise Transient(f"{doing}: the answer is longer than {AT_MOST // 2**20} MiB", hint)
        return ForgeAnswer(status, headers, body)

    def _said(self) -> dict[str, str]:
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"patchledger/{__version__}",
            "Connection": "close",
            **self.headers,
        }

    def _connection(self, left: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.api)
        is_secure = parts.scheme == "https"
        at = (parts.hostname or "", parts.port or (443 if is_secure else 80))
        proxy = self._proxy(parts)
        host, port = (proxy.hostname or "", proxy.port or 80) if proxy is not None else at
        if not is_secure:
            return http.client.HTTPConnection(host, port, timeout=left)
        context = ssl.create_default_context(cafile=self.ca_file or None)
        connection = http.client.HTTPSConnection(host, port, timeout=left, context=context)
        if proxy is not None:
            connection.set_tunnel(*at)
        return connection

    def _proxy(self, to: SplitResult) -> SplitResult | None:
        """Return the proxy that leads there, by the configured environment alone; ``None`` for none."""
        told = {name.lower(): value for name, value in self.environment.items()}
        address = told.get("https_proxy") or told.get("all_proxy") or ""
        host = to.hostname or ""
        near = [one.strip().lstrip(".") for one in told.get("no_proxy", "").split(",") if one.strip()]
        is_near = any(one in {"*", host, to.netloc} or host.endswith(f".{one}") for one in near)
        # Without encryption a proxy would read the token.
        return urlsplit(address) if address and to.scheme == "https" and not is_near else None

    def _unreached(self, error: Exception, doing: str) -> ReconcilerError:
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "ask the server's owner whether it has expired; name a private authority in git.ca_file"
            said = f"{doing}: the certificate of the server is not trusted ({error.verify_message})"
            return Stalled(said, hint, "CertificateNotTrusted")
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Transient(
            f"{doing}: the forge does not answer ({self._shown(why or type(error).__name__)})", _AGAIN
        )

    def _refused(self, answer: ForgeAnswer, doing: str) -> ReconcilerError:
        status, words = answer.status, self._shown(_words(answer.body))
        said = f"{doing}: the forge answers {status}" + (f": {words}" if words else "")
        is_limited = status == HTTPStatus.FORBIDDEN and (
            answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
        )
        if status in _LATER or is_limited:
            wait = answer.headers.get("retry-after", "")
            when = f", in {wait} seconds at the earliest" if wait.isdigit() else ""
            return Transient(f"{said} (too many requests)", f"nothing to do: the next run goes on{when}")
        if status < HTTPStatus.BAD_REQUEST:
            where = self._shown(answer.headers.get("location", ""))
            hint = "set proposals.api, and proposals.repository, to where that is now"
            return Stalled(f"{said}: it has moved to {where or 'nowhere'}", hint, "Redirected")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Transient(f"{said} (its own failure)", _AGAIN)
        if status in _NO_ACCESS:
            return Stalled(said, _NO_ACCESS[status], "AccessRefused")
        return ForgeRefused(said, _NOT_FOUND if status == HTTPStatus.NOT_FOUND else _REFUSED, status)

    def _shown(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return one_line(redacted(text), _SHOWN)


def authorization(kind: ForgeKind, token: str) -> dict[str, str]:
    """Return the header that says who asks."""
    if kind == "gitlab":
        return {"PRIVATE-TOKEN": token}
    return {"Authorization": f"{_AUTHORIZATION[kind]} {token}"}


def _exchanged(
    connection: http.client.HTTPConnection,
    left: float,
    asked: tuple[str, str, bytes | None, Mapping[str, str]],
) -> tuple[int, dict[str, str], bytes]:
    """Ask, and return status, headers, and as much of the body as counts; fail when the time is over."""
    # A connection forgets its socket once an answer that ends with it has begun.
    held: list[socket.socket] = []
    watch = threading.Timer(left, _cut, (connection, held))
    watch.daemon = True
    watch.start()
    method, target, data, headers = asked
    try:
        connection.connect()
        held.append(connection.sock)
        connection.request(method, target, data, dict(headers))
        with connection.getresponse() as answered:
            told = {name.lower(): value for name, value in answered.getheaders()}
            return answered.status, told, answered.read(AT_MOST + 1)
    finally:
        watch.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection, held: list[socket.socket]) -> None:
    """End whatever is waited for: a read of the socket returns at once."""
    for one in (*held, connection.sock):
        if one is not None:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _words(body: bytes) -> str:
    """Return what an answer says for people: the fields of the three forges that have it, else its text."""
    try:
        told = canonical.read(body[:AT_MOST])
    except (ValueError, RecursionError):
        return body[: 4 * _SHOWN].decode("utf-8", "replace")
    if not isinstance(told, dict):
        return str(told)[: 4 * _SHOWN]
    parts = [told.get("message"), told.get("error"), told.get("error_description")]
    errors = told.get("errors")
    if isinstance(errors, list):
        parts += [one.get("message") if isinstance(one, dict) else one for one in errors[:5]]
    flat = (part if isinstance(part, list) else [part] for part in parts)
    return "; ".join(dict.fromkeys(str(one)[: 4 * _SHOWN] for some in flat for one in some[:5] if one))
