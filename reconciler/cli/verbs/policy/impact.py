"""``policy impact``: what a change of policy does to a fleet, before it is merged."""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from reconciler.cli.showing import impact as shown
from reconciler.cli.showing.terminal import colour, counter, json_text, note, print_json, width
from reconciler.cli.verbs.windows import YEARS
from reconciler.durable import AS_THE_CALLER_WANTS, replace_file
from reconciler.errors import DONE, FAILED, PENDING, REJECTED, Misuse, Stalled, worst
from reconciler.fleet.reported import Reports, Watching, opened, read_published
from reconciler.fleet.verified_policy import GivenPolicy
from reconciler.gitops.revision import find_commits, no_commit, read_folder, read_revisions
from reconciler.gitops.surrounding import locate
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.fleet.rows import Row
from reconciler.planning.impact.comparison import Comparison
from reconciler.planning.impact.effect import Impact, Peril, Unjudged
from reconciler.planning.impact.markdown import comment
from reconciler.planning.impact.page import page
from reconciler.planning.impact.sides import Side, side_of
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.wording import listed, plural
from reconciler.policy.problems import visible
from reconciler.records import dataclass

_TOLD_EVERY = 50
_NAMED = 20
"""Targets that are named because their newest report is not believed."""
LOOKED_AT = timedelta(days=30)
"""Windows that begin in this time are compared."""


@dataclass(frozen=True, slots=True)
class ImpactOptions:
    """What ``policy impact`` is told; its help says what each is."""

    folder: str
    base: str
    head: str | None
    summary: Sequence[str] | None
    reports: Sequence[str] | None
    cache: str | None
    at: str | None
    output: str | None
    exit_code: bool
    forbid: Sequence[str]
    format: Literal["text", "json", "markdown"]


def impact(options: ImpactOptions) -> int:
    """Print what changes.

    Returns:
        0; 1 where something happens that ``--forbid`` names; 3 where a policy is invalid; with
        ``--exit-code`` 4 where a host changes.

    Raises:
        Misuse: There is no such folder, revision or summary, or an argument is wrong.
        ReconcilerError: A repository cannot be read, or the folder of ``--output`` not written.
    """
    forbidden = _perils(options.forbid)
    at = SystemClock().now() if options.at is None else _instant(options.at)
    if options.cache is not None and options.reports is None:
        raise Misuse("--cache keeps copies of report repositories", "give --reports too, or leave it out")
    base, head = _sides(options)
    if options.summary is not None:
        found = _by_summary(options.summary, base, head, at)
    else:
        try:
            found = _by_reports(options, base, head, at)
        except OSError as error:
            said = f"cannot keep copies of reports: {error.filename or 'the file system'}: {error.strerror}"
            raise Stalled(said, "free space, or give another folder as --cache") from error
    if options.output is not None:
        _write(found, Path(options.output))
    _print(found, options.format)
    met = [one for one in found.concerns if one.peril in forbidden]
    for concern in met:
        note(f"forbidden: {concern.peril}: {shown.with_hosts(concern.message, concern.hosts)}")
    is_invalid = bool(found.base.problems or found.head.problems)
    is_news = options.exit_code and found.changed > 0
    return worst([FAILED if met else DONE, REJECTED if is_invalid else DONE, PENDING if is_news else DONE])


def _perils(lists: Iterable[str]) -> frozenset[Peril]:
    """Read what is forbidden; a word that is unknown is a mistake, since a gate with it would never close."""
    words = [word.strip() for text in lists for word in text.split(",")]
    unknown = [word for word in words if word not in {*Peril}]
    if unknown:
        named = listed([f"'{visible(word)}'" for word in unknown], len(unknown))
        raise Misuse(f"--forbid knows no {named}", f"take of these: {', '.join(Peril)}")
    return frozenset(map(Peril, words))


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misuse(f"--at {visible(text)}: {error}", "write it as 2026-12-24T02:00Z") from None
    if at.tzinfo is None:
        raise Misuse(f"--at {visible(text)} has no offset", "write it as 2026-12-24T02:00Z")
    if at.year not in YEARS:
        raise Misuse(f"--at {visible(text)}: windows are told for the years {YEARS[0]} to {YEARS[-1]}")
    return at.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class _Base:
    """The policy in force, and the same as it says whose reports are whose."""

    side: Side
    policy: GivenPolicy


def _sides(options: ImpactOptions) -> tuple[_Base, Side]:
    place = locate(Path(options.folder))
    git_dir, below = place.git_dir, place.folder
    names = [options.base, *([] if options.head is None else [options.head])]
    commits = find_commits(git_dir, names)
    is_folder = options.head is not None and not commits[-1] and Path(options.head).is_dir()
    if is_folder:
        commits.pop()
    if "" in commits:
        raise no_commit(git_dir, names[commits.index("")])
    read = read_revisions(git_dir, commits, folder=below)
    sides = [side_of(*one) for one in zip(read, names, commits, strict=False)]
    base = _Base(sides[0], GivenPolicy(git_dir, commits[0], f"{below}/" if below else ""))
    if len(sides) > 1:
        return base, sides[1]
    folder = options.folder if options.head is None else options.head
    return base, side_of(read_folder(Path(folder)), f"the files of {folder}")


def _compared(base: Side, head: Side, rows: Iterable[Row], at: datetime) -> Comparison:
    return Comparison(base, head, rows, at, at + LOOKED_AT)


def _newest(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each target, of several the newest."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.get(row.target)
        if known is None or (row.heard is not None and (known.heard is None or row.heard > known.heard)):
            found[row.target] = row
    return list(found.values())


def _by_summary(addresses: Sequence[str], base: _Base, head: Side, at: datetime) -> Impact:
    found = [read_published(one, base.policy, SystemClock().now()) for one in addresses]
    note(*(notice for one in found for notice in one.notices))
    rows = _newest(row for one in found for row in one.rows)
    return _compared(base.side, head, rows, at).impact("summary")


def _by_reports(options: ImpactOptions, base: _Base, head: Side, at: datetime) -> Impact:
    watching = Watching(counter("objects are fetched"), counter("reports are read"))
    cache = None if options.cache is None else Path(options.cache)
    addresses, now = options.reports or (), SystemClock().now()
    with opened(addresses, base.policy, now, cache=cache, watching=watching) as reports:
        if not any(row.branch for row in reports.rows):
            raise Misuse("there is no report", "name a repository that has branches hosts/...")
        note(*reports.notices)
        _name(list(reports.unproved))
        compared = _compared(base.side, head, reports.rows, at)
        _judge(compared, reports, counter("plans are made again"))
        found = compared.impact("reports")
        _name_unread(found.unread)
        return found


def _name(unproved: Sequence[Row]) -> None:
    """Name targets whose newest report is not believed."""
    for row in unproved[:_NAMED]:
        older = "; it is judged by its last report that is its own" if row.is_known else ""
        note(f"{row.target}: {row.reason}{older}")
    if len(unproved) > _NAMED:
        note(f"so it is with {plural(len(unproved) - _NAMED, 'more target')}")


def _name_unread(unread: Sequence[Unjudged]) -> None:
    """Name the first host whose recording cannot be read, and say how many there are."""
    if unread:
        more = f", and so {plural(len(unread) - 1, 'other host')}" if len(unread) > 1 else ""
        note(f"{unread[0].target} is judged by numbers alone: {unread[0].reason}{more}")


def _judge(compared: Comparison, reports: Reports, tell: Callable[[int, int], None] | None) -> None:
    """Make the plans again of all hosts that stand for others, one recording at a time."""
    samples = compared.samples()
    for number, one in enumerate(reports.recordings(samples), 1):
        if one.recording is None:
            compared.pass_over(one.target, one.problem)
        else:
            compared.judge(one.target, one.recording)
        if tell is not None and (number % _TOLD_EVERY == 0 or number == len(samples)):
            tell(number, len(samples))


def _write(found: Impact, folder: Path) -> None:
    """Write all forms into a folder, which is made.

    Raises:
        Stalled: The file system refuses.
    """
    files = {"impact.json": json_text(plain(found)), "impact.md": comment(found), "impact.html": page(found)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            replace_file(folder.absolute() / name, text.encode(), AS_THE_CALLER_WANTS)
    except OSError as error:
        said = f"cannot write {error.filename or folder}: {error.strerror}"
        raise Stalled(said, "free space, or give another folder") from error


def _print(found: Impact, form: Literal["text", "json", "markdown"]) -> None:
    match form:
        case "json":
            print_json(plain(found))
        case "markdown":
            sys.stdout.write(comment(found))
        case "text":
            _print_text(found)


def _print_text(found: Impact) -> None:
    columns = width() if sys.stdout.isatty() else None
    sys.stdout.writelines(f"{line}\n" for line in shown.overview(found, columns, colour=colour()))
