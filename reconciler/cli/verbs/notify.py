"""``patchledger notify test``: one message to each notifier, and what its service says to it."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from reconciler.cli.showing.interfaces import NotifierTried, NotifyTest
from reconciler.cli.showing.terminal import Format, print_json, tell
from reconciler.cli.wiring.notifiers import notifiers_of
from reconciler.errors import (
    FAILED,
    MISUSE,
    TRANSIENT,
    Misuse,
    ReconcilerError,
    Stalled,
    Transient,
    exit_code,
    worst,
)
from reconciler.host.config import Config, load_config
from reconciler.host.install.credentials import folder_beside
from reconciler.host.machine.clock import SystemClock
from reconciler.notify import (
    AppriseSender,
    Courier,
    Down,
    Gone,
    Later,
    Notifiers,
    Outbox,
    Pending,
    Refused,
    Sent,
    ServiceAnswer,
    Verdict,
    cause_of,
)
from reconciler.planning.notices.events import Event
from reconciler.planning.notices.message import Contents, compose
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.wording import minute, plural
from reconciler.records import dataclass

_PATIENCE = 60.0
"""Seconds that one service may take."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one test message.

    Attributes:
        name: Of the notifier.
        problem: Why its service did not take the message, ``None`` where it did; holds nothing of an address.
    """

    name: str
    problem: ReconcilerError | None


def run(config_file: str, name: str | None, form: Format) -> int:
    """Send a test message to one notifier, or to all, and return the exit code of the worst answer.

    Raises:
        Misuse: There is no such notifier, or none at all, or the configuration is wrong.
    """
    config = load_config(Path(config_file))
    waiting = _waiting(config)
    found: list[Answered] = []
    notifiers = notifiers_of(config, folder_beside(Path(config_file)))
    for answered in send_tests(config, _chosen(config, name), notifiers, SystemClock().now()):
        found.append(answered)
        if form == "text":
            _show(answered, waiting[answered.name])
    if form == "json":
        print_json(plain(NotifyTest(tuple(_told(one, waiting[one.name]) for one in found))))
    return worst(exit_code(one.problem) for one in found if one.problem is not None)


def send_tests(
    config: Config, names: Sequence[str], notifiers: Notifiers, now: datetime
) -> Iterator[Answered]:
    """Send a test message through each of ``names`` and yield its answer as soon as it is there.

    The outbox is passed by: what fails here is told at once and not tried again.
    """
    for name in names:
        yield Answered(name, send_test(config, name, notifiers, now))


def send_test(config: Config, name: str, notifiers: Notifiers, now: datetime) -> ReconcilerError | None:
    """Send a test message through one of ``notifiers``; return why its service did not take it.

    Args:
        config: Of the host that sends it; its own notifiers do not matter.
        name: Of the notifier.
        notifiers: Where addresses are had from.
        now: Stands in the message.
    """
    try:
        notifiers.address(name)
    except Misuse as problem:
        return problem
    sender = AppriseSender(notifiers, environment=config.environment, timeout=_PATIENCE)
    with sender() as courier:
        found = courier.receivers(name)
        if isinstance(found, Down):
            return _problem(name, found)
        receivers = ("",) if len(found) == 1 else found
        said = [_try(courier, config.host, name, receiver, now) for receiver in receivers]
    problems = [
        _problem(f"{name} (receiver {place} of {len(said)})" if len(said) > 1 else name, verdict)
        for place, verdict in enumerate(said, 1)
    ]
    if not any(problems):
        Outbox(config.state_dir / "outbox").takes_again(name)
    return max((each for each in problems if each is not None), key=_gravity, default=None)


def _try(courier: Courier, host: str, name: str, receiver: str, now: datetime) -> Verdict | None:
    """Send what opens an incident and what closes it, as services differ in what they do with each."""
    for event in (Event.FAILED, Event.RECOVERED):
        verdict = courier.send(replace(_message(host, name, event, now), receiver=receiver))
        if not isinstance(verdict, Sent):
            break
    return verdict


def _gravity(problem: ReconcilerError) -> int:
    return (0, TRANSIENT, FAILED, MISUSE).index(exit_code(problem))


def _problem(name: str, verdict: Verdict | None) -> ReconcilerError | None:
    match verdict:
        case Sent() | Gone():
            return None
        case Refused(reason):
            return Stalled(f"notifier {name}: {reason}", _hint(verdict))
        case Later(reason):
            return Transient(f"notifier {name}: {reason}", _hint(verdict))
        case Down():
            return _unusable(name, verdict)
        case None:
            return Transient(f"notifier {name}: the message was not tried", "try it again")


def _unusable(name: str, verdict: Down) -> ReconcilerError:
    said = f"notifier {name}: {verdict.reason}"
    match cause_of(verdict):
        case ServiceAnswer.BAD_ADDRESS:
            return Misuse(said, "mend the URL in its credential or file")
        case (
            ServiceAnswer.UNREACHABLE
            | ServiceAnswer.TIMEOUT
            | ServiceAnswer.SERVER
            | ServiceAnswer.BUSY
            | ServiceAnswer.ODD
        ):
            return Transient(said, _hint(verdict))
        case _:
            return Stalled(said, _hint(verdict))


def _hint(verdict: Down | Later | Refused) -> str:
    return (cause_of(verdict) or ServiceAnswer.UNKNOWN).hint


def _chosen(config: Config, name: str | None) -> tuple[str, ...]:
    names = tuple(sorted(config.notifiers))
    if not names:
        raise Misuse(
            "this host's configuration has no notifiers", "add one under notifiers in the configuration file"
        )
    if name is None:
        return names
    if name not in names:
        raise Misuse(f"no notifier is called {name!r} on this host", f"it has {', '.join(names)}")
    return (name,)


def _waiting(config: Config) -> Counter[str]:
    """Count what lies in the outbox for each notifier; nothing where it cannot be read."""
    with contextlib.suppress(Stalled):
        return Counter(each.to for each in Outbox(config.state_dir / "outbox").pending())
    return Counter()


def _message(host: str, name: str, event: Event, now: datetime) -> Pending:
    made = compose(
        host,
        f"test of the notifier {name}: {event}",
        Contents(
            lines=(),
            happened=f"{host}: this message shows that the notifier {name} works; nothing was changed",
            asked="nothing",
            facts=(("Host", host), ("Notifier", name), ("At", minute(now))),
            packages_title="",
            packages=(),
        ),
    )
    return Pending(
        id=sha256(f"{host}\0{name}\0{event}\0{now.isoformat()}".encode()).hexdigest()[:32],
        order=0,
        to=name,
        event=event,
        key=f"{host}/test/{event}",
        at=now,
        title=made.title,
        text=made.text,
        markdown=made.markdown,
        attempts=0,
        not_before=now,
        html=made.html,
        incident=f"{host}/test",
        closes=(f"{host}/test",) if event is Event.RECOVERED else (),
    )


def _show(answered: Answered, waiting: int) -> None:
    said = "answered" if answered.problem is None else "did not take the message"
    more = f"; {plural(waiting, 'message')} wait for it" if waiting else ""
    sys.stdout.write(f"{answered.name}: {said}{more}\n")
    sys.stdout.flush()
    if answered.problem is not None:
        tell(answered.problem)


def _told(answered: Answered, waiting: int) -> NotifierTried:
    problem = answered.problem
    if problem is None:
        return NotifierTried(answered.name, answered=True, message="", hint="", waiting=waiting)
    return NotifierTried(answered.name, False, problem.message, problem.hint, waiting)
