"""Send messages through apprise, in a child process of their own.

apprise costs half a second and 40 MiB, writes addresses into its log, and its answer is only yes or no. So it
lives in :mod:`reconciler.notify.send`, which gets messages and addresses on standard input, writes one line
with a word of a closed list for each message, and is thrown away.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from reconciler.errors import Misuse
from reconciler.notify.addresses import Address, Notifiers, redact, secrets_of
from reconciler.notify.outbox import Down, Pending, Refused, Sent, Verdict
from reconciler.process import Completed, run

_CHILD = Path(__file__).with_name("send.py")
_PROBE = Path(__file__).with_name("probe.py")
_OUTPUT_LIMIT = 1024 * 1024


class ServiceAnswer(StrEnum):
    """What the child says of one message; the words of :mod:`reconciler.notify.send`."""

    SENT = "sent"
    BAD_ADDRESS = "bad-address"
    UNTRUSTED = "untrusted-certificate"
    LOGIN = "login-refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    SERVER = "server-error"
    REFUSED = "refused"
    UNKNOWN = "unknown"

    @property
    def sentence(self) -> str:
        """What it means, in words without anything of the address."""
        match self:
            case ServiceAnswer.SENT:
                said = "the service took this message"
            case ServiceAnswer.BAD_ADDRESS:
                said = "apprise does not understand the address of this notifier"
            case ServiceAnswer.UNTRUSTED:
                said = "the certificate of the service is not trusted; SSL_CERT_FILE can name its authority"
            case ServiceAnswer.LOGIN:
                said = "the service refused user or password"
            case ServiceAnswer.UNREACHABLE:
                said = "the service cannot be reached"
            case ServiceAnswer.TIMEOUT:
                said = "the service did not answer in time"
            case ServiceAnswer.SERVER:
                said = "the service answered with an error of its own"
            case ServiceAnswer.REFUSED:
                said = "the service refused this message"
            case ServiceAnswer.UNKNOWN:
                said = "the service could not be used"
        return said


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


def cause_of(verdict: Down) -> ServiceAnswer | None:
    """Return what a sentence of :class:`AppriseSender` stands for; ``None`` where nothing was sent at all."""
    return next((answer for answer in ServiceAnswer if answer.sentence == verdict.reason), None)


class AppriseSender:
    """Sends through the notifiers of this host; is a :data:`reconciler.notify.outbox.Send`.

    Args:
        notifiers: Where the addresses are.
        environment: Added to the child's environment, such as proxies, or ``SSL_CERT_FILE`` with the
            certificates of a private authority; the latter then holds for https too.
        timeout: Seconds for a whole delivery; what was sent before it ended counts as sent.
    """

    def __init__(
        self, notifiers: Notifiers, *, environment: Mapping[str, str] | None = None, timeout: float = 120.0
    ) -> None:
        self._notifiers = notifiers
        self._environment = dict(environment or {})
        if "SSL_CERT_FILE" in self._environment:
            # requests, which apprise uses for https, knows the same thing by another name.
            self._environment.setdefault("REQUESTS_CA_BUNDLE", self._environment["SSL_CERT_FILE"])
        self._timeout = timeout

    def __call__(self, messages: Sequence[Pending]) -> Sequence[Verdict | None]:
        """Try ``messages`` in order, those of one notifier until it is found to be down.

        Returns:
            One verdict for each message; ``None`` for one that was not tried. A notifier without a usable
            address is down. No verdict contains anything of an address.
        """
        addresses: dict[str, Address] = {}
        unusable: dict[str, Verdict] = {}
        for name in dict.fromkeys(message.to for message in messages):
            try:
                addresses[name] = self._notifiers.address(name)
            except Misuse as problem:
                unusable[name] = Down(problem.message)
        verdicts: list[Verdict | None] = [
            unusable.pop(message.to, None) if message.to not in addresses else None for message in messages
        ]
        if addresses:
            self._send(messages, addresses, verdicts)
        return verdicts

    def _send(
        self, messages: Sequence[Pending], addresses: Mapping[str, Address], verdicts: list[Verdict | None]
    ) -> None:
        numbered = [(number, each) for number, each in enumerate(messages) if each.to in addresses]
        request = [
            {
                "number": number,
                "url": addresses[each.to].reveal(),
                "title": each.title,
                "text": each.text,
                "markdown": each.markdown,
                "html": each.html,
                "trouble": each.event.value,
            }
            for number, each in numbered
        ]
        completed = run(
            [sys.executable, "-I", str(_CHILD)],
            env=self._environment,
            stdin=json.dumps(request).encode(),
            timeout=self._timeout,
            limit=_OUTPUT_LIMIT,
        )
        for number, verdict in _answers(completed):
            if 0 <= number < len(verdicts):
                verdicts[number] = verdict
        self._close(completed, numbered, verdicts, addresses)

    def _close(
        self,
        completed: Completed,
        numbered: Sequence[tuple[int, Pending]],
        verdicts: list[Verdict | None],
        addresses: Mapping[str, Address],
    ) -> None:
        """Blame a child that died or hung on the message it was at, so that it counts as an attempt."""
        if completed.returncode == 0 and not completed.timed_out:
            return
        reason = (
            ServiceAnswer.TIMEOUT.sentence
            if completed.timed_out
            else f"the sending process ended with code {completed.returncode}"
        )
        secrets = frozenset[str]().union(*(secrets_of(address) for address in addresses.values()))
        down = {each.to for number, each in numbered if isinstance(verdicts[number], Down)}
        for number, each in numbered:
            if verdicts[number] is None and each.to not in down:
                verdicts[number] = Down(redact(reason, secrets))
                return


def _answers(completed: Completed) -> list[tuple[int, Verdict]]:
    """Read the child's lines; an unfinished or foreign line is no answer."""
    found: list[tuple[int, Verdict]] = []
    for line in completed.lines:
        number, _, word = line.partition(" ")
        if number.isdecimal() and word in set(ServiceAnswer):
            found.append((int(number), _verdict(ServiceAnswer(word))))
    return found


def _verdict(answer: ServiceAnswer) -> Verdict:
    match answer:
        case ServiceAnswer.SENT:
            return Sent()
        case ServiceAnswer.REFUSED:
            return Refused(answer.sentence)
        case (
            ServiceAnswer.BAD_ADDRESS
            | ServiceAnswer.UNTRUSTED
            | ServiceAnswer.LOGIN
            | ServiceAnswer.UNREACHABLE
            | ServiceAnswer.TIMEOUT
            | ServiceAnswer.SERVER
            | ServiceAnswer.UNKNOWN
        ):
            return Down(answer.sentence)
