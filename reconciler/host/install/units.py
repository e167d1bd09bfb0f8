"""The texts of our systemd units; nothing here reads or writes anything.

What each restriction is for, and why others are missing, is told in ``docs/reference/units.md``. The rules:

- A unit's sandbox holds what a tick does itself: talking to git servers and notifiers, and asking the package
  manager. What changes packages and what the operator wrote (hooks) are started by systemd as services of
  their own, which inherit nothing of it (:mod:`reconciler.targets.service`,
  :mod:`reconciler.host.machine.hooks`).
- No timer starts anything when it is enabled, nor at a boot because of a dependency: there is no
  ``Requires=`` anywhere, and ``Persistent=`` counts from the moment in which the timer was first started.
- All ticks are of the same shape, whoever starts them; a second one at the same time ends with exit code 5.
"""

from collections.abc import Iterator
from datetime import timedelta
from math import lcm
from pathlib import Path

from reconciler.errors import Misuse
from reconciler.host import DEFAULT_STATE_DIR
from reconciler.policy.managers import MANAGERS
from reconciler.records import dataclass

SERVICE = "patchledger.service"
TIMER = "patchledger.timer"
BOOT = "patchledger-boot.service"
WATCH = "patchledger-watch.service"
NAMES = (SERVICE, TIMER, BOOT, WATCH)

SHORTEST_TICK = timedelta(minutes=1)
LONGEST_TICK = timedelta(days=1)
_LARGEST_DELAY = timedelta(
    minutes=5
)  # tick and delay are the 20 minutes that every window must have to spare
_DAY = 24 * 60

# In the order of systemd.exec(5).
_SANDBOX = """\
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_KILL
CapabilityBoundingSet=CAP_SETGID CAP_SETUID CAP_SYS_CHROOT CAP_SYS_PTRACE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectHostname=yes
ProtectKernelLogs=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
SystemCallFilter=@system-service chroot adjtimex clock_adjtime
SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp
SystemCallErrorNumber=EPERM
SystemCallArchitectures=native
"""
# A net, should something read from a server grow without end: package managers that solve for thousands of
# packages stay far below it, and what changes packages is a service of its own. The process that has grown is
# ended, and not the tick with it: else who pushes a few bytes that git makes gigabytes of would end each one.
_MEMORY = "MemoryMax=2G\nOOMPolicy=continue"
_ALWAYS_WRITABLE = (Path("/var"), Path("/run"))
# Where package managers write when they only read their metadata anew. A "-" is for what is not there.
# ProtectKernelTunables= and ProtectControlGroups= would do this too, but hide a container's own boot id, and
# with it every reboot and every transaction at work.
_READ_ONLY = "ReadOnlyPaths=/proc/sys /sys"
_WRITABLE_WHERE_THERE = tuple(sorted(f"-{path}" for manager in MANAGERS for path in manager.writes))


@dataclass(frozen=True, slots=True)
class UnitInputs:
    """What the units of one host depend on.

    Attributes:
        program: The ``patchledger`` command, absolute.
        config: Its configuration file, absolute.
        tick: Time between two ticks: whole minutes, from one minute to a day.
        credentials: Name and encrypted file of each systemd credential that the units load.
        writable: Folders that a tick writes to, beside ``/var`` and ``/run``: a state or log folder
            elsewhere, the root of another system, a report repository on a local path.
        state: The state folder, for the question whether a reboot is to be proven.
    """

    program: Path
    config: Path
    tick: timedelta
    credentials: tuple[tuple[str, Path], ...] = ()
    writable: tuple[Path, ...] = ()
    state: Path = Path(DEFAULT_STATE_DIR)


def unit_files(installed: UnitInputs) -> dict[str, str]:
    """Return the text of every unit by its file's name.

    Raises:
        Misuse: The tick's length cannot be had, or a path is not absolute or has a control character.
    """
    return {
        SERVICE: _service(installed),
        TIMER: _timer(installed.tick),
        BOOT: _boot(installed),
        WATCH: _watch(installed),
    }


def _service(installed: UnitInputs) -> str:
    return f"""\
[Unit]
Description=patchledger: one tick
{_after(installed)}
[Service]
{_oneshot(installed)}"""


def _boot(installed: UnitInputs) -> str:
    # After multi-user.target, so that what is to be healthy had its chance to start. The journal or its copy
    # is there where a run rebooted this machine, or was ended by whatever ended the machine.
    return f"""\
[Unit]
Description=patchledger: verify the machine after a reboot
{_after(installed, "multi-user.target")}ConditionPathExists=|{_path(installed.state / "journal.json")}
ConditionPathExists=|{_path(installed.state / "journal.copy.json")}

[Service]
{_oneshot(installed)}
[Install]
WantedBy=multi-user.target
"""


def _watch(installed: UnitInputs) -> str:
    # A configuration that is wrong (2) stays wrong until a person mends it. 5 is no success here: another
    # watch is at work. A stop is told to the watching process alone, which ends its tick in good order.
    return f"""\
[Unit]
Description=patchledger: watch and tick
{_after(installed)}Conflicts={TIMER}

[Service]
Type=notify
NotifyAccess=main
ExecStart={_command(installed, "watch")}
ExecReload=kill -HUP $MAINPID
Restart=on-failure
RestartSec=1min
RestartPreventExitStatus=2
KillMode=mixed
WatchdogSec=1min
TimeoutStartSec=2min
{_common(installed)}
[Install]
WantedBy=multi-user.target
"""


def _timer(tick: timedelta) -> str:
    schedule = "".join(f"{line}\n" for line in _elapses(tick))
    delay = min(_LARGEST_DELAY, tick / 3)
    return f"""\
[Unit]
Description=patchledger: tick

[Timer]
{schedule}RandomizedDelaySec={round(delay.total_seconds())}s
FixedRandomDelay=yes
AccuracySec=1s
Persistent=yes

[Install]
WantedBy=timers.target
"""


def _elapses(tick: timedelta) -> Iterator[str]:
    """Yield when the timer elapses: at fixed times of day where the ticks of a day come out even."""
    minutes, odd = divmod(tick, timedelta(minutes=1))
    if odd or not SHORTEST_TICK <= tick <= LONGEST_TICK:
        raise Misuse(f"tick: {tick} cannot be had", "take whole minutes, from 1m to 1d")
    if _DAY % minutes:
        # Counted from when the timer is started, at a boot too.
        yield f"OnActiveSec={minutes}min"
        yield f"OnUnitActiveSec={minutes}min"
    elif minutes < 60 and 60 % minutes == 0:  # noqa: PLR2004 - minutes of an hour
        yield f"OnCalendar=*:0/{minutes}"
    else:
        every = lcm(minutes, 60) // 60
        for at in range(0, every * 60, minutes):
            # In UTC no tick is left out, and none comes twice, when clocks change.
            step = f"/{every}" if every < _DAY // 60 else ""
            yield f"OnCalendar=*-*-* {at // 60:02}{step}:{at % 60:02}:00 UTC"


def _after(installed: UnitInputs, *more: str) -> str:
    after = " ".join(("network-online.target", "time-sync.target", "dbus.service", *more))
    return f"""\
Wants=network-online.target
After={after}
RequiresMountsFor={_quoted(installed.state)}
"""


def _oneshot(installed: UnitInputs) -> str:
    # A tick ends by itself: whatever it does has a time limit, but for a package transaction, which lives on
    # when the tick is ended, and is found by the next one.
    return f"""\
Type=oneshot
ExecStart={_command(installed, "run")}
SuccessExitStatus=5
TimeoutStartSec=1d
{_common(installed)}"""


def _common(installed: UnitInputs) -> str:
    loads = "".join(f"LoadCredentialEncrypted={name}:{_path(path)}\n" for name, path in installed.credentials)
    folders = sorted({*_ALWAYS_WRITABLE, *installed.writable})
    writable = " ".join((*(_quoted(folder) for folder in folders), *_WRITABLE_WHERE_THERE))
    # Without User=, which is root anyway: beside a filter of system calls and NoNewPrivileges=, newer systemd
    # (257 for one) takes CAP_SETUID from whoever is named there, and apt's methods want to be another user.
    return f"""\
TimeoutStopSec=30s
{_MEMORY}
SyslogIdentifier=patchledger
UMask=0022
{loads}ReadWritePaths={writable}
{_READ_ONLY}
{_SANDBOX}"""


def _command(installed: UnitInputs, verb: str) -> str:
    program, config = (_quoted(path).replace("$", "$$") for path in (installed.program, installed.config))
    return f"{program} --config {config} {verb}"


def _quoted(path: Path) -> str:
    """Write a path as one of several words (systemd.syntax(7), QUOTING)."""
    return '"' + _path(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _path(path: Path) -> str:
    """Write a path where systemd expands specifiers and nothing else."""
    text = str(path)
    if not path.is_absolute() or not text.isprintable():
        raise Misuse(f"{text!r} cannot stand in a unit", "give an absolute path of printable characters")
    return text.replace("%", "%%")
