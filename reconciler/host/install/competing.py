"""Others that change packages by themselves: found, parked, and given back as they were.

The rules:

- Only units are touched, never the configuration of another program, and only by ``systemctl``. A unit is
  parked by masking it, which is one symbolic link and keeps its enablement; one whose file is the
  operator's own in ``/etc``, which cannot be masked, is disabled.
- What was there is written down before anything is changed, so that parking that was interrupted can be
  undone too, and parking twice forgets nothing.
- Timers are stopped. A service at work is left alone, since it may be in the middle of a transaction.
- Only what we parked is given back, and only where nobody has changed it since.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from reconciler.durable import replace_file
from reconciler.errors import Misuse, Stalled
from reconciler.host.machine.systemd import RUNTIME, Systemd, is_active_state, unanswered
from reconciler.records import dataclass

KNOWN: Mapping[str, tuple[str, ...]] = {
    "apt-daily": ("apt-daily.timer", "apt-daily-upgrade.timer"),
    "unattended-upgrades": ("unattended-upgrades.service",),
    "mintupdate-automation": ("mintupdate-automation-upgrade.timer",),
    "dnf-automatic": (
        "dnf-automatic.timer",
        "dnf-automatic-download.timer",
        "dnf-automatic-install.timer",
        "dnf-automatic-notifyonly.timer",
    ),
    "dnf5-automatic": ("dnf5-automatic.timer",),
    "yum-cron": ("yum-cron.service",),
    "packagekit-offline": ("packagekit-offline-update.service",),
    "packagekit-background": ("packagekit-background.timer",),
    "os-update": ("os-update.timer",),
    "transactional-update": ("transactional-update.timer",),
    "pacman-auto-update": ("pacman-auto-update.timer",),
}
"""Units by the name of the updater, of all the distributions that have one."""

# Waits for the shutdown; when it is asked to stop it may install updates first (InstallOnShutdown), so it is
# ended without being asked. What it has started goes on.
_STARTS_WORK_WHEN_STOPPED = frozenset({"unattended-upgrades.service"})
# Started by somebody's request, so that "static" is as good as enabled.
_ON_REQUEST = frozenset({"packagekit-offline-update.service"})
_INERT = frozenset({"masked", "masked-runtime", "disabled", "static", "indirect", ""})
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of an updater, as systemd has it.

    Attributes:
        name: With its type.
        file: State of its file, as ``systemctl is-enabled`` says it: ``enabled``, ``masked``, ``static``, ….
        is_active: It is running or waiting.
        path: Of its file, empty where it is masked.
    """

    name: str
    file: str
    is_active: bool
    path: str = ""

    @property
    def is_parked(self) -> bool:
        """Whether it does nothing by itself, now or after the next boot."""
        if self.name in _ON_REQUEST:
            return self.file.startswith("masked")
        return self.file in _INERT and not self.is_active


@dataclass(frozen=True, slots=True)
class Updater:
    """A program on this machine that changes packages by itself.

    Attributes:
        name: For people.
        units: Of :data:`KNOWN`, those that are here.
        parked: None of its units does anything by itself.
    """

    name: str
    units: tuple[Unit, ...]
    parked: bool


@dataclass(frozen=True, slots=True)
class _Parked:
    """What a unit was like before we parked it, and how that was done."""

    unit: str
    how: str  # mask | disable
    file: str
    was_active: bool


def find(runtime: Path = RUNTIME) -> tuple[Updater, ...]:
    """Return the updaters of this machine, parked ones included; none where systemd does not run.

    Args:
        runtime: Exists where systemd runs.

    Raises:
        Stalled: There is no ``systemctl``.
        Transient: It does not answer.
    """
    systemd = Systemd({}, runtime)
    if not systemd.is_running:
        return ()
    there = _units(systemd, tuple(unit for units in KNOWN.values() for unit in units))
    found = []
    for name, names in KNOWN.items():
        units = tuple(there[unit] for unit in names if unit in there)
        if units:
            found.append(Updater(name, units, all(unit.is_parked for unit in units)))
    return tuple(found)


def park(updaters: Sequence[Updater], record: Path) -> None:
    """Keep ``updaters`` from doing anything by themselves, and write into ``record`` what they were like.

    Args:
        updaters: Of :func:`find`; those that are parked are left alone.
        record: Made for its owner alone; what an earlier call wrote stays in it.

    Raises:
        Misuse: The record cannot be written or read.
        Stalled: systemctl refuses.
    """
    systemd = Systemd({})
    wanted = [
        unit for updater in updaters if not updater.parked for unit in updater.units if not unit.is_parked
    ]
    if not wanted:
        return
    known = {one.unit: one for one in _read(record)}
    steps = [_step(unit) for unit in wanted]
    # What was there before the first of several calls is what there is to be given back.
    _write(record, [*known.values(), *(step for step in steps if step.unit not in known)])
    for step in steps:
        _park_one(systemd, step)


def restore(record: Path) -> tuple[str, ...]:
    """Give back what :func:`park` wrote into ``record``, remove the record, and tell what was done.

    A unit that somebody has unmasked, enabled or removed since is left as it is.

    Returns:
        A sentence for each unit.

    Raises:
        Misuse: The record cannot be read or removed.
        Stalled: systemctl refuses; the record is still there.
        Transient: It does not answer.
    """
    parked = _read(record)
    if not parked:
        return ()
    systemd = Systemd({})
    there = _units(systemd, tuple(one.unit for one in parked))
    said = tuple(_restore_one(systemd, one, there.get(one.unit)) for one in parked)
    try:
        record.unlink(missing_ok=True)
    except OSError as error:
        raise Misuse(f"{record}: {error.strerror}", "run as root") from error
    return said


# --- One unit -------------------------------------------------------------------------------------------


def _step(unit: Unit) -> _Parked:
    how = "disable" if unit.path.startswith("/etc/systemd/system/") else "mask"
    return _Parked(unit.name, how, unit.file, unit.is_active)


def _park_one(systemd: Systemd, step: _Parked) -> None:
    _do(systemd, step.how, step.unit)
    if step.unit in _STARTS_WORK_WHEN_STOPPED:
        if step.was_active:
            _do(systemd, "kill", "--kill-who=main", "--signal=KILL", step.unit)
            # Nobody is left who could hear it: it waits until systemd knows, too.
            _do(systemd, "stop", step.unit)
    elif step.unit.endswith(".timer"):
        _do(systemd, "stop", step.unit)
    # Being ended so, or being stopped while masked, counts as a failure, and would be reported as one.
    systemd.ask("systemctl", "--quiet", "reset-failed", "--", step.unit, timeout=_PATIENCE)


def _restore_one(systemd: Systemd, one: _Parked, now: Unit | None) -> str:
    if now is None:
        return f"{one.unit} is not there any more"
    if one.how == "mask":
        if now.file != "masked":
            return f"{one.unit} is left as it is: it is not masked any more"
        _do(systemd, "unmask", one.unit)
    else:
        if now.file != "disabled":
            return f"{one.unit} is left as it is: it is not disabled any more"
        if one.file == "enabled":
            _do(systemd, "enable", one.unit)
    if one.was_active:
        _do(systemd, "start", one.unit)
    return f"{one.unit} is {one.file}{' and started' if one.was_active else ''} again"


def _do(systemd: Systemd, *arguments: str) -> None:
    *options, unit = arguments
    done = systemd.ask("systemctl", "--no-ask-password", "--quiet", *options, "--", unit, timeout=_PATIENCE)
    if done.returncode or done.timed_out:
        failed = unanswered(f"systemctl {options[0]} {unit}", done)
        raise Stalled(failed.message, "run as root; what was parked before can be restored")


def _units(systemd: Systemd, names: tuple[str, ...]) -> dict[str, Unit]:
    """Ask systemd for units; those that do not exist are left out."""
    wanted = "--property=Id,LoadState,ActiveState,UnitFileState,FragmentPath"
    done = systemd.ask("systemctl", "show", wanted, "--", *names)
    if done.returncode or done.timed_out:
        raise unanswered("systemctl show", done)
    found = {}
    for name, block in zip(names, done.text.strip().split("\n\n"), strict=True):
        said = dict(line.partition("=")[::2] for line in block.splitlines())
        # An alias shows the unit it stands for, which has a name of its own in the list.
        if said.get("LoadState") in {"loaded", "masked"} and said.get("Id") == name:
            path = said.get("FragmentPath", "")
            found[name] = Unit(
                name,
                said.get("UnitFileState", ""),
                is_active_state(said.get("ActiveState", "")),
                "" if said["LoadState"] == "masked" else path,
            )
    return found


# --- The record -----------------------------------------------------------------------------------------


def _read(record: Path) -> list[_Parked]:
    try:
        listed = json.loads(record.read_bytes())["parked"]
        return [
            _Parked(str(one["unit"]), str(one["how"]), str(one["file"]), bool(one["was_active"]))
            for one in listed
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Misuse(f"{record}: {error.strerror}", "run as root") from error
    except (ValueError, TypeError, LookupError) as error:
        raise Misuse(
            f"{record} is not a record of parked units",
            "move it away; `systemctl list-unit-files --state=masked` shows what is masked",
        ) from error


def _write(record: Path, parked: Iterable[_Parked]) -> None:
    text = json.dumps({"parked": [asdict(one) for one in parked]}, indent=2) + "\n"
    try:
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(record, text.encode())
    except OSError as error:
        raise Misuse(f"{record}: {error.strerror}", "run as root") from error
