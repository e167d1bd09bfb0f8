"""The policy that comes nearest to a configuration of unattended-upgrades and of apt's periodic jobs.

What the options mean is told by the README of unattended-upgrades and by the comments of apt.systemd.daily.
Options that apt itself reads (``Acquire::``, ``DPkg::Pre-Invoke``) stay in force, as patchledger runs apt.
Where a restriction is lost, the Policy only plans: nothing is installed that was kept out before.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import timedelta
from string import Template

from reconciler.policy.aptconf import Configuration, is_on, read_configuration
from reconciler.policy.conversion import (
    NOTIFIER,
    Converted,
    Data,
    Entry,
    Machine,
    documents_of,
    exception_of,
    schedule_of,
)
from reconciler.policy.globs import globs_of
from reconciler.policy.problems import Problem, quoted
from reconciler.policy.sources import FIELDS, PATTERN
from reconciler.policy.values import format_duration
from reconciler.records import dataclass

_TOOL = "unattended-upgrades"
_OWN = "Unattended-Upgrade::"
_PERIODIC = "APT::Periodic::"
_STARTED = "06:00"
"""When ``apt-daily-upgrade.timer`` starts it, and up to an hour later."""

_KEYS = {
    **{key: key for key in ("o", "l", "a", "n", "site")},
    "origin": "o",
    "label": "l",
    "suite": "a",
    "archive": "a",
    "codename": "n",
}
_COMPONENT = frozenset({"c", "component"})
_VARIABLE = re.compile(r"\$\{?(?:distro_id|distro_codename)\b")
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_LONG_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ON_CHANGE = ("applied", "failed", "interrupted", "overrun", "reboot")
_EVENTS: Mapping[str, Sequence[str]] = {
    "always": ("every-run",),
    "on-change": _ON_CHANGE,
    "only-on-error": ("failed", "interrupted", "overrun"),
}
_INTERVAL = re.compile(r"([0-9]{1,4})([smhd]?)")
_MOST_DAYS = 366
_STALE_AFTER = 3


def convert(files: Sequence[tuple[str, str]], machine: Machine) -> Converted | Problem:
    """Convert files of apt's configuration, each a name and its text, in the order in which apt reads them.

    Returns:
        The documents, or why there are none: apt could not read a file, or a value is needed that ``machine``
        does not have.
    """
    conf = read_configuration(files)
    if isinstance(conf, Problem):
        return conf
    order = {name: number for number, (name, _) in enumerate(files)}
    own = next((entry.file for entry in conf.below("Unattended-Upgrade")), files[0][0])
    return _Conversion(conf, machine, Entry("", "", own, 1)).run(order)


@dataclass(slots=True)
class _Conversion:
    """One configuration, while it is converted.

    Attributes:
        whole: What stands for all of the files where something is missing.
        left: What has no counterpart so far.
        is_wider: Whether something was kept out that the documents would let in.
    """

    conf: Configuration
    machine: Machine
    whole: Entry
    left: list[Problem] = field(default_factory=list)
    is_wider: bool = False

    def run(self, order: Mapping[str, int]) -> Converted | Problem:
        wanted = self._wanted()
        if isinstance(wanted, Problem):
            return wanted
        exceptions = tuple(self._exceptions())
        policy: dict[str, object] = {"kind": "Policy", "name": _TOOL, **wanted}
        if self.conf.list(f"{_OWN}Package-Whitelist"):
            policy["updates"] = "none"
        start, days, every = self._when()
        policy |= self._action(days) | {"schedule": _TOOL} | self._care() | self._reboot() | self._mail()
        self._without()
        self._others()
        schedule = schedule_of(_TOOL, self.machine, start, days=",".join(days or ()), every=every)
        left = sorted(self.left, key=lambda one: (order.get(one.file, 0), one.line, one.path, one.message))
        return Converted(documents_of(policy, schedule, exceptions), tuple(dict.fromkeys(left)))

    def _own(self, name: str) -> Entry | None:
        return self.conf.find(f"{_OWN}{name}")

    def _is_on(self, name: str, *, default: bool) -> bool:
        return is_on(self._own(name), default=default)

    def _widened(self, entry: Entry, message: str, hint: str) -> None:
        """Tell of a restriction that is lost."""
        self.is_wider = True
        self.left.append(
            entry.problem(message, f"{hint}; nothing is applied until you write `action: apply`")
        )

    # --- Which updates ----------------------------------------------------------------------------------

    def _wanted(self) -> dict[str, object] | Problem:
        """Return the settings that say which updates are wanted, and on which hosts that holds."""
        entries = (
            *self.conf.list(f"{_OWN}Allowed-Origins"),
            *self.conf.list(f"{_OWN}Origins-Pattern"),
        )
        fields = {entry: self._fields(entry) for entry in entries}
        known = {entry: named for entry, named in fields.items() if named}
        match: dict[str, object] = {"manager": "apt"}
        if not known:
            told = replace(self.whole, name=f"{_OWN}Origins-Pattern")
            message = "allows nothing in these files, and so nothing is installed"
            self.left.append(told.problem(message, "name 50unattended-upgrades, too"))
            return {"match": match, "updates": "none"}
        if all(map(_is_security, known.values())):
            return {"match": match, "updates": "security"}
        if any(set(named.values()) == {"*"} for entry, named in known.items() if not _is_variable(entry)):
            return {"match": match, "updates": "all"}
        variable = next(filter(_is_variable, known), None)
        if variable is not None:
            if not self.machine.codename or not self.machine.os_id:
                message = f"{quoted(variable.value)} stands for the release of a host, and none is known here"
                return variable.problem(message, "name a host's os-release file with --os-release")
            match["os"] = "-".join(filter(None, (self.machine.os_id, self.machine.os_version)))
            message = f"is written for {self.machine.codename}, and the Policy matches {match['os']} alone"
            self.left.append(variable.problem(message, "for hosts of another release, write a second Policy"))
        only = [text for entry, named in known.items() if (text := self._written(entry, named))]
        if not only:
            return {"match": match, "updates": "none"}
        return {"match": match, "updates": "all", "sources": {"only": list(dict.fromkeys(only))}}

    def _fields(self, entry: Entry) -> Mapping[str, str]:
        """Return what an allowed origin compares, by the keys of our patterns; empty where it cannot be."""
        found: dict[str, str] = {}
        try:
            text = Template(entry.value).substitute(
                distro_id=_distributor(self.machine.os_id) or "*",
                distro_codename=self.machine.codename or "*",
            )
            pairs = _legacy(text) if "allowed-origins" in entry.name.lower() else _pairs(text)
        except (KeyError, ValueError):
            self.left.append(
                entry.problem(f"unattended-upgrades cannot read {quoted(entry.value)}", "it is left out")
            )
            return {}
        for key, value in pairs:
            if key in _COMPONENT:
                if value != "*":
                    message = f"components cannot be told apart, so this becomes more than {quoted(value)}"
                    self._widened(entry, message, "take the others out of the hosts' sources")
            elif key not in _KEYS or found.setdefault(_KEYS[key], value) != value:
                message = f"{quoted(key)} is no key of a source, or stands there twice"
                self.left.append(entry.problem(message, "the line is left out"))
                return {}
        return found

    def _written(self, entry: Entry, fields: Mapping[str, str]) -> str:
        """Write a pattern as policy has it, empty where that is not possible."""
        text = ",".join(
            f'{key}="{value}"' if "," in value or not value else f"{key}={value}"
            for key, value in sorted(fields.items(), key=lambda pair: list(FIELDS).index(pair[0]))
        )
        if re.fullmatch(PATTERN, text) and text.isprintable():
            return text
        self.left.append(entry.problem("its characters cannot stand in a pattern", "the line is left out"))
        return ""

    def _exceptions(self) -> Iterable[Data]:
        for name, action, option in (
            ("package-blacklist", "block", "Package-Blacklist"),
            ("package-whitelist", "include", "Package-Whitelist"),
        ):
            globs: dict[str, Entry] = {}
            for entry in self.conf.list(f"{_OWN}{option}"):
                found = globs_of(entry.value)
                if found is None:
                    message = f"{quoted(entry.value)} says more than a pattern can"
                    hint = f"write the names that it stands for into exceptions/{name}.yaml"
                    if action == "block":
                        self._widened(entry, message, hint)
                    else:
                        self.left.append(entry.problem(message, hint))
                globs |= dict.fromkeys(found or (), entry)
            if globs:
                first = next(iter(globs.values()))
                document, end = exception_of(name, first, globs, action, self.machine)
                self.left.append(end)
                yield document

    # --- When, and how far ------------------------------------------------------------------------------

    def _when(self) -> tuple[str, tuple[str, ...] | None, int]:
        """Return the time of day, the days (``None`` where none is known), and every how many days."""
        written = self.conf.list(f"{_OWN}Update-Days")
        days = {_day(entry.value): entry for entry in written}
        for entry in written:
            if not _day(entry.value):
                self.left.append(
                    entry.problem(f"{quoted(entry.value)} is no day in English", "write it as Mon or 1")
                )
        known = tuple(day for day in (*_DAYS[1:], _DAYS[0]) if day in days)
        every = max(1, -(-self._interval("Unattended-Upgrade") // timedelta(days=1)))
        at = self._own("Automatic-Reboot-Time")
        if at is None or not self._is_on("Automatic-Reboot", default=False) or not _is_time(at.value):
            start = _STARTED
        else:
            start = at.value.zfill(len("02:00"))
            message = (
                "a run reboots in the window that it runs in, so updates are installed at that time, too"
            )
            self.left.append(at.problem(message, "see schedules/unattended-upgrades.yaml"))
        return start, known if known or not written else None, 1 if known else min(every, _MOST_DAYS)

    def _interval(self, name: str) -> timedelta:
        """Return the time between two runs of a periodic job, zero where it never runs."""
        entry = self.conf.find(f"{_PERIODIC}{name}")
        if entry is None:
            return timedelta(0)
        if entry.value == "always":
            return timedelta(hours=1)
        found = _INTERVAL.fullmatch(entry.value)
        if found is None:
            self.left.append(entry.problem(f"{quoted(entry.value)} is no interval", "it counts as 0"))
            return timedelta(0)
        return int(found[1]) * timedelta(**{_UNITS[found[2]]: 1})

    def _action(self, days: tuple[str, ...] | None) -> dict[str, object]:
        every, lists = (
            self._interval("Unattended-Upgrade"),
            self.conf.find(f"{_PERIODIC}Update-Package-Lists"),
        )
        if self.is_wider:
            action = "plan"
        elif every and days is not None and is_on(self.conf.find(f"{_PERIODIC}Enable"), default=True):
            action = "apply"
        else:
            action = "download" if self._interval("Download-Upgradeable-Packages") else "plan"
        if self.conf.find(f"{_PERIODIC}Unattended-Upgrade") is None:
            told = replace(self.whole, name=f"{_PERIODIC}Unattended-Upgrade")
            hint = "name 20auto-upgrades, too, or write `action: apply`"
            self.left.append(told.problem("is not in these files, so nothing starts it", hint))
        refresh = self._interval("Update-Package-Lists")
        if lists is not None and not refresh:
            hint = "nothing to do, or write a long `refresh: {every: …}`"
            self.left.append(lists.problem("patchledger refreshes package lists itself", hint))
        settings: dict[str, object] = {"action": action}
        if refresh > timedelta(hours=1):
            settings["refresh"] = {"every": format_duration(refresh)}
            if refresh >= timedelta(days=_STALE_AFTER):
                late = refresh + timedelta(days=_STALE_AFTER)
                settings["refresh"] = {
                    "every": format_duration(refresh),
                    "stale_after": format_duration(late),
                }
        return settings

    # --- Care -------------------------------------------------------------------------------------------

    def _care(self) -> dict[str, object]:
        found: dict[str, object] = {}
        steps = ("Unattended-Upgrade::MinimalSteps", "Unattended-Upgrades::MinimalSteps")
        if not all(is_on(self.conf.find(name), default=True) for name in steps):
            found["steps"] = "single"
        waits = self._own("Postpone-For-Days")
        if waits is not None and re.fullmatch(r"[0-9]{1,4}", waits.value) and int(waits.value):
            found["min_age"] = dict.fromkeys(("security", "other"), f"{int(waits.value)}d")
        found |= self._autoremove()
        options = {entry.value.strip() for entry in self.conf.list("DPkg::Options")}
        if "--force-confnew" in options and "--force-confold" not in options:
            found["conffiles"] = "new"
        elif "--force-confold" in options:
            found["conffiles"] = "keep"
        return found

    def _autoremove(self) -> dict[str, object]:
        """Say what of unused packages goes: both options are on where nothing is written."""
        kernels = self._own("Remove-Unused-Kernel-Packages")
        if not self._is_on("Remove-New-Unused-Dependencies", default=True):
            return {"autoremove": "kernels"} if is_on(kernels, default=True) else {}
        if is_on(kernels, default=True) or kernels is None:
            return {"autoremove": "new-unused"}
        message = "`autoremove: new-unused` removes old kernels as well, so nothing is removed"
        self.left.append(kernels.problem(message, "write that where old kernels may go"))
        return {}

    def _reboot(self) -> dict[str, object]:
        inhibit = {} if self._is_on("OnlyOnACPower", default=True) else {"battery": "ignore"}
        if not self._is_on("Skip-Updates-On-Metered-Connections", default=True):
            inhibit["metered"] = "ignore"
        reboot: dict[str, object] = {"when": "never"}
        if self._is_on("Automatic-Reboot", default=False):
            reboot["when"] = "if-required"
            users, at = self._own("Automatic-Reboot-WithUsers"), self._own("Automatic-Reboot-Time")
            if users is not None and not is_on(users, default=True):
                inhibit["sessions"] = "defer"
                self.left.append(users.problem("while people are logged in, updates wait as well as reboots"))
            if at is not None and re.fullmatch(r"\+[0-9]{1,4}", at.value):
                reboot["notice"] = f"{int(at.value)}m"
            elif at is not None and at.value != "now" and not _is_time(at.value):
                self.left.append(
                    at.problem(f"{quoted(at.value)} is no time of day", "reboots follow the run")
                )
        return {"reboot": reboot} | ({"inhibit": inhibit} if inhibit else {})

    def _mail(self) -> dict[str, object]:
        address = self._own("Mail")
        if address is None:
            return {}
        message = "addresses are no part of policy: the policy sends to the notifier `mail`"
        hint = "write its address into the configuration of each host, as the how-to “Send mail” tells"
        self.left.append(address.problem(message, hint))
        report = self._own("MailReport")
        only_errors = self._is_on("MailOnlyOnError", default=False)
        kind = report.value if report else "only-on-error" if only_errors else "on-change"
        return {"notify": [{"to": NOTIFIER, "on": list(_EVENTS.get(kind, _ON_CHANGE))}]}

    # --- What is left -----------------------------------------------------------------------------------

    def _without(self) -> None:
        for name, (harmless, message, hint) in _WITHOUT.items():
            entry = self._own(name)
            if entry is not None and (harmless is None or is_on(entry, default=not harmless) != harmless):
                self.left.append(entry.problem(message, hint))
        known = _UNDERSTOOD | {name.lower() for name in _WITHOUT}
        for entry in self.conf.below("Unattended-Upgrade"):
            if _part(entry, 1) not in known:
                self.left.append(entry.problem("has no counterpart", "nothing is done about it"))
        for entry in self.conf.below("APT::Periodic"):
            if _part(entry, 2) not in _PERIODIC_UNDERSTOOD and entry.value != "0":
                hint = "run `apt-get autoclean` and the like from cron, if you want that still"
                self.left.append(entry.problem("apt's own daily job did this, which stops with it", hint))

    def _others(self) -> None:
        limits = (entry for entry in self.conf.below("Acquire") if _part(entry, -1) == "dl-limit")
        options = (entry for entry in self.conf.list("DPkg::Options") if "--force-conf" not in entry.value)
        for entry in limits:
            hint = "leave it where it is: apt itself reads it; for all hosts, write `download_limit: 2M`"
            self.left.append(entry.problem("stays in force", hint))
        for entry in options:
            self.left.append(entry.problem("stays in force", "leave it where it is: apt itself reads it"))
        for entry in self.conf.includes:
            self.left.append(entry.problem(f"{quoted(entry.value)} is not read", "name that file, too"))


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "": "days"}
_REMOVES = "what was unused before any run of ours is not removed"
_AUTOREMOVE = "run `apt-get autoremove` once"
_WITHOUT: Mapping[str, tuple[bool | None, str, str]] = {
    "InstallOnShutdown": (False, "updates are installed in windows", "choose one in which the machine is up"),
    "Sender": (None, "is part of the notifier's address", "write it there, as `from=`"),
    "SyslogEnable": (False, "nothing to set", "the journal has what runs say: `journalctl -t patchledger`"),
    "SyslogFacility": (None, "nothing to set", "the journal has what runs say"),
    "Remove-Unused-Dependencies": (False, _REMOVES, _AUTOREMOVE),
    "AutoFixInterruptedDpkg": (True, "what was interrupted is always brought to its end", "nothing to do"),
    "Allow-downgrade": (False, "a pin above 1000 is followed as by apt", "nothing to do"),
    "Package-Whitelist-Strict": (
        False,
        "what the listed packages need is installed along",
        "write an Exception `block` for what must not be",
    ),
    "DevRelease": (
        None,
        "a development release is no special case",
        "write `action: plan` until its release",
    ),
    "IgnoreAppsRequireRestart": (
        False,
        "services to restart are named in the record of a run",
        "write `restart_services` where they shall be restarted",
    ),
    **dict.fromkeys(
        ("Automatic-Reboot-IgnoredUsers", "Automatic-Reboot-WithSystemUsers"),
        (
            None,
            "all who are logged in count alike",
            "write `inhibit: {sessions: ignore}` where that is too much",
        ),
    ),
    "Allow-APT-Mark-Fallback": (None, "apt's own resolver decides", "nothing to do"),
    "Keep-Debs-After-Install": (None, "apt keeps packages as it is configured to", "nothing to do"),
    "Verbose": (None, "nothing to set", "runs are in `patchledger log` and in the journal"),
    "Debug": (None, "nothing to set", "runs are in `patchledger log` and in the journal"),
    "LogDir": (None, "nothing to set", "runs are in `patchledger log` and in the report repository"),
    "LogFile": (None, "nothing to set", "runs are in `patchledger log` and in the report repository"),
}
"""Options that policy cannot say: the value at which there is nothing to say, and what is said else."""

_UNDERSTOOD = frozenset(
    {
        "remove-new-unused-dependencies",
        "remove-unused-kernel-packages",
        "allowed-origins",
        "origins-pattern",
        "package-blacklist",
        "package-whitelist",
        "update-days",
        "automatic-reboot",
        "automatic-reboot-time",
        "automatic-reboot-withusers",
        "minimalsteps",
        "postpone-for-days",
        "onlyonacpower",
        "skip-updates-on-metered-connections",
        "mail",
        "mailreport",
        "mailonlyonerror",
    }
)
_PERIODIC_UNDERSTOOD = frozenset(
    {"enable", "unattended-upgrade", "update-package-lists", "download-upgradeable-packages"}
)


def _is_variable(entry: Entry) -> bool:
    return _VARIABLE.search(entry.value) is not None


def _part(entry: Entry, number: int) -> str:
    return entry.name.lower().split("::")[number]


def _distributor(os_id: str) -> str:
    """Return what lsb_release calls a distribution, and its release files ``Origin``."""
    return os_id.capitalize()


def _pairs(text: str) -> list[tuple[str, str]]:
    """Read ``origin=Debian,codename=bookworm``; a comma in a value stands behind a backslash."""
    found = []
    for token in re.split(r"(?<!\\),", text.strip()):
        key, equals, value = token.replace("\\,", ",").partition("=")
        if not equals or "=" in value:
            raise ValueError(token)
        found.append((key.strip(), value.strip()))
    return found


def _legacy(text: str) -> list[tuple[str, str]]:
    """Read ``Debian:stable``, or ``Debian stable``: origin and suite."""
    parts = re.split(r"(?<!\\):", text)
    origin, suite = parts if len(parts) > 1 else text.split()
    plain = origin.replace("\\:", ":"), suite
    return [(key, value.replace("\\,", ",").strip()) for key, value in zip("oa", plain, strict=True)]


def _is_security(fields: Mapping[str, str]) -> bool:
    """Tell whether only sources of the security service are named; the rule is that of the patch script."""
    suites = (fields.get("a", ""), fields.get("n", ""))
    return fields.get("l") == "Debian-Security" or any(suite.endswith("-security") for suite in suites)


def _day(text: str) -> str:
    """Return a day of the week as a Schedule has it, empty where it is none."""
    for names in (_DAYS, _LONG_DAYS, tuple(map(str, range(7)))):
        if text in names:
            return _DAYS[names.index(text)]
    return ""


def _is_time(text: str) -> bool:
    return re.fullmatch(r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]", text) is not None
