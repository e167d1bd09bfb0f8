"""``patchledger fleet``: publish what many hosts reported, show it, and write it for monitoring."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from reconciler.cli.showing import fleet as shown
from reconciler.cli.showing.terminal import Format, colour, note, print_json, tell, width
from reconciler.cli.wiring.fleet import folder_of, sources
from reconciler.durable import replace_file
from reconciler.errors import DONE, PENDING, Misuse, Stalled, exit_code, worst
from reconciler.fleet.reading import FleetRead, Gathered, last_gathered, read_fleet
from reconciler.host.config import Config, load_config
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.fleet.pages import as_csv, open_metrics
from reconciler.planning.fleet.rows import Row, as_of, worst_first
from reconciler.planning.fleet.summary import SILENT_AFTER, counted
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.wording import plural
from reconciler.policy.problems import visible
from reconciler.policy.values import as_duration, nearest
from reconciler.records import dataclass

if TYPE_CHECKING:  # whoever tells nobody needs no notifier, and whoever prints lines no schema
    from reconciler.cli.showing.interfaces import FleetPublish
    from reconciler.notify import Outbox, OutboxMessenger

_Answer = TypeVar("_Answer")
_OUTBOX = "fleet-outbox"
_METRICS_MODE = 0o644


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """What ``fleet publish`` is told; its help says what each is."""

    config: str
    policy: str | None
    reports: Sequence[str]
    signing_key: str
    accept_rewritten: Sequence[str]
    notify: Sequence[str]
    silent_after: str | None
    format: Format


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """What ``fleet status`` is told; its help says what each is."""

    config: str
    target: str | None
    label: Sequence[str]
    state: Sequence[str]
    manager: str | None
    policy: str | None
    check: bool
    fetch: bool
    silent_after: str | None
    format: Literal["text", "json", "csv"]


def publish(options: PublishOptions) -> int:
    """Read, verify and publish the fleet, and return 0, or the exit code of the worst that went wrong.

    Raises:
        ReconcilerError: Nothing could be read, or an argument or the configuration is wrong.
        Stalled: The file system refuses.
    """
    config = load_config(Path(options.config))
    messenger = _messenger(config, options)
    asked = sources(
        config,
        options.policy,
        options.reports,
        options.accept_rewritten,
        silent_after=SILENT_AFTER if options.silent_after is None else _span(options.silent_after),
        changed=None if messenger is None else partial(_keep, messenger.outbox, options.notify),
    )
    key = Path(options.signing_key).absolute()
    done = _at_disk(lambda: read_fleet(asked, SystemClock().now(), key))
    note(*done.notices)
    for problem in done.problems:
        tell(problem)
    if messenger is not None:
        note(*(untold.sentence for untold in messenger.deliver(SystemClock().now())))
        note(*messenger.outbox.complaints(SystemClock().now()))
    if options.format == "json":
        print_json(plain(_published(done)))
    else:
        sys.stdout.write(_published_text(done))
    return worst([*map(exit_code, done.problems), DONE])


def status(options: StatusOptions) -> int:
    """Show the fleet, or one target, and return 0, or 4 where that was asked for and is so.

    Raises:
        Misuse: There is no such target, nothing was gathered yet, or an argument is wrong.
        ReconcilerError: As of :func:`publish`, with ``--fetch``.
    """
    config = load_config(Path(options.config))
    if options.silent_after is not None and not options.fetch:
        raise Misuse("--silent-after is about how reports are read", "give --fetch too")
    codes = _fetched(config, options.silent_after) if options.fetch else []
    fleet = _gathered(config)
    now = SystemClock().now()
    every = worst_first(as_of(row, now, fleet.head.silent_after) for row in fleet.rows)
    rows = [_one(every, options.target)] if options.target else _chosen(every, options)
    if options.check and not rows and _is_group(options) and not _chosen(every, replace(options, state=())):
        raise Misuse(
            "no target is chosen, so that nothing is watched", "look at --label, --manager, --policy"
        )
    _print(fleet, rows, options)
    is_alarm = options.check and any(row.alarms for row in rows)
    return worst([*codes, PENDING if is_alarm else DONE])


def metrics(config_file: str, output: str | None) -> int:
    """Write the fleet as metrics, and return 0.

    Raises:
        Misuse: Nothing was gathered yet, or the configuration is wrong.
        Stalled: The file cannot be written.
    """
    fleet = _gathered(load_config(Path(config_file)))
    now = SystemClock().now()
    rows = [as_of(row, now, fleet.head.silent_after) for row in fleet.rows]
    told = open_metrics(fleet.head, rows, now, fleet.at)
    if output is None:
        sys.stdout.write(told.decode())
    else:
        _at_disk(lambda: replace_file(Path(output).absolute(), told, _METRICS_MODE))
    return DONE


def _at_disk(work: Callable[[], _Answer]) -> _Answer:
    try:
        return work()
    except OSError as error:
        said = f"{error.filename or 'the file system'}: {error.strerror}"
        raise Stalled(said, "free space, or run as the owner of that folder") from error


def _messenger(config: Config, options: PublishOptions) -> "OutboxMessenger | None":
    """Return who tells the notifiers that are named, ``None`` where none is."""
    if not options.notify:
        return None
    from reconciler.cli.wiring.notifiers import notifiers_of
    from reconciler.host.install.credentials import folder_beside
    from reconciler.notify import AppriseSender, Outbox, OutboxMessenger

    for name in options.notify:
        if name not in config.notifiers:
            known = nearest(name, list(config.notifiers))
            raise Misuse(f"there is no notifier {visible(name)}", known or "add it to notifiers")
    notifiers = notifiers_of(config, folder_beside(Path(options.config)))
    send = AppriseSender(notifiers, environment=config.environment)
    return OutboxMessenger(Outbox(config.state_dir / _OUTBOX), send)


def _keep(
    outbox: "Outbox", names: Sequence[str], before: Sequence[Row], after: Sequence[Row], since: str
) -> None:
    """Keep in the outbox what is to be told, before the rows are remembered."""
    from reconciler.planning.fleet.changes import EVENTS, changes, notice
    from reconciler.planning.notices.events import Route

    told = notice(changes(before, after), "fleet", SystemClock().now(), since)
    if told is not None:
        for name in names:
            outbox.enqueue(told, Route(name, EVENTS))


def _published(done: FleetRead) -> "FleetPublish":
    from reconciler.cli.showing.interfaces import FleetBranch, FleetPublish, TickProblem

    branches = (FleetBranch(remote, one.commit, one.is_new) for remote, one in done.published.items())
    states = {str(state): number for state, number in counted(done.fleet.lines).items()}
    problems = (TickProblem(one.message, one.hint) for one in done.problems)
    return FleetPublish(tuple(branches), states, done.notices, tuple(problems))


def _published_text(done: FleetRead) -> str:
    states = ", ".join(f"{number} {state}" for state, number in counted(done.fleet.lines).items())
    lines = [f"{plural(len(done.fleet.lines), 'target')}{': ' if states else ''}{states}"]
    for remote, one in done.published.items():
        said = "published" if one.is_new else "nothing new since"
        lines.append(f"{said} {one.commit[:12]} on {remote}")
    return "".join(f"{visible(line)}\n" for line in lines)


def _span(text: str) -> timedelta:
    """Return the length of a silence; how long a host may be silent, is not for the host to say."""
    try:
        span = as_duration(text)
    except ValueError as error:
        said = f"--silent-after {visible(text)} is no duration"
        raise Misuse(said, "write 36h, 3d or 2w") from error
    if not span:
        raise Misuse("--silent-after is nothing", "a host is silent between any two reports; write 36h or 3d")
    return span


def _fetched(config: Config, silent_after: str | None) -> list[int]:
    span = None if silent_after is None else _span(silent_after)
    done = _at_disk(lambda: read_fleet(sources(config, silent_after=span), SystemClock().now()))
    note(*done.notices)
    for problem in done.problems:
        tell(problem)
    return [exit_code(problem) for problem in done.problems]


def _gathered(config: Config) -> Gathered:
    found = last_gathered(folder_of(config))
    if found is None:
        raise Misuse(
            f"{folder_of(config)}: no reports were read yet",
            "run `patchledger fleet status --fetch`, or `fleet publish`",
        )
    return found


def _one(rows: Sequence[Row], target: str) -> Row:
    for row in rows:
        if row.target == target:
            return row
    raise Misuse(f"there is no target {visible(target)}", nearest(target, [row.target for row in rows]))


def _chosen(rows: Sequence[Row], options: StatusOptions) -> list[Row]:
    labels = [label_of("--label", text) for text in options.label]
    return [
        row
        for row in rows
        if all(row.labels.get(key) == value for key, value in labels)
        and (not options.state or row.state in options.state)
        and options.manager in {None, row.manager}
        and (options.policy is None or options.policy in row.policies)
    ]


def _is_group(options: StatusOptions) -> bool:
    """Say whether some targets are chosen by what they are, and not by how they are."""
    return bool(options.label or options.manager or options.policy)


def label_of(option: str, text: str) -> tuple[str, str]:
    """Return key and value of a label that an option names.

    Raises:
        Misuse: It is none.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Misuse(f"{option} {visible(text)} is no label", "write it as KEY=VALUE")
    return key, value


def _print(fleet: Gathered, rows: Sequence[Row], options: StatusOptions) -> None:
    match options.format:
        case "json":
            from reconciler.cli.showing.interfaces import FleetStatus

            states = {str(state): number for state, number in counted(rows).items()}
            head = fleet.head
            told = FleetStatus(fleet.at, head.policy_commit, head.policy_is_verified, states, tuple(rows))
            print_json(plain(told))
        case "csv":
            sys.stdout.write(as_csv(rows))
        case "text":
            columns = width() if sys.stdout.isatty() else None
            if options.target:
                lines = shown.in_full(rows[0], columns, colour=colour())
            else:
                lines = shown.overview(fleet.head, rows, fleet.at, columns, colour=colour())
            sys.stdout.write("".join(f"{line}\n" for line in lines))
