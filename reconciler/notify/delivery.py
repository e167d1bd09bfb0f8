"""Send messages through apprise, in a child process of their own.

apprise costs half a second and 40 MiB, writes addresses into its log, and its answer is only yes or no. So it
lives in :mod:`reconciler.notify.send`, which is given one message with its address after the other on
standard input, answers each with a word of a closed list, and is thrown away. It ends when we do.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Self

from reconciler.errors import Misuse
from reconciler.notify.addresses import Address, Notifiers, redact, secrets_of
from reconciler.notify.entries import Down, Gone, Later, Pending, Refused, Sent, Verdict
from reconciler.process import Dialogue, run

_CHILD = Path(__file__).with_name("send.py")
_PROBE = Path(__file__).with_name("probe.py")
_OUTPUT_LIMIT = 1024 * 1024


class ServiceAnswer(StrEnum):
    """What the child says of one message; the words of :mod:`reconciler.notify.send`."""

    SENT = "sent"
    GONE = "gone"
    BAD_ADDRESS = "bad-address"
    UNTRUSTED = "untrusted-certificate"
    NO_ENCRYPTION = "no-encryption"
    CLEAR_PASSWORD = "clear-password"  # noqa: S105 - a word of ours
    LOGIN = "login-refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    SERVER = "server-error"
    BUSY = "busy"
    REDIRECTED = "redirected"
    HOST_REFUSED = "host-refused"
    SENDER_REFUSED = "sender-refused"
    RECEIVER_LATER = "receiver-later"
    MESSAGE_LATER = "message-later"
    RECEIVER_REFUSED = "receiver-refused"
    REFUSED = "refused"
    ODD = "odd-answer"
    NOTHING_SENT = "nothing-sent"
    UNKNOWN = "unknown"

    @property
    def sentence(self) -> str:
        """What it means, in words without anything of the address."""
        return _SENTENCES[self]

    @property
    def hint(self) -> str:
        """What to look at, for a person."""
        return _HINTS.get(
            self, "see whether the address is one that its service takes, in the documentation of apprise"
        )


_SENTENCES = {
    ServiceAnswer.SENT: "the service took this message",
    ServiceAnswer.GONE: "the address does not name this receiver any more",
    ServiceAnswer.BAD_ADDRESS: "apprise does not understand the address of this notifier",
    ServiceAnswer.UNTRUSTED: (
        "the certificate of the service is not trusted; SSL_CERT_FILE can name its authority"
    ),
    ServiceAnswer.NO_ENCRYPTION: "the server does not offer the encryption that the address asks for",
    ServiceAnswer.CLEAR_PASSWORD: (
        "the address would send its password unencrypted: use mailtos://, or say mode=insecure in it"
    ),
    ServiceAnswer.LOGIN: "the service refused user or password",
    ServiceAnswer.UNREACHABLE: "the service cannot be reached",
    ServiceAnswer.TIMEOUT: "the service did not answer in time",
    ServiceAnswer.SERVER: "the service answered with an error of its own",
    ServiceAnswer.BUSY: "the service is busy or takes no more for now; it is asked again",
    ServiceAnswer.REDIRECTED: "the service is somewhere else, which the address has to name",
    ServiceAnswer.HOST_REFUSED: "the server takes nothing from this host",
    ServiceAnswer.SENDER_REFUSED: "the server refused the sender of this mail, `from=` of the address",
    ServiceAnswer.RECEIVER_LATER: "the server takes nothing for this receiver now; it is asked again",
    ServiceAnswer.MESSAGE_LATER: "the server did not take this message now; it is asked again",
    ServiceAnswer.RECEIVER_REFUSED: "the server refused this receiver",
    ServiceAnswer.REFUSED: "the service refused this message",
    ServiceAnswer.ODD: "the service answered something that it does not say when it takes a message",
    ServiceAnswer.NOTHING_SENT: "apprise sent nothing, and said that it had",
    ServiceAnswer.UNKNOWN: "the service could not be used",
}


_HINTS = {
    ServiceAnswer.UNTRUSTED: "for a private authority set SSL_CERT_FILE under `environment`",
    ServiceAnswer.NO_ENCRYPTION: "see mode= and the port in the address",
    ServiceAnswer.CLEAR_PASSWORD: "write mailtos:// and mode=starttls or mode=ssl",
    ServiceAnswer.LOGIN: "see the login in the address; special characters are written as %XX",
    ServiceAnswer.UNREACHABLE: "see name, port and firewall",
    ServiceAnswer.TIMEOUT: "see name, port and firewall; ?cto= and ?rto= in the address set seconds",
    ServiceAnswer.SERVER: "try it again; its own log tells why",
    ServiceAnswer.BUSY: "try it again later",
    ServiceAnswer.REDIRECTED: "open the address in a browser, and write where it leads",
    ServiceAnswer.HOST_REFUSED: "ask whoever runs the server to let this host send",
    ServiceAnswer.SENDER_REFUSED: "set from= to a sender that the server knows",
    ServiceAnswer.RECEIVER_LATER: "try it again later",
    ServiceAnswer.MESSAGE_LATER: "try it again later",
    ServiceAnswer.RECEIVER_REFUSED: "take that receiver out of the address, or correct it",
    ServiceAnswer.ODD: "see what answers there, such as a proxy",
}

ANSWERS, CANNOT_BE_ASKED = "answers", "cannot-be-asked"
_PROBE_PATIENCE = 60.0  # seconds


def ask(address: Address, environment: Mapping[str, str]) -> str:
    """Ask whether the notifier at ``address`` answers, without sending anything.

    Args:
        address: Of the notifier.
        environment: As of :class:`AppriseSender`.

    Returns:
        :data:`ANSWERS`, :data:`CANNOT_BE_ASKED` where only a message would tell, or what is wrong, in words
        without anything of the address.
    """
    completed = run(
        [sys.executable, "-I", str(_PROBE)],
        env=environment,
        stdin=address.reveal().encode(),
        timeout=_PROBE_PATIENCE,
        limit=_OUTPUT_LIMIT,
    )
    word = completed.text.strip()
    if word in {ANSWERS, CANNOT_BE_ASKED}:
        return word
    return (ServiceAnswer(word) if word in set(ServiceAnswer) else ServiceAnswer.UNKNOWN).sentence


def cause_of(verdict: Down | Later | Refused) -> ServiceAnswer | None:
    """Return what a sentence of :class:`AppriseSender` stands for; ``None`` where nothing was sent at all."""
    return next((answer for answer in ServiceAnswer if answer.sentence == verdict.reason), None)


# Where Debian, openSUSE, Fedora and others keep the authorities that their administrators trust.
AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
)


def _first_file(places: Sequence[str]) -> str:
    return next((place for place in places if Path(place).is_file()), "")


class AppriseSender:
    """Begins deliveries through the notifiers of this host; is a :data:`reconciler.notify.entries.Send`.

    Args:
        notifiers: Where the addresses are.
        environment: Added to the child's environment, such as proxies, or ``SSL_CERT_FILE`` with the
            certificates of a private authority; the latter then holds for https too.
        timeout: Seconds for a whole delivery; what was sent before it ended counts as sent.
        authorities: Files that may hold the certificates of whom this system trusts; the first that exists.
    """

    def __init__(
        self,
        notifiers: Notifiers,
        *,
        environment: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        authorities: Sequence[str] = AUTHORITIES,
    ) -> None:
        self._notifiers = notifiers
        self._environment = dict(environment or {})
        # requests, which apprise uses for https, has authorities of its own, of the day when it was built.
        trusted = self._environment.get("SSL_CERT_FILE") or _first_file(authorities)
        if trusted:
            self._environment.setdefault("REQUESTS_CA_BUNDLE", trusted)
        self._timeout = timeout

    def __call__(self) -> "AppriseCourier":
        """Begin a delivery: its time runs from now."""
        return AppriseCourier(self._notifiers, self._environment, self._timeout)


class AppriseCourier:
    """One delivery, a context manager; is a :class:`reconciler.notify.entries.Courier`.

    The child is started with the first question, and once more where it died or hung.

    Args:
        notifiers: Where the addresses are.
        environment: Added to the child's environment.
        timeout: Seconds for all of it.
    """

    def __init__(self, notifiers: Notifiers, environment: Mapping[str, str], timeout: float) -> None:
        self._notifiers = notifiers
        self._environment = environment
        self._deadline = monotonic() + timeout
        self._addresses: dict[str, Address] = {}
        self._child: Dialogue | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self._end()

    def receivers(self, to: str) -> tuple[str, ...] | Down:
        """Return the receivers of a notifier; one without a usable address is down."""
        try:
            self._addresses[to] = self._notifiers.address(to)
        except Misuse as problem:
            return Down(problem.message)
        answer = self._ask({"ask": "receivers", "url": self._addresses[to].reveal(), "to": to}, to)
        if isinstance(answer, Down):
            return answer
        found = answer.get("receivers")
        if isinstance(found, list) and found and all(type(each) is str for each in found):
            return tuple(dict.fromkeys(found))
        return Down(_answer(answer).sentence)

    def send(self, entry: Pending) -> Verdict | None:
        """Try to send one message; no verdict contains anything of an address."""
        if self._deadline - monotonic() <= 0:
            return None
        answer = self._ask(
            {
                "ask": "send",
                "url": self._addresses[entry.to].reveal(),
                "to": entry.to,
                "receiver": entry.receiver,
                "title": entry.title,
                "text": entry.text,
                "markdown": entry.markdown,
                "html": entry.html,
                "trouble": entry.event.value,
                "id": entry.name,
                "host": entry.target,
                "incident": entry.incident,
                "closes": entry.closes,
                "opens": entry.opens,
                "shorter": entry.shorter,
            },
            entry.to,
        )
        if isinstance(answer, Down):
            return answer
        return _verdict(_answer(answer), is_one_of_several=bool(entry.receiver))

    def _ask(self, question: Mapping[str, object], to: str) -> dict[str, object] | Down:
        """Ask the child; one that dies or hangs counts as an attempt of what it was asked for."""
        if self._child is None:
            self._child = Dialogue(
                [sys.executable, "-I", str(_CHILD)], env=self._environment, limit=_OUTPUT_LIMIT
            )
        patience = max(0.0, self._deadline - monotonic())
        said = self._child.ask(json.dumps(question).encode(), patience)
        try:
            answer = json.loads(said or b"")
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict):
            return answer
        code = None if self._deadline <= monotonic() else self._child.ended
        self._end()
        if code is None:
            return Down(ServiceAnswer.TIMEOUT.sentence)
        return Down(redact(f"the sending process ended with code {code}", secrets_of(self._addresses[to])))

    def _end(self) -> None:
        if self._child is not None:
            self._child.__exit__()
            self._child = None


def _answer(said: Mapping[str, object]) -> ServiceAnswer:
    word = said.get("word")
    return next((each for each in ServiceAnswer if each == word), ServiceAnswer.UNKNOWN)


def _verdict(answer: ServiceAnswer, *, is_one_of_several: bool) -> Verdict:
    said: Verdict = Down(answer.sentence)
    match answer:
        case ServiceAnswer.SENT:
            said = Sent()
        case ServiceAnswer.GONE:
            said = Gone()
        case ServiceAnswer.REFUSED | ServiceAnswer.RECEIVER_REFUSED:
            said = Refused(answer.sentence)
        case ServiceAnswer.RECEIVER_LATER:
            said = Later(answer.sentence)
        case ServiceAnswer.MESSAGE_LATER:
            said = Later(answer.sentence, holds=False)
        case ServiceAnswer.SERVER | ServiceAnswer.BUSY | ServiceAnswer.ODD if is_one_of_several:
            said = Later(answer.sentence)  # it may be one room that is broken, and not the house
    return said
