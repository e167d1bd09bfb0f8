"""The guests of a hypervisor: what one is, how it is, and whether it would be looked after.

- A guest is what shares the hypervisor's kernel and can be entered from it. Virtual machines and application
  containers stand in the list as well, so that nobody believes them looked after.
- Its id is part of a branch's name: the number of a Proxmox guest, else its name in the alphabet of host ids.
  Where two have one id, neither is taken.
- Each tag that can name a label is one, with the value ``true``; what runs it is the label ``guest``. Labels
  of the hypervisor's own configuration beat both: tags may be set by whoever administers a single guest.
- Why one is left out is a sentence: the operator's wish first, then what the guest is.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from typing import Literal

from reconciler.planning.text.untrusted import one_line
from reconciler.policy.machine_ids import MACHINE_ID
from reconciler.policy.values import GUEST_LABEL, LABEL_KEY
from reconciler.records import dataclass

NEEDS_ITS_OWN = "it needs its own patchledger"
"""How whatever cannot be entered from the hypervisor is looked after."""

_NAME = 80
_LABEL = re.compile(LABEL_KEY)


class GuestKind(StrEnum):
    """What runs a guest, and so what enters it."""

    PROXMOX = "proxmox"
    LXC = "lxc"
    INCUS = "incus"
    NSPAWN = "nspawn"


@dataclass(frozen=True, slots=True)
class Running:
    """It runs, and can be entered."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """It does not run. It is never started for our sake."""


@dataclass(frozen=True, slots=True)
class FrozenGuest:
    """Its processes stand still; whatever enters it hangs until they go on."""


@dataclass(frozen=True, slots=True)
class Locked:
    """Its hypervisor does something with it meanwhile.

    Attributes:
        word: What: ``backup``, ``migrate`` or ``snapshot``, for instance.
    """

    word: str


@dataclass(frozen=True, slots=True)
class Template:
    """Others are made of it."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Another node of the cluster has it.

    Attributes:
        node: Which one.
    """

    node: str


@dataclass(frozen=True, slots=True)
class Gone:
    """Nobody has it."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """It cannot be looked after from here.

    Attributes:
        why: As a sentence.
    """

    why: str


State = Running | Stopped | FrozenGuest | Locked | Template | Moved | Gone | Unsupported


def why_not(state: State) -> str:  # noqa: PLR0911 - a return for each
    """Return why a guest in this state is not looked after; empty for one that runs."""
    match state:
        case Running():
            return ""
        case Stopped():
            return "it is stopped"
        case FrozenGuest():
            return "it is frozen"
        case Locked(word):
            return f"it is locked ({word})"
        case Template():
            return "it is a template"
        case Moved(node):
            return f"it is on {node}"
        case Gone():
            return "it is not there"
        case Unsupported(why):
            return why


GuestState = Literal["running", "stopped", "frozen", "locked", "template", "moved", "gone", "unsupported"]


def state_words(state: State) -> tuple[GuestState, str]:
    """Return the word for a state, and what it says besides; empty where nothing."""
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


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest.

    Attributes:
        id: As part of a branch's name; empty where its name gives none.
        kind: ``None`` where nobody has it.
        name: What its hypervisor calls it, which policies match on as well.
        state: How it is.
        tags: As its hypervisor has them.
        labels: What policies match on.
        notes: What its owner should know.
        left_out: Why it is not looked after, empty where it is.
        volume: What its root is on, as its hypervisor calls it; empty where that is not known.
    """

    id: str
    kind: GuestKind | None
    name: str
    state: State
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: str = ""
    volume: str = ""


ALL_SAID = b"\npatchledger: all is said\n"
"""How an answer of a guest ends: a way in may lose what was said, and end well all the same."""
TELLS_ITS_END = b"trap 'echo; echo \"patchledger: all is said\"' EXIT\n"
"""What makes a text end so."""


@dataclass(frozen=True, slots=True)
class Pin:
    """Which guest an id is, as far as it was ever seen: numbers are given again.

    Attributes:
        id: At its hypervisor.
        volume: What its root is on, empty where that was never known.
        machine_id: Content of its ``/etc/machine-id``, empty where it has none or it was never known.
        kind: What runs it, ``None`` where that was not kept: an older patchledger looked at it last.
    """

    id: str
    volume: str = ""
    machine_id: str = ""
    kind: GuestKind | None = None

    def contradicted(self, volume: str, machine_id: str) -> str:
        """Return why what is seen now is another guest, empty where nothing says so.

        The machine id decides where both are known: a root that is moved to another storage keeps it, and
        a number that is given again often has a root of the same name. Without it a root elsewhere is another
        guest.

        Args:
            volume: What its root is on now, empty where that is not known.
            machine_id: Its machine id now, empty where it has none or it was not looked at.
        """
        if self.machine_id and machine_id:
            if self.machine_id == machine_id:
                return ""
            return f"its machine id is {machine_id}, and was {self.machine_id}"
        if self.volume and volume and self.volume != volume:
            return f"its root is on {one_line(volume, _NAME)}, and was on {one_line(self.volume, _NAME)}"
        return ""

    def and_seen(self, volume: str, machine_id: str) -> "Pin":
        """Return it with what is known now of the same guest."""
        return replace(self, volume=volume or self.volume, machine_id=machine_id or self.machine_id)


_NAMESPACE = re.compile(r"pid:\[[1-9][0-9]*\]", re.ASCII)
_ROOT = re.compile(r"[0-9]+:[1-9][0-9]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class GuestPlace:
    """Where a guest is, as its hypervisor sees it.

    Whatever is to act in a guest compares it with where it is, before anything else.

    Attributes:
        pid_namespace: Of its first process, ``pid:[NUMBER]``.
        root: Device and inode of its root, ``DEVICE:INODE``.
        machine_id: What it had for one when it was looked at before; empty where that is not known.

    Raises:
        ValueError: It says nothing that could be compared.
    """

    pid_namespace: str
    root: str
    machine_id: str = ""

    def __post_init__(self) -> None:
        is_said = _NAMESPACE.fullmatch(self.pid_namespace) and _ROOT.fullmatch(self.root)
        if not is_said or (self.machine_id and not re.fullmatch(MACHINE_ID, self.machine_id)):
            raise ValueError(f"no place of a guest: {self!r}")

    @property
    def arguments(self) -> tuple[str, ...]:
        """What a guarded script is told first."""
        return ("--place", self.pid_namespace, self.root, self.machine_id or "-")


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def plainly_named(guest: Guest) -> Guest:
    """Return a guest as it is where its name cannot be taken for anything else on a command line.

    With ``:`` it could name another server, with ``@`` another machine, with ``-`` an option; no program that
    manages guests by name gives such names.
    """
    if _PLAIN.fullmatch(guest.name):
        return guest
    return replace(
        guest, state=Unsupported("its name has other characters than letters, digits, '.', '_' and '-'")
    )


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found where guests of one kind are.

    Attributes:
        guests: As found, without labels.
        elsewhere: The node that has it, by the id of each guest of other nodes.
        problem: Why nothing could be found out, empty where it could.
        notes: What is to be known of the place itself.
    """

    guests: tuple[Guest, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Some guests.

    Attributes:
        ids: By id.
        tags: By a tag, one of which is enough.
    """

    ids: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()

    def why(self, guest: Guest) -> str:
        """Return by what a guest is one of these, empty where it is none."""
        if guest.id in self.ids:
            return f"id {guest.id}"
        tag = next((one for one in guest.tags if one in self.tags), None)
        return "" if tag is None else f"tag {tag}"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the hypervisor's own configuration says of its guests.

    Attributes:
        only: Nothing but these, ``None`` for all.
        but: Not these.
        labels: Of each guest, by its id; they beat its tags.
    """

    only: Choice | None = None
    but: Choice = Choice()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def named(self) -> frozenset[str]:
        """The ids of guests that are meant to be there."""
        return frozenset(self.labels) | (self.only.ids if self.only else frozenset())


@dataclass(frozen=True, slots=True)
class Inventory:
    """All guests of a hypervisor.

    Attributes:
        guests: By kind and id.
        problems: Why guests of a kind are not known.
        notes: What is to be known besides.
    """

    guests: tuple[Guest, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def inventory(found: Sequence[Inspected], wishes: Wishes, known: frozenset[str] = frozenset()) -> Inventory:
    """Bring what was found together, and say of each guest whether it is looked after.

    A guest that the configuration names, or that was looked after before, and nobody has stands in the list
    as well, unless a place could not be looked into.

    Args:
        found: In each place.
        wishes: What the configuration says.
        known: Ids of guests that were looked after before.
    """
    seen = _told_apart([guest for place in found for guest in place.guests])
    problems = tuple(place.problem for place in found if place.problem)
    if not problems:
        seen += _missing(found, wishes.named | known, {guest.id for guest in seen})
    judged = (_judged(guest, wishes) for guest in seen)
    notes = tuple(note for place in found for note in place.notes)
    return Inventory(tuple(sorted(judged, key=_order)), problems, notes)


def _told_apart(guests: Sequence[Guest]) -> list[Guest]:
    """Refuse guests of which two have one id: their reports would be those of one. Take no id for a name."""
    by_id: dict[str, list[Guest]] = defaultdict(list)
    for guest in guests:
        by_id[guest.id].append(guest)

    def told(guest: Guest) -> Guest:
        if not guest.id:
            return replace(guest, state=Unsupported("its name gives no id: it has no letter or digit"))
        other = next((one for one in by_id[guest.id] if one is not guest), None)
        if other is None and guest.name != guest.id and guest.name in by_id:
            # Whoever administers a guest chooses its name; what means the other one is not about it as well.
            note = f"its name is the id of guest {guest.name}, so that nothing matches it by name"
            return replace(guest, name="", notes=(*guest.notes, note))
        if other is None:
            return guest
        shown = one_line(other.name, _NAME)
        return replace(guest, state=Unsupported(f"its id {guest.id} is that of {other.kind} {shown} as well"))

    return [told(guest) for guest in guests]


def _missing(found: Sequence[Inspected], wanted: frozenset[str], seen: set[str]) -> list[Guest]:
    elsewhere = {name: node for place in found for name, node in place.elsewhere.items()}
    return [
        Guest(one, GuestKind.PROXMOX, "", Moved(elsewhere[one]))
        if one in elsewhere
        else Guest(one, None, "", Gone())
        for one in sorted(wanted - seen)
    ]


def _judged(guest: Guest, wishes: Wishes) -> Guest:
    own = {} if guest.kind is None else {GUEST_LABEL: str(guest.kind)}
    own |= wishes.labels.get(guest.id, {})
    no_labels = tuple(f"tag {one_line(tag, _NAME)} is no label's name" for tag in _no_labels(guest.tags))
    return replace(
        guest,
        labels={**{tag: "true" for tag in guest.tags if _LABEL.fullmatch(tag)}, **own},
        notes=guest.notes + no_labels,
        left_out=_unwanted(guest, wishes) or why_not(guest.state),
    )


def _no_labels(tags: Iterable[str]) -> Iterator[str]:
    return (tag for tag in tags if not _LABEL.fullmatch(tag))


def _unwanted(guest: Guest, wishes: Wishes) -> str:
    if why := wishes.but.why(guest):
        return f"guests.except names {why}"
    if wishes.only is not None and not wishes.only.why(guest):
        return "guests.only does not name it"
    return ""


def _order(guest: Guest) -> tuple[str, int, str, str]:
    number = int(guest.id) if re.fullmatch(r"[0-9]{1,9}", guest.id) else 0
    return (guest.kind or "~", number, guest.id, guest.name)
