"""``patchledger guests``: which guests this hypervisor has, and why one would not be looked after."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from reconciler.cli.showing.interfaces import GuestList, ListedGuest, UnmeantPolicy
from reconciler.cli.showing.table import Paint, Row, Style, table
from reconciler.cli.showing.terminal import Format, colour, note, print_json, width
from reconciler.cli.wiring.guests import folders_of, guests_of, policy_here
from reconciler.errors import DONE, FAILED, Misuse
from reconciler.host.config import Config, load_config
from reconciler.planning.facts.guests import Guest, Inventory, state_words
from reconciler.planning.facts.matching import Unmeant, unmeant
from reconciler.planning.facts.targets import meant
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import listed, plural
from reconciler.policy.problems import visible

_NAME = 60
_GUESTS = 5
_COLUMNS = ("Id", "Kind", "Name", "State", "Labels", "Why not")


def run(path: str, form: Format, target: str | None = None) -> int:
    """Print the guests, or one, and return 0, or 1 where one of the places could not be looked into.

    Raises:
        Misuse: The configuration is wrong, or there is no such guest.
    """
    config = load_config(Path(path))
    said = config.guests
    found = Inventory((), (), ()) if said is None else guests_of(said, folders_of(config))
    if target is not None:
        found = replace(found, guests=(_one(target, config, found),))
    revision = None if said is None else policy_here(config)
    policies = None if revision is None else unmeant(revision, found.guests, config.host)
    rows = tuple(map(_listed, found.guests))
    if form == "json":
        places = () if said is None else said.from_
        named = None if policies is None else tuple(map(_named, policies))
        print_json(plain(GuestList(config.host, places, rows, found.problems, found.notes, named)))
    elif said is None:
        sys.stdout.write("No guests are looked for: the configuration has no `guests`.\n")
    else:
        _show(config.host, rows, found)
        note(*unmeant_lines(policies or ()))
    return FAILED if found.problems else DONE


def _one(target: str, config: Config, found: Inventory) -> Guest:
    if found.problems:
        note(*found.problems)
    guest = meant(target, config.host, found.guests)
    if guest is None:
        raise Misuse(f"{config.host} is this host, and no guest", "name a guest, or leave --target out")
    return guest


def unmeant_lines(policies: Iterable[Unmeant]) -> Iterator[str]:
    """Yield a sentence for each Policy that would apply to guests although it says nothing of them."""
    for one in policies:
        guests = listed(one.guests, _GUESTS)
        yield f"Policy {one.name} ({one.origin}) says nothing of guests, and would apply to {guests}"


def _named(one: Unmeant) -> UnmeantPolicy:
    return UnmeantPolicy(one.name, str(one.origin), one.guests)


def _show(host: str, told: tuple[ListedGuest, ...], found: Inventory) -> None:
    taken = sum(not guest.left_out for guest in told)
    sys.stdout.write(f"{host}: {plural(len(told), 'guest')}, {taken} looked after.\n")
    if told:
        columns = width() if sys.stdout.isatty() else None
        rows = [_row(guest) for guest in told]
        shown = table(rows, columns, heads=_COLUMNS, indent="", paint=Paint(colour=colour()), style_of=_style)
        sys.stdout.writelines(f"{line}\n" for line in shown)
    for said in (*_odd(told), *found.notes, *found.problems):
        note(visible(said))


def _odd(told: tuple[ListedGuest, ...]) -> Iterator[str]:
    for guest in told:
        yield from (f"{guest.id or one_line(guest.name, _NAME)}: {said}" for said in guest.notes)


def _row(guest: ListedGuest) -> Row:
    state = f"{guest.state} ({guest.detail})" if guest.state in {"locked", "moved"} else guest.state
    labels = ", ".join(f"{key}={value}" for key, value in sorted(guest.labels.items()))
    return (guest.id, guest.kind or "", one_line(guest.name, _NAME), state, labels, guest.left_out)


def _style(row: Row) -> Style:
    return Style.NOTE if row[-1] else Style.PLAIN


def _listed(guest: Guest) -> ListedGuest:
    state, detail = state_words(guest.state)
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
