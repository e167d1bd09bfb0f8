"""Real servers on loopback: SMTP with a private authority, and an HTTP receiver that can be told to fail."""

import asyncio
import os
import ssl
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.labs.mail import Post, serve
from tests.labs.services import Services
from tests.labs.services import serve as serve_all
from tests.labs.webhook import Receiver, receive

USER = "patch-bot"
PASSWORD = "p@ss/w0rd-9f3a"


@dataclass
class Mailbox:
    """A running SMTP server: what it got and where it listens."""

    port: int = 0
    mails: list[Envelope] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    users: list[bytes] = field(default_factory=list)
    password: str = PASSWORD

    async def handle_DATA(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.mails.append(envelope)
        transport = server.transport
        wrapped = transport is not None and transport.get_extra_info("sslcontext") is not None
        self.secure.append(session.ssl is not None or wrapped)
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        del server, session, envelope, mechanism
        good = data.login == USER.encode() and data.password == self.password.encode()
        if good:
            self.users.append(data.login)
        # Not handled: the server itself answers 535.
        return AuthResult(success=good, handled=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


class _AnyPort(Controller):
    """A controller on a port that the kernel chooses."""

    def _trigger_server(self) -> None:
        # The one moment between listening and the library's own first connection.
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # the library's own, without annotations


class _StartTls(_AnyPort):
    def __init__(self, mailbox: Mailbox, context: ssl.SSLContext) -> None:
        self._mailbox, self._context = mailbox, context
        super().__init__(mailbox, hostname="127.0.0.1", port=0)

    def factory(self) -> SMTP:
        return SMTP(
            self._mailbox,
            require_starttls=True,
            tls_context=self._context,
            authenticator=self._mailbox.authenticate,
            auth_required=True,
        )


class _ImplicitTls(_AnyPort):
    def __init__(self, mailbox: Mailbox, context: ssl.SSLContext) -> None:
        self._mailbox = mailbox
        super().__init__(mailbox, hostname="127.0.0.1", port=0, ssl_context=context)

    def factory(self) -> SMTP:
        # The library does not know that the connection is encrypted already, and warns of what is not so.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(
                self._mailbox,
                authenticator=self._mailbox.authenticate,
                auth_required=True,
                auth_require_tls=False,
            )


class _Cleartext(_AnyPort):
    """One who offers no TLS, and would take a password without."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        super().__init__(mailbox, hostname="127.0.0.1", port=0)

    def factory(self) -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(self._mailbox, authenticator=self._mailbox.authenticate, auth_require_tls=False)


def _serve(make: Callable[[Mailbox], Controller]) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    controller = make(mailbox)
    controller.start()
    mailbox.port = controller.port
    yield mailbox
    controller.stop()


@pytest.fixture
def starttls(server_context: ssl.SSLContext) -> Iterator[Mailbox]:
    yield from _serve(lambda mailbox: _StartTls(mailbox, server_context))


@pytest.fixture
def implicit_tls(server_context: ssl.SSLContext) -> Iterator[Mailbox]:
    yield from _serve(lambda mailbox: _ImplicitTls(mailbox, server_context))


@pytest.fixture
def cleartext() -> Iterator[Mailbox]:
    yield from _serve(_Cleartext)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from receive(Receiver(), None)


@pytest.fixture
def secure_receiver(server_context: ssl.SSLContext) -> Iterator[Receiver]:
    yield from receive(Receiver(), server_context)


@pytest.fixture
def keep_secret(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write an address into a private file and return its path."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)

    def write(name: str, url: str) -> Path:
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(url + "\n")
        return path

    return write


@pytest.fixture
def post() -> Iterator[Post]:
    with serve(Post()) as running:
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    assert os.geteuid() == 0, "this test needs root, to mount a small file system"
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def services(authority: trustme.CA) -> Iterator[Services]:
    with serve_all(Services(), authority) as running:
        yield running
