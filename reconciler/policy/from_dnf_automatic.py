"""The policy that comes nearest to a configuration of dnf-automatic, of dnf 4 or dnf 5.

The file is read as libdnf reads it: sections, ``name = value``, further lines of a value begin with a space,
comments fill their line. Options of the section ``[base]`` hold for dnf-automatic alone.
Where a restriction is lost, the Policy only plans: nothing is installed that was kept out before.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta

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
from reconciler.policy.problems import Problem, quoted
from reconciler.policy.values import PACKAGE_GLOB
from reconciler.records import dataclass

_TOOL = "dnf-automatic"
_STARTED = "06:00"
"""When its timer starts it, and up to an hour later."""

_TRUE = frozenset({"1", "yes", "true", "on"})
_FALSE = frozenset({"0", "no", "false", "off"})
_SECTION = re.compile(r"\[([^\[\]]+)\]\s*(?:[#;].*)?")
_SPACE = " \t\r\v\f"
_LONGEST_SLEEP = timedelta(hours=20)
_DELAYED = re.compile(r"(?:/\S*/)?shutdown\s+-r\s+(?:\+([0-9]{1,4})|now)(?:\s+'[^']*'|\s+\"[^\"]*\")?")
_VERSION = re.compile(r"-[0-9*?]*[0-9][^-]*(?:-|$)|^[0-9]+:|[\s,]")
_REBOOTS: Mapping[str, str] = {"never": "never", "when-changed": "always", "when-needed": "if-required"}
_MAILERS = frozenset({"email", "command", "command_email"})


def convert(files: Sequence[tuple[str, str]], machine: Machine) -> Converted | Problem:
    """Convert files of dnf-automatic's configuration, each a name and its text; a later one replaces options.

    Returns:
        The documents, or the first mistake in the files.
    """
    entries: dict[tuple[str, str], Entry] = {}
    for name, text in files:
        read = _read(name, text)
        if isinstance(read, Problem):
            return read
        entries |= read
    order = {name: number for number, (name, _) in enumerate(files)}
    return _Conversion(entries, machine, Entry("", "", files[0][0], 1)).run(order)


def _read(file: str, text: str) -> dict[tuple[str, str], Entry] | Problem:
    """Return the entries of a file by section and name."""
    found: dict[tuple[str, str], tuple[int, list[str]]] = {}
    section = ""
    values: list[str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(_SPACE)
        if not stripped or line.startswith(("#", ";")):
            continue
        if line[0] in _SPACE and values is not None:
            values.append(stripped)
            continue
        if header := _SECTION.fullmatch(stripped):
            section, values = header[1].strip(), None
            continue
        name, equals, value = stripped.partition("=")
        if not section or not equals or not name or line[0] in _SPACE:
            fault = f"{quoted(stripped)} is no option" + ("" if section else " of a section")
            return Problem(file, number, "", f"dnf cannot read this: {fault}", 'write "name = value"')
        values = [value.strip(_SPACE)]
        found[section, name.strip(_SPACE)] = number, values
    return {
        (section, name): Entry(f"[{section}] {name}", _unquoted("\n".join(lines).strip()), file, number)
        for (section, name), (number, lines) in found.items()
    }


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


@dataclass(slots=True)
class _Conversion:
    """One configuration, while it is converted.

    Attributes:
        whole: What stands for all of the files where something is missing.
        left: What has no counterpart so far.
        is_wider: Whether something was kept out that the documents would let in.
    """

    entries: Mapping[tuple[str, str], Entry]
    machine: Machine
    whole: Entry
    left: list[Problem] = field(default_factory=list)
    is_wider: bool = False

    def run(self, order: Mapping[str, int]) -> Converted:
        exceptions = self._excludes()
        self._rest()
        policy: dict[str, object] = {"kind": "Policy", "name": _TOOL, "match": {"manager": "dnf"}}
        policy |= self._wanted() | {"schedule": _TOOL} | self._reboot() | self._notify()
        schedule = schedule_of(_TOOL, self.machine, _STARTED, splay=timedelta(hours=1) + self._sleep())
        left = sorted(self.left, key=lambda one: (order.get(one.file, 0), one.line, one.path, one.message))
        return Converted(documents_of(policy, schedule, exceptions), tuple(left))

    def _command(self, name: str) -> Entry | None:
        return self.entries.get(("commands", name))

    def _is_on(self, name: str, *, default: bool) -> bool:
        entry = self._command(name)
        word = entry.value.lower() if entry else ""
        return word in _TRUE if word in _TRUE | _FALSE else default

    def _wanted(self) -> dict[str, object]:
        kind = self._command("upgrade_type")
        if kind is not None and kind.value == "distro-sync":
            self.left.append(
                kind.problem("downgrades are not made", "nothing to do: updates are made all the same")
            )
        elif kind is not None and kind.value not in {"", "default", "security"}:
            self._widened(kind, f"{quoted(kind.value)} is no kind of updates that policy knows", "")
        is_security = kind is not None and kind.value == "security"
        return {"updates": "security" if is_security else "all", "action": self._action()}

    def _action(self) -> str:
        applies = self._command("apply_updates")
        if self._is_on("apply_updates", default=False) and not self.is_wider:
            return "apply"
        if not self.is_wider:
            message = "says no; the timer dnf-automatic-install installs all the same"
            told = applies or self.whole
            self.left.append(told.problem(message, "write `action: apply` where that timer is in use"))
        return "download" if self._is_on("download_updates", default=True) else "plan"

    def _sleep(self) -> timedelta:
        entry = self._command("random_sleep")
        if entry is None or not re.fullmatch(r"[0-9]{1,9}", entry.value):
            return timedelta(0)
        wanted = timedelta(seconds=int(entry.value))
        if wanted > _LONGEST_SLEEP:
            self.left.append(
                entry.problem("is more than a day has room for", "the start is spread over 20 hours")
            )
        return min(wanted, _LONGEST_SLEEP)

    def _reboot(self) -> dict[str, object]:
        wanted, command = self._command("reboot"), self._command("reboot_command")
        when = _REBOOTS.get(wanted.value if wanted else "never", "never")
        reboot: dict[str, object] = {"when": when}
        if command is not None and when != "never":
            found = _DELAYED.fullmatch(command.value)
            if found is None:
                hint = "let a hook in /etc/patchledger/hooks/pre-reboot.d do what must be done before"
                self.left.append(command.problem("policy names no command", hint))
            elif found[1]:
                reboot["notice"] = f"{int(found[1])}m"
        return {"reboot": reboot}

    def _notify(self) -> dict[str, object]:
        via = self.entries.get(("emitters", "emit_via"))
        ways = set(re.split(r"[\s,]+", via.value)) if via else set()
        if via is None or not ways & _MAILERS:
            return {}
        message = "addresses are no part of policy: the policy sends to the notifier `mail`"
        hint = "write its address into the configuration of each host, as the how-to “Send mail” tells"
        self.left.append(via.problem(message, hint))
        always = self.entries.get(("emitters", "emit_no_updates"))
        is_always = always is not None and always.value.lower() in _TRUE
        events = (
            ["every-run"] if is_always else ["applied", "failed", "plan-changed", "interrupted", "reboot"]
        )
        return {"notify": [{"to": NOTIFIER, "on": events}]}

    def _excludes(self) -> tuple[Data, ...]:
        globs: dict[str, Entry] = {}
        for name in ("excludepkgs", "exclude"):
            entry = self.entries.get(("base", name))
            for glob in filter(None, re.split(r"[\s,]+", entry.value)) if entry else ():
                if entry and re.fullmatch(PACKAGE_GLOB, glob) and not _VERSION.search(glob):
                    globs[glob] = entry
                elif entry:
                    hint = "write an Exception with `versions`"
                    self._widened(entry, f"{quoted(glob)} is more than the name of a package", hint)
        if not globs:
            return ()
        first = next(iter(globs.values()))
        document, end = exception_of("excludepkgs", first, globs, "block", self.machine)
        self.left.append(end)
        return (document,)

    def _widened(self, entry: Entry, message: str, hint: str) -> None:
        """Tell of a restriction that is lost."""
        self.is_wider = True
        way = "nothing is applied until you write `action: apply`"
        self.left.append(entry.problem(message, f"{hint}; {way}" if hint else way))

    def _rest(self) -> None:
        via = self.entries.get(("emitters", "emit_via"))
        used = set(re.split(r"[\s,]+", via.value)) if via else set()
        for (section, name), entry in self.entries.items():
            match section:
                case "commands" | "emitters":
                    if (message := _WITHOUT.get(name)) is not None and entry.value:
                        self.left.append(entry.problem(*message))
                    elif name not in _UNDERSTOOD | set(_WITHOUT):
                        self.left.append(entry.problem("has no counterpart", "nothing is done about it"))
                case "base":
                    self._base(name, entry)
                case "email" | "command" | "command_email":
                    if section in used:
                        self.left.append(entry.problem("is part of the notifier's address", "write it there"))
                case _:
                    self.left.append(entry.problem("has no counterpart", "nothing is done about it"))

    def _base(self, name: str, entry: Entry) -> None:
        if name == "includepkgs":
            self._widened(
                entry, "lists what alone counts", "write it into /etc/dnf/dnf.conf, for every use of dnf"
            )
        elif name in {"throttle", "bandwidth"}:
            hint = "write `download_limit: 2M` into the policy, or throttle into /etc/dnf/dnf.conf"
            self.left.append(entry.problem("holds for dnf-automatic alone", hint))
        elif name not in _SILENT:
            hint = "write it into /etc/dnf/dnf.conf, which patchledger's dnf reads, too"
            self.left.append(entry.problem("holds for dnf-automatic alone", hint))


_WITHOUT: Mapping[str, tuple[str, str]] = {
    "network_online_timeout": (
        "nothing to set",
        "a run that reaches no source is made again at the next tick",
    ),
    "systemd_inhibit": (
        "nothing to set",
        "with systemd a shutdown waits while the package manager is at work",
    ),
    "base_config_file": ("patchledger's dnf reads /etc/dnf/dnf.conf", "write there what it needs"),
    "system_name": ("is the host's id", "write `host:` into the host's own configuration"),
    "output_width": ("nothing to set", "reports are pages in git"),
}
_UNDERSTOOD = frozenset(
    {
        "upgrade_type",
        "download_updates",
        "apply_updates",
        "random_sleep",
        "reboot",
        "reboot_command",
        "emit_via",
        "emit_no_updates",
        "send_error_messages",
    }
)
_SILENT = frozenset({"excludepkgs", "exclude", "debuglevel", "errorlevel", "logfilelevel", "color"})
