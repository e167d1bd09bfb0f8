"""The child that asks whether a notifier answers, and sends nothing: started by path with ``python -I``.

Standard input is one apprise URL. Standard output gets one word of a closed list, as in
:mod:`reconciler.notify.send`, for the same reason: what a library or a server says may hold the address.

- Mail: connect, encrypt as the address says, log in, and leave.
- What has an HTTP server: connect, and for https verify the certificate; no request is made.
- For all else ``cannot-be-asked``.
"""

import contextlib
import smtplib
import socket
import ssl
import sys
from typing import Any
from urllib.parse import urlsplit

import apprise
from apprise.plugins.email import NotifyEmail

_PATIENCE = 15.0  # seconds for one answer
# Those that people run themselves, so that the address names the server.
_OWN_SERVER = frozenset({"json", "xml", "form", "gotify", "apprise", "mmost", "rocket", "ntfy", "matrix"})


def main() -> int:
    """Ask the notifier whose address is on standard input, print the word and return 0."""
    sys.stdout.write(_ask(sys.stdin.read().strip()) + "\n")
    return 0


def _ask(url: str) -> str:
    try:
        return _asked(url)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its text may hold the address
        return next((word for kind, word in _WORDS if isinstance(error, kind)), "unknown")


# The first that fits, since most of them are an OSError too.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "untrusted-certificate"),
    (smtplib.SMTPAuthenticationError, "login-refused"),
    (TimeoutError, "timeout"),
    (smtplib.SMTPException, "server-error"),
    (OSError, "unreachable"),
)


def _asked(url: str) -> str:
    service = apprise.Apprise.instantiate(url)
    if service is None:
        return "bad-address"
    if isinstance(service, NotifyEmail):
        if str(service.secure_mode) == "insecure" and service.password and "mode=insecure" not in url.lower():
            return "clear-password"
        _log_in(service)
        return "answers"
    place = _server(service)
    if place is None:
        return "cannot-be-asked"
    _connect(*place, verify=bool(service.verify_certificate))
    return "answers"


class _Utf8(str):
    """A login with characters beyond ASCII, as the child that sends has it."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding
        return super().encode("utf-8", errors)


def _plain(self: smtplib.SMTP, challenge: object = None) -> str:
    del challenge
    return _Utf8(f"\0{self.user}\0{self.password}")


smtplib.SMTP.auth_plain = _plain  # type: ignore[method-assign]


def _log_in(service: NotifyEmail) -> None:
    context = _context(verify=bool(service.verify_certificate))
    mode = str(service.secure_mode) if service.secure else "insecure"
    host, port = service.smtp_host, service.port or 0
    server = (
        smtplib.SMTP_SSL(host, port, timeout=_PATIENCE, context=context)
        if mode == "ssl"
        else smtplib.SMTP(host, port, timeout=_PATIENCE)
    )
    with server:
        if mode == "starttls":
            server.starttls(context=context)
        if service.user and service.password:
            server.login(_Utf8(service.user), _Utf8(service.password))
        server.noop()


def _server(service: Any) -> tuple[str, int, bool] | None:  # noqa: ANN401 - plugins differ in what they have
    """Return host, port and whether TLS is spoken; ``None`` where the address does not tell."""
    protocol = service.protocol or service.secure_protocol or ()
    names = {protocol} if isinstance(protocol, str) else set(protocol)
    found = urlsplit(str(getattr(service, "notify_url", "") or ""))
    if names & _OWN_SERVER and service.host:
        secure = bool(service.secure)
        return service.host, service.port or (443 if secure else 80), secure
    if found.scheme in {"http", "https"} and found.hostname and "{" not in found.netloc:
        secure = found.scheme == "https"
        return found.hostname, found.port or (443 if secure else 80), secure
    return None


def _connect(host: str, port: int, secure: bool, *, verify: bool) -> None:  # noqa: FBT001 - of this module alone
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((host, port), timeout=_PATIENCE))
        if secure:
            stack.enter_context(_context(verify=verify).wrap_socket(connection, server_hostname=host))


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


if __name__ == "__main__":
    sys.exit(main())
