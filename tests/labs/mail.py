"""A mail server on loopback that answers each receiver as it is told."""

import asyncio
import email
import email.policy
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

OK = "250 OK"
UNKNOWN = "550 5.1.1 no such user"
GREYLISTED = "451 4.7.1 greylisted, come back later"


@dataclass
class Post:
    """A running server.

    Attributes:
        rcpt: What it says to RCPT of an address; :data:`OK` to all others.
        data: What it says at the end of a mail, empty for closing the connection without a word.
        slow: Seconds that it takes for each mail.
        mails: What it took, by receiver.
        asked: How often each receiver was named to it.
    """

    port: int = 0
    rcpt: dict[str, str | Callable[[], str]] = field(default_factory=dict)
    data: Callable[[], str] = lambda: OK
    slow: float = 0
    mails: dict[str, list[EmailMessage]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    async def handle_RCPT(  # noqa: N802 - the library's name and arguments
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        self.asked[address] += 1
        answer = self.rcpt.get(address, OK)
        said = answer if isinstance(answer, str) else answer()
        if said == OK:
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del session
        await asyncio.sleep(self.slow)
        said = self.data()
        if said == OK:
            assert isinstance(envelope.content, bytes)
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(mail, EmailMessage)
            for receiver in envelope.rcpt_tos:
                self.mails.setdefault(receiver, []).append(mail)
        if not said and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        return said or OK

    def subjects(self) -> dict[str, list[str]]:
        """Return the subjects that it took, by receiver, in their order."""
        return {receiver: [str(mail["Subject"]) for mail in mails] for receiver, mails in self.mails.items()}

    def url(self, *receivers: str, more: str = "") -> str:
        """Return the apprise address of this server for some receivers."""
        names = ",".join(receivers)
        return f"mailto://localhost:{self.port}/?smtp=localhost&mode=insecure&from=bot@example.org&to={names}{more}"


class _AnyPort(Controller):
    def factory(self) -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(self.handler)

    def _trigger_server(self) -> None:
        # The one moment between listening and the library's own first connection.
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # the library's own, without annotations


@contextmanager
def serve(post: Post) -> Iterator[Post]:
    """Serve on a free port while the context is open."""
    controller = _AnyPort(post, hostname="127.0.0.1", port=0)
    controller.start()
    post.port = controller.port
    try:
        yield post
    finally:
        controller.stop()
