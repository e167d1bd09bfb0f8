"""``patchledger guests``: which guests this hypervisor has, and why one would not be looked after."""

import sys
from collections.abc import Iterator
from pathlib import Path

from reconciler.cli.showing.interfaces import GuestList, GuestState, ListedGuest
from reconciler.cli.showing.table import Paint, Row, Style, table
from reconciler.cli.showing.terminal import Format, colour, note, print_json, width
from reconciler.cli.wiring.guests import guests_of
from reconciler.errors import DONE, FAILED
from reconciler.host.config import load_config
from reconciler.planning.facts.guests import (
    FrozenGuest,
    Gone,
    Guest,
    Inventory,
    Locked,
    Moved,
    Running,
    State,
    Stopped,
    Template,
    Unsupported,
)
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import plural
from reconciler.policy.problems import visible

_NAME = 60
_COLUMNS = ("Id", "Kind", "Name", "State", "Labels", "Why not")
_NOT_YET = "This version lists guests and does nothing in them."


def run(path: str, form: Format) -> int:
    """Print the guests, and return 0, or 1 where one of the places could not be looked into.

    Raises:
        Misuse: The configuration is wrong.
    """
    config = load_config(Path(path))
    found = Inventory((), (), ()) if config.guests is None else guests_of(config.guests)
    listed = tuple(map(_listed, found.guests))
    if form == "json":
        places = () if config.guests is None else config.guests.from_
        print_json(plain(GuestList(config.host, places, listed, found.problems, found.notes)))
    elif config.guests is None:
        sys.stdout.write("No guests are looked for: the configuration has no `guests`.\n")
    else:
        _show(config.host, listed, found)
    return FAILED if found.problems else DONE


def _show(host: str, listed: tuple[ListedGuest, ...], found: Inventory) -> None:
    taken = sum(not guest.left_out for guest in listed)
    sys.stdout.write(f"{host}: {plural(len(listed), 'guest')}, {taken} could be looked after. {_NOT_YET}\n")
    if listed:
        columns = width() if sys.stdout.isatty() else None
        rows = [_row(guest) for guest in listed]
        shown = table(rows, columns, heads=_COLUMNS, indent="", paint=Paint(colour=colour()), style_of=_style)
        sys.stdout.writelines(f"{line}\n" for line in shown)
    for said in (*_odd(listed), *found.notes, *found.problems):
        note(visible(said))


def _odd(listed: tuple[ListedGuest, ...]) -> Iterator[str]:
    for guest in listed:
        yield from (f"{guest.id or one_line(guest.name, _NAME)}: {said}" for said in guest.notes)


def _row(guest: ListedGuest) -> Row:
    state = f"{guest.state} ({guest.detail})" if guest.state in {"locked", "moved"} else guest.state
    labels = ", ".join(f"{key}={value}" for key, value in sorted(guest.labels.items()))
    return (guest.id, guest.kind or "", one_line(guest.name, _NAME), state, labels, guest.left_out)


def _style(row: Row) -> Style:
    return Style.NOTE if row[-1] else Style.PLAIN


def _listed(guest: Guest) -> ListedGuest:
    state, detail = _told(guest.state)
    return ListedGuest(
        id=guest.id,
        name=guest.name,
        kind=guest.kind,
        state=state,
        detail=detail,
        tags=guest.tags,
        labels=dict(guest.labels),
        left_out=guest.left_out,
        notes=guest.notes,
    )


def _told(state: State) -> tuple[GuestState, str]:
    match state:
        case Running():
            told: tuple[GuestState, str] = ("running", "")
        case Stopped():
            told = ("stopped", "")
        case FrozenGuest():
            told = ("frozen", "")
        case Locked(word):
            told = ("locked", word)
        case Template():
            told = ("template", "")
        case Moved(node):
            told = ("moved", node)
        case Gone():
            told = ("gone", "")
        case Unsupported(why):
            told = ("unsupported", why)
    return told
