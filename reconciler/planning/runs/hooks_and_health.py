"""What happens around a transaction: hooks, health checks, and what still runs replaced files.

Rules:

1. A failure is a run's own where a check fails after it and did not fail before: what was broken already says
   nothing about the updates. A check that was not asked before counts.
2. Some services are never restarted by us, whatever policy says; each has its reason in ``NEVER``. They stay
   in the report, since a reboot or a person must restart them.
3. needrestart's batch lines are read strictly: what is not of their form stops the reading, and nothing is
   guessed. Keys that are not known here are passed over, since newer versions add some.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Literal

from reconciler.errors import Stalled
from reconciler.planning.text.untrusted import clip
from reconciler.records import dataclass

HookStage = Literal["pre", "post", "pre-reboot", "health"]

_DETAIL_LIMIT = 200


class HookOutcome(StrEnum):
    """What became of one hook."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class HookResult:
    """One hook that was run, or refused before that.

    Attributes:
        name: Of the file in the stage's folder; of the folder itself where that cannot be read.
        exit_code: ``None`` where it did not run to an end of its own; negative is the signal that ended it.
        seconds: How long it ran, to a tenth.
        output: What it printed, standard output first, cut at a limit; why it was refused or could not be
            started. Untrusted text.
    """

    stage: HookStage
    name: str
    outcome: HookOutcome
    exit_code: int | None = None
    seconds: float = 0.0
    output: str = ""

    @property
    def reason(self) -> str:
        """Why it is not well, in a few words fit for a report; empty where it is."""
        if self.outcome is HookOutcome.OK:
            return ""
        if self.outcome is HookOutcome.TIMED_OUT:
            return "did not end in time"
        if self.outcome is HookOutcome.REFUSED:
            return f"refused: {self.output}"
        if self.exit_code is None:
            return self.output
        ended = f"signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"
        words = [line.strip() for line in self.output.splitlines() if line.strip()]
        return f"{ended}: {clip(words[-1], _DETAIL_LIMIT)}" if words else ended


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The answer to one question about the machine's health.

    Attributes:
        name: What was asked, the same each time: ``unit nginx.service``, ``tcp 127.0.0.1:80``,
            ``http http://127.0.0.1/healthz``, ``script 10-shop``.
        ok: It is well.
        detail: What was seen, without anything that differs from one time to the next.
    """

    name: str
    ok: bool
    detail: str = ""


def as_check(result: HookResult) -> CheckResult:
    """Return what a health script came to as a check: well is what exits 0 in time."""
    return CheckResult(f"script {result.name}", result.outcome is HookOutcome.OK, result.reason)


def newly_failing(before: Sequence[CheckResult], after: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """Return the checks of ``after`` that fail and did not fail ``before``, each name once, in order."""
    known = {check.name for check in before if not check.ok}
    found: dict[str, CheckResult] = {}
    for check in after:
        if not check.ok and check.name not in known:
            found.setdefault(check.name, check)
    return tuple(found.values())


RestartState = Literal["restarted", "reported", "never", "failed"]


@dataclass(frozen=True, slots=True)
class Restart:
    """What became of a service that ran replaced files.

    Attributes:
        state: ``reported`` by the policy's choice, ``never`` by a list of services that must not be touched.
        detail: Why, or systemd's own words where it failed.
    """

    service: str
    state: RestartState
    detail: str = ""


KernelState = Literal["unknown", "current", "abi-compatible", "pending"]


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What still runs files that an update replaced, as needrestart sees it.

    Attributes:
        services: Names of services, such as ``nginx.service``; sorted, each once, like those below.
        kernel: ``abi-compatible`` and ``pending`` are newer kernels than the one that runs; ``unknown`` is
            never a reason to reboot.
        kernel_detail: The versions behind it.
        containers: Such as ``LXC web1``.
        sessions: Such as ``root @ session #28017``.
    """

    services: tuple[str, ...] = ()
    kernel: KernelState = "unknown"
    kernel_detail: str = ""
    containers: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()


_BUS = "the bus does not survive a restart, and what is connected to it breaks"
_DISPLAY = "a restart ends the desktop sessions"
_NETWORK = "a restart may cut the network"
_GUESTS = "a restart may stop containers or virtual machines"
_LOGIN = "a restart breaks logins and their sessions"
_ONCE = "it is a job that runs once, and restarting it would run it"
_CONSOLE = "a restart ends whoever works on the console"

NEVER: tuple[tuple[str, str], ...] = (
    ("dbus*", _BUS),
    ("display-manager", _DISPLAY),
    ("gdm*", _DISPLAY),
    ("greetd", _DISPLAY),
    ("kdm", _DISPLAY),
    ("lightdm", _DISPLAY),
    ("lxdm", _DISPLAY),
    ("nodm", _DISPLAY),
    ("sddm", _DISPLAY),
    ("slim", _DISPLAY),
    ("wdm", _DISPLAY),
    ("xdm", _DISPLAY),
    ("ModemManager", _NETWORK),
    ("NetworkManager*", _NETWORK),
    ("bird*", _NETWORK),
    ("connman", _NETWORK),
    ("frr", _NETWORK),
    ("ifup@*", _NETWORK),
    ("iwd", _NETWORK),
    ("network", _NETWORK),
    ("networking", _NETWORK),
    ("openvpn*", _NETWORK),
    ("pppd-dns", _NETWORK),
    ("strongswan*", _NETWORK),
    ("systemd-networkd*", _NETWORK),
    ("tinc*", _NETWORK),
    ("wg-quick@*", _NETWORK),
    ("wicked*", _NETWORK),
    ("wpa_supplicant*", _NETWORK),
    ("containerd*", _GUESTS),
    ("docker*", _GUESTS),
    ("incus*", _GUESTS),
    ("libvirt*", _GUESTS),
    ("lxc*", _GUESTS),
    ("lxd*", _GUESTS),
    ("podman*", _GUESTS),
    ("systemd-machined", _GUESTS),
    ("systemd-nspawn@*", _GUESTS),
    ("virtlockd*", _GUESTS),
    ("virtlogd*", _GUESTS),
    ("xendomains", _GUESTS),
    ("elogind", _LOGIN),
    ("systemd-logind", _LOGIN),
    ("user@*", _LOGIN),
    ("console-getty", _CONSOLE),
    ("container-getty@*", _CONSOLE),
    ("getty@*", _CONSOLE),
    ("serial-getty@*", _CONSOLE),
    ("apt-daily*", _ONCE),
    ("cron-*", _ONCE),
    ("dnf-automatic*", _ONCE),
    ("emergency", "it is for repairs by hand"),
    ("rc-local", _ONCE),
    ("rescue", "it is for repairs by hand"),
    ("unattended-upgrades*", "it would stop or start another updater"),
    ("patchledger*", "it is what does the work"),
    ("systemd-manager", "it is systemd itself, which its own package re-executes"),
)
"""Services that are never restarted, and why; ``.service`` may follow each."""


def never_reason(service: str, never: Iterable[str] = ()) -> str:
    """Return why ``service`` must not be restarted, empty where it may be.

    A pattern fits the whole name or the name without ``.service``.

    Args:
        service: As needrestart names it.
        never: Patterns of the policy, asked before the built-in ones.
    """
    bare = service.removesuffix(".service")

    def fits(pattern: str) -> bool:
        return fnmatchcase(service, pattern) or fnmatchcase(bare, pattern)

    for pattern in never:
        if fits(pattern):
            return f"policy never restarts {pattern}"
    return next((reason for pattern, reason in NEVER if fits(pattern)), "")


def to_restart(leftovers: Leftovers, never: Sequence[str] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the services that may be restarted, and those that the never-lists keep.

    Args:
        leftovers: What needrestart said.
        never: Patterns of the policy.
    """
    kept = tuple(service for service in leftovers.services if never_reason(service, never))
    return tuple(service for service in leftovers.services if service not in kept), kept


_BATCH_LINE = re.compile(r"NEEDRESTART-([A-Z]+):(?: (.*))?")
_ONCE_ONLY = frozenset({"VER", "KCUR", "KEXP", "KSTA"})
_MANY = frozenset({"SVC", "CONT", "SESS"})
_KERNEL: dict[str, KernelState] = {"0": "unknown", "1": "current", "2": "abi-compatible", "3": "pending"}


def parse_needrestart(text: str) -> Leftovers:
    """Read the standard output of ``needrestart -b``.

    Its README.batch.md describes the lines: ``NEEDRESTART-VER`` first, ``-KCUR``, ``-KEXP`` and ``-KSTA`` at
    most once (none in a container), ``-SVC``, ``-CONT`` and ``-SESS`` any number of times.

    Raises:
        Stalled: A line is not of that form, comes twice, lacks its value, or the first is not the version.
    """
    single: dict[str, str] = {}
    many: dict[str, set[str]] = {key: set() for key in _MANY}
    for number, line in enumerate(text.splitlines(), 1):
        found = _BATCH_LINE.fullmatch(line)
        if found is None or (number == 1) != (found[1] == "VER"):
            raise _unreadable(number, line)
        key, value = found[1], (found[2] or "").strip()
        if key in _MANY and value:
            many[key].add(value)
        elif key in _ONCE_ONLY and key not in single:
            single[key] = value
        elif key in _MANY or key in _ONCE_ONLY:
            raise _unreadable(number, line)
    if not single.get("VER"):
        raise Stalled("needrestart did not say its version", "run needrestart -b and read what it says")
    if single.get("KSTA", "0") not in _KERNEL:
        raise Stalled(f"needrestart tells an unknown state of the kernel: {clip(single['KSTA'], 40)}")
    return Leftovers(
        services=tuple(sorted(many["SVC"])),
        kernel=_KERNEL[single.get("KSTA", "0")],
        kernel_detail=_kernel_detail(single.get("KCUR", ""), single.get("KEXP", "")),
        containers=tuple(sorted(many["CONT"])),
        sessions=tuple(sorted(many["SESS"])),
    )


def _kernel_detail(current: str, expected: str) -> str:
    if current and expected and current != expected:
        return f"{current} runs, {expected} is installed"
    return f"{current} runs" if current else ""


def _unreadable(number: int, line: str) -> Stalled:
    message = f"line {number} of needrestart's answer is not understood: {clip(line, 80)}"
    return Stalled(message, "run needrestart -b and read what it says")
