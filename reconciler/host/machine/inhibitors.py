"""What a run would disturb: people at work, a machine on battery, locks against shutting down.

Rules:

1. All of it is observed; the policy's ``inhibit`` chooses what defers a run.
2. Sessions are those of logged-in people: not the greeter's, not background jobs', not ones that are only
   ending, not the one this run was started in.
3. Locks are those that block (not only delay) a shutdown or sleep, held by another process: not by one that
   this run descends from, such as ``systemd-inhibit patchledger run``.
4. Without systemd's login service there are neither. Where it runs and cannot be asked, that is told as
   something that inhibits, since what is not known is closed.
5. Details hold nothing that differs while nothing happens, such as a battery's charge.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from reconciler.errors import Stalled, Transient
from reconciler.host.machine.systemd import RUNTIME, Systemd, unanswered
from reconciler.planning.gates.types import Inhibitor, InhibitorKind
from reconciler.reconcile.ports.where import THIS_MACHINE
from reconciler.records import dataclass

_LOGIN_SERVICE = "systemd-logind.service"
_SESSION_PROPERTIES = ("Name", "Class", "State", "Remote", "RemoteHost", "TTY", "Display", "Service")
_OWN_SESSION = re.compile(r"/session-([^/]+)\.scope")
_BLOCKED = frozenset({"shutdown", "sleep"})

_LIST_INHIBITORS = (
    "busctl",
    "--json=short",
    "call",
    "org.freedesktop.login1",
    "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager",
    "ListInhibitors",
)
"""org.freedesktop.login1(5): what, who, why, mode, uid and pid of each lock. ``systemd-inhibit --list``
prints the same as a table, whose columns cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the kernel and systemd show what is asked here.

    Attributes:
        power: The power supplies, as sysfs has them.
        proc: The processes.
        systemd: Exists where systemd runs.
    """

    power: Path = Path("/sys/class/power_supply")
    proc: Path = Path("/proc")
    systemd: Path = RUNTIME


class Inhibitors:
    """What a run would disturb on the running system."""

    where = THIS_MACHINE

    def observe(self) -> tuple[Inhibitor, ...]:
        """Return it as it is now; see :func:`observe_inhibitors`."""
        return observe_inhibitors({})


def observe_inhibitors(environment: Mapping[str, str], places: Places | None = None) -> tuple[Inhibitor, ...]:
    """Return what a run would disturb now, sorted by kind and words; never raises a domain error.

    Args:
        environment: Added to what :func:`reconciler.process.run` gives a child.
        places: Where to look, the running system without it.
    """
    places = places or Places()
    systemd = Systemd(environment, places.systemd)
    found = set(_on_battery(places.power))
    if _may_be_asked(systemd):
        found |= _told("sessions", lambda: _sessions(systemd, places.proc))
        found |= _told("inhibitors", lambda: _locks(systemd, places.proc))
    return tuple(sorted(found, key=lambda one: (one.kind, one.detail)))


def _may_be_asked(systemd: Systemd) -> bool:
    if not systemd.is_running:
        return False
    try:
        return systemd.is_active(_LOGIN_SERVICE)
    except (Stalled, Transient):
        return True  # Then those who ask will say why they cannot.


def _told(kind: InhibitorKind, ask: Callable[[], Iterator[str]]) -> set[Inhibitor]:
    try:
        return {Inhibitor(kind, detail) for detail in ask()}
    except (Stalled, Transient) as error:
        return {Inhibitor(kind, f"a login service that cannot be asked: {error.message}")}


# --- Sessions -------------------------------------------------------------------------------------------


def _sessions(systemd: Systemd, proc: Path) -> Iterator[str]:
    listed = systemd.ask("loginctl", "list-sessions", "--no-legend", "--no-pager")
    if listed.returncode:
        raise unanswered("loginctl list-sessions", listed)
    own = _own_session(proc)
    wanted = [f"--property={name}" for name in _SESSION_PROPERTIES]
    for line in listed.lines:
        number = next(iter(line.split()), "")
        if not number or number == own:
            continue
        shown = systemd.ask("loginctl", "show-session", *wanted, "--", number)
        if shown.returncode:
            continue  # It ended in between.
        told = session_in_words(dict(pair.partition("=")[::2] for pair in shown.lines))
        if told:
            yield told


def session_in_words(properties: Mapping[str, str]) -> str:
    """Return who is logged in and from where, empty where the session is not that of a person.

    Args:
        properties: As ``loginctl show-session`` prints them: sd-login(3) and org.freedesktop.login1(5).
    """
    if not properties.get("Class", "").startswith("user") or properties.get("State") == "closing":
        return ""
    place = properties.get("TTY") or properties.get("Display") or properties.get("Service", "")
    where = f" on {place}" if place else ""
    if properties.get("Remote") == "yes":
        where += f" from {properties.get('RemoteHost') or 'elsewhere'}"
    return f"the session of {properties.get('Name') or 'somebody'}{where}"


def _own_session(proc: Path) -> str:
    found = _OWN_SESSION.search(_text(proc / "self" / "cgroup"))
    return found[1] if found else ""


# --- Locks ----------------------------------------------------------------------------------------------


def _locks(systemd: Systemd, proc: Path) -> Iterator[str]:
    done = systemd.ask(*_LIST_INHIBITORS)
    if done.returncode:
        raise unanswered("busctl call ListInhibitors", done)
    ours = frozenset(_ancestry(proc))
    for what, who, why, mode, _uid, pid in _parsed_locks(done.text):
        blocked = sorted(_BLOCKED & frozenset(what.split(":")))
        if mode == "block" and blocked and pid not in ours:
            yield f"{who}, which blocks {' and '.join(blocked)}: {why}"


def _parsed_locks(text: str) -> list[tuple[str, str, str, str, int, int]]:
    try:
        return [
            (str(what), str(who), str(why), str(mode), int(uid), int(pid))
            for what, who, why, mode, uid, pid in json.loads(text)["data"][0]
        ]
    except (ValueError, TypeError, LookupError) as error:
        raise Stalled("busctl's answer to ListInhibitors is not understood") from error


def _ancestry(proc: Path) -> Iterator[int]:
    """Yield our own process and those it descends from, by proc(5)."""
    pid = _text(proc / "self" / "stat").partition(" ")[0]
    while pid.isdigit() and int(pid) > 1:
        yield int(pid)
        # The name in brackets may hold anything; the parent is the second field after it.
        pid = next(iter(_text(proc / pid / "stat").rpartition(")")[2].split()[1:2]), "")


# --- Power ----------------------------------------------------------------------------------------------


def _on_battery(power: Path) -> Iterator[Inhibitor]:
    """Yield one inhibitor where a battery is being used up and no mains supply is there.

    As systemd's ConditionACPower= does it: one supply that is online is enough. Batteries of mice and
    the like say ``Device`` for their scope, by the kernel's sysfs-class-power.
    """
    try:
        supplies = sorted(power.iterdir())
    except OSError:
        return
    shown = [(supply.name, {name: _text(supply / name) for name in _SUPPLY}) for supply in supplies]
    machine = [(name, values) for name, values in shown if values["scope"] != "Device"]
    if any(values["type"] in _MAINS and values["online"] in _ONLINE for _, values in machine):
        return
    used = [
        name
        for name, values in machine
        if values["type"] in {"Battery", "UPS"} and values["status"] == "Discharging"
    ]
    if used:
        yield Inhibitor("battery", f"running on battery ({', '.join(used)})")


_SUPPLY = ("type", "scope", "online", "status")
_MAINS = frozenset({"Mains", "USB", "Wireless"})
_ONLINE = frozenset({"1", "2"})  # fixed, or programmable voltage


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
