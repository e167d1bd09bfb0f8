"""A stand-in for Proxmox VE's ``pct`` that drives real LXC containers on real btrfs, in the lab of guests.

    python -I -S pct.py start 201

Made from what pct(1) says and how it is seen to behave: formats, silence where there is nothing to list, the
words of errors, ``exec`` as one chain of exec(2), in which pct becomes the command that enters the guest, a
freeze around each snapshot, ``lock:`` and ``snapstate:`` while one is made, a whole configuration in each
snapshot's section, a restore that stops hard and brings the old configuration back, and no snapshot of what
has a bind mount.

What it does not have: tasks, high availability, replication, a quorum, migration (a test moves the file to
another node's folder), pending changes, AppArmor, exit codes by errno (2 where there is no configuration, 4
for the lock, 255 else). Each call is a line of ``/run/lab/pct.log``, to show that nothing else was touched.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CLUSTER = Path("/etc/pve")
LXC = "/var/lib/lxc"
LOCKS = Path("/run/lock/lxc")
LOG = Path("/run/lab/pct.log")
PATH = "/sbin:/bin:/usr/sbin:/usr/bin"
PATIENCE = 60.0

_SECTION = re.compile(r"\[(pve:pending|[a-z][a-z0-9_-]+)\]\s*", re.IGNORECASE)
_RAW = re.compile(r"(lxc\.[a-z0-9_.-]+)\s*[:=]\s*(.*?)\s*")
_SETTING = re.compile(r"([a-z][a-z_]*\d*):\s*(.+?)\s*")
_NUMBER = re.compile(r"[1-9][0-9]{2,8}")
_SNAPSHOT = re.compile(r"[a-z][a-z0-9_-]{1,39}", re.IGNORECASE)
_FLAGS = frozenset({"verbose", "current", "force", "start", "forceStop"})


class PctError(Exception):
    """What it says on standard error before it ends with a code."""

    def __init__(self, message: str, code: int = 255) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Section:
    """One section of a configuration."""

    settings: dict[str, str] = field(default_factory=dict)
    raw: list[str] = field(default_factory=list)


Configuration = dict[str, Section]
"""Sections by name; the guest as it is has none."""


def file_of(guest: str) -> Path:
    return CLUSTER / "lxc" / f"{guest}.conf"


def load(guest: str) -> Configuration:
    try:
        text = file_of(guest).read_text(encoding="utf-8")
    except FileNotFoundError:
        node = (CLUSTER / "lxc").resolve().parent.name
        raise PctError(f"Configuration file 'nodes/{node}/lxc/{guest}.conf' does not exist", 2) from None
    now = Section()
    sections = {"": now}
    for line in filter(str.strip, text.splitlines()):
        if found := _SECTION.fullmatch(line):
            now = sections[found[1]] = Section()
        elif line.startswith("#"):
            now.settings["description"] = now.settings.get("description", "") + line[1:] + "\n"
        elif found := _RAW.fullmatch(line):
            now.raw.append(f"{found[1]}: {found[2]}")
        elif found := _SETTING.fullmatch(line):
            now.settings[found[1]] = found[2]
        else:
            sys.stderr.write(f"vm {guest} - unable to parse config: {line}\n")
    return sections


def save(guest: str, sections: Configuration) -> None:
    lines: list[str] = []
    for name in sorted(sections):
        section = sections[name]
        lines += [f"\n[{name}]"] if name else []
        lines += [f"#{line}" for line in section.settings.get("description", "").splitlines()]
        lines += [
            f"{key}: {value}" for key, value in sorted(section.settings.items()) if key != "description"
        ]
        lines += section.raw
    draft = file_of(guest).with_suffix(f".tmp.{os.getpid()}")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.replace(file_of(guest))


class Lock:
    """The short lock around a change of the configuration; the long one is its ``lock:`` line."""

    def __init__(self, guest: str) -> None:
        LOCKS.mkdir(parents=True, exist_ok=True)
        self._path = LOCKS / f"pve-config-{guest}.lock"

    def __enter__(self) -> None:
        self._file = self._path.open("a")
        until = time.monotonic() + 10
        while True:
            try:
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise PctError(f"can't lock file '{self._path}' - got timeout", 4) from None
                _sleep()

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _sleep() -> None:
    time.sleep(0.05)


def refuse_locked(section: Section) -> None:
    if held := section.settings.get("lock"):
        raise PctError(f"CT is locked ({held})")


def tool(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PctError(
            f"command '{' '.join(argv)}' failed: exit code {done.returncode}: {done.stderr.strip()}"
        )


def runs(guest: str) -> bool:
    """Tell, as the real one does, whether the container's command socket is open."""
    listed = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
    return any(line.endswith(f"@{LXC}/{guest}/command") for line in listed.splitlines())


def wait_until_stopped(guest: str) -> None:
    until = time.monotonic() + PATIENCE
    while runs(guest) and time.monotonic() < until:
        _sleep()


# --- storage ------------------------------------------------------------------------------------------------


def store_of(volume: str) -> Path | None:
    """Return where the volumes of a btrfs storage are; ``None`` of any other."""
    kind = name = ""
    for line in (CLUSTER / "storage.cfg").read_text(encoding="utf-8").splitlines():
        if head := re.fullmatch(r"(\w+): (\S+)", line):
            kind, name = head[1], head[2]
        elif name == volume.partition(":")[0] and kind == "btrfs" and line.strip().startswith("path "):
            return Path(line.strip().removeprefix("path ").strip())
    return None


def volumes(section: Section) -> Iterator[str]:
    for key, value in section.settings.items():
        if key == "rootfs" or re.fullmatch(r"mp\d+", key):
            yield value.split(",")[0].removeprefix("volume=")


def subvolume(volume: str, snapshot: str = "") -> str:
    name = volume.partition(":")[2] + (f"@{snapshot}" if snapshot else "")
    return f"{store_of(volume)}/{name}"


# --- verbs --------------------------------------------------------------------------------------------------

Options = dict[str, str]


def list_all(_options: Options, _args: Sequence[str]) -> None:
    names = (path.name.removesuffix(".conf") for path in (CLUSTER / "lxc").glob("*.conf"))
    form = "%-10s %-10s %-12s %-20s\n"
    for number, guest in enumerate(sorted(filter(_NUMBER.fullmatch, names), key=int)):
        if not number:
            sys.stdout.write(form % ("VMID", "Status", "Lock", "Name"))
        told = load(guest)[""].settings
        name = re.sub(r"\s", "", told.get("hostname", f"CT{guest}"))
        sys.stdout.write(form % (guest, "running" if runs(guest) else "stopped", told.get("lock", ""), name))


def config(options: Options, args: Sequence[str]) -> None:
    sections = load(args[0])
    name = options.get("snapshot", "")
    if name not in sections:
        raise PctError(f"snapshot '{name}' does not exist")
    shown = dict(sections[name].settings)
    if not name and "current" not in options and "pve:pending" in sections:
        shown |= sections["pve:pending"].settings  # as if they were in force
        shown.pop("delete", None)
    for key, value in sorted(shown.items()):
        text = value.replace("%", "%25").replace(":", "%3A").replace("\n", "%0A")
        sys.stdout.write(f"{key}: {text if key == 'description' else value}\n")
    sys.stdout.writelines(f"{line}\n" for line in sections[name].raw)


def status(options: Options, args: Sequence[str]) -> None:
    told = load(args[0])[""].settings
    shown = {"status": "running" if runs(args[0]) else "stopped"}
    if "verbose" in options:
        shown |= {"vmid": args[0], "name": told.get("hostname", f"CT{args[0]}"), "type": "lxc"}
        shown |= {key: told[key] for key in ("tags", "template", "lock") if key in told}
    sys.stdout.writelines(f"{key}: {value}\n" for key, value in sorted(shown.items()))


def execute(_options: Options, args: Sequence[str]) -> None:
    guest, *command = args
    load(guest)
    if not runs(guest):
        raise PctError(f"container '{guest}' not running!")
    if not command:
        raise PctError("missing command")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        os.environ.pop(name, None)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Perl leaves alone, and Python does not
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp("lxc-attach", ["lxc-attach", "-P", LXC, "-n", guest, "--keep-env", "--", *command])  # noqa: S606
    except OSError as error:
        sys.exit(error.errno)


def start(_options: Options, args: Sequence[str]) -> None:
    now = load(args[0])[""]
    if runs(args[0]):
        raise PctError(f"CT {args[0]} already running")
    if now.settings.get("template") == "1":
        raise PctError("you can't start a CT if it's a template")
    if now.settings.get("lock") != "mounted":
        refuse_locked(now)
    tool("lxc-start", "-P", LXC, "-n", args[0], "-d")


def _stop(guest: str, *how: str) -> None:
    now = load(guest)[""]
    if not runs(guest):
        raise PctError(f"CT {guest} not running")
    refuse_locked(now)
    tool("lxc-stop", "-P", LXC, "-n", guest, *how)
    wait_until_stopped(guest)


def stop(_options: Options, args: Sequence[str]) -> None:
    _stop(args[0], "-k")


def shutdown(options: Options, args: Sequence[str]) -> None:
    gently = () if options.get("forceStop") == "1" else ("--nokill",)
    _stop(args[0], "-t", options.get("timeout", "60"), *gently)


def reboot(options: Options, args: Sequence[str]) -> None:
    shutdown(options, args)
    start({}, args)


def unlock(_options: Options, args: Sequence[str]) -> None:
    with Lock(args[0]):
        sections = load(args[0])
        if sections[""].settings.pop("lock", None) is None:
            raise PctError("no lock found trying to remove any lock")
        save(args[0], sections)


def set_(options: Options, args: Sequence[str]) -> None:
    with Lock(args[0]):
        sections = load(args[0])
        refuse_locked(sections[""])
        for key, value in options.items():
            if key == "delete":
                for one in value.split(","):
                    sections[""].settings.pop(one, None)
            elif key == "tags":
                tags = {tag.lower() for tag in re.split(r"[,; ]+", value) if tag}
                sections[""].settings["tags"] = ";".join(sorted(tags))
            else:
                sections[""].settings[key] = value
        save(args[0], sections)


def snapshot(options: Options, args: Sequence[str]) -> None:
    guest, name = args
    if name in {"current", "vzdump"}:
        raise PctError(f"unable to use snapshot name '{name}' (reserved name)")
    with Lock(guest):
        sections = load(guest)
        now = sections[""]
        if now.settings.get("template") == "1":
            raise PctError("you can't take a snapshot if it's a template")
        refuse_locked(now)
        if name in sections:
            raise PctError(f"snapshot name '{name}' already used")
        if any(volume.startswith("/") or store_of(volume) is None for volume in volumes(now)):
            raise PctError("snapshot feature is not available")
        kept = {key: value for key, value in now.settings.items() if key not in {"lock", "template"}}
        kept |= {"snapstate": "prepare", "snaptime": str(int(time.time()))}
        if options.get("description"):
            kept["description"] = options["description"] + "\n"
        sections[name] = Section(kept, list(now.raw))
        now.settings["lock"] = "snapshot"
        save(guest, sections)
    _freeze_and_copy(guest, name, list(volumes(sections[name])))
    with Lock(guest):
        sections = load(guest)
        sections[name].settings.pop("snapstate", None)
        sections[""].settings.pop("lock", None)
        sections[""].settings["parent"] = name
        save(guest, sections)


def _freeze_and_copy(guest: str, name: str, copied: Sequence[str]) -> None:
    was_running = runs(guest)
    if was_running:
        tool("lxc-freeze", "-P", LXC, "-n", guest)
    try:
        for volume in copied:
            tool("btrfs", "-q", "subvolume", "snapshot", "-r", subvolume(volume), subvolume(volume, name))
    finally:
        if was_running:
            tool("lxc-unfreeze", "-P", LXC, "-n", guest)


def _existing(sections: Configuration, name: str) -> Section:
    if name not in sections or not name:
        raise PctError(f"snapshot '{name}' does not exist")
    return sections[name]


def delete_snapshot(options: Options, args: Sequence[str]) -> None:
    guest, name = args
    with Lock(guest):
        sections = load(guest)
        gone = _existing(sections, name)
        refuse_locked(sections[""])
        sections[""].settings["lock"] = "snapshot-delete"
        save(guest, sections)
    for volume in volumes(gone):
        try:
            tool("btrfs", "-q", "subvolume", "delete", subvolume(volume, name))
        except PctError:
            if "force" not in options:
                raise  # and the lock stays, as in the real one
    with Lock(guest):
        sections = load(guest)
        del sections[name]
        for other in sections.values():
            if other.settings.get("parent") == name:
                other.settings.pop("parent")
                other.settings |= {key: value for key, value in gone.settings.items() if key == "parent"}
        sections[""].settings.pop("lock", None)
        save(guest, sections)


def list_snapshots(_options: Options, args: Sequence[str]) -> None:
    sections = load(args[0])
    told = {name: one.settings for name, one in sections.items() if name not in {"", "pve:pending"}}
    told["current"] = {"parent": sections[""].settings.get("parent", ""), "description": "You are here!"}

    def show(parent: str, prefix: str) -> None:
        of_parent = [one for one in told if told[one].get("parent", "") == parent]
        for name in sorted(of_parent, key=lambda one: int(told[one].get("snaptime", 1 << 62))):
            first = (told[name].get("description") or "no-description").splitlines()[0]
            taken = told[name].get("snaptime")
            when = time.strftime("%F %H:%M:%S", time.localtime(int(taken))) if taken else ""
            sys.stdout.write(f"{prefix} {name:{max(0, 30 - len(prefix))}} {when:23} {first}\n")
            show(name, f" {prefix}")

    show("", "`->")


def rollback(options: Options, args: Sequence[str]) -> None:
    guest, name = args
    with Lock(guest):
        sections = load(guest)
        now, old = sections[""], _existing(sections, name)
        if now.settings.get("template") == "1":
            raise PctError("you can't rollback if vm is a template")
        if state := old.settings.get("snapstate"):
            raise PctError(f"unable to rollback to incomplete snapshot (snapstate = {state})")
        refuse_locked(now)
        if runs(guest):
            tool("lxc-stop", "-P", LXC, "-n", guest, "-k")  # hard: nothing inside is asked
            wait_until_stopped(guest)
        now.settings["lock"] = "rollback"
        save(guest, sections)
    for volume in volumes(old):
        tool("btrfs", "-q", "subvolume", "delete", subvolume(volume))
        tool("btrfs", "-q", "subvolume", "snapshot", subvolume(volume, name), subvolume(volume))
    with Lock(guest):
        sections = load(guest)
        own = {"snaptime", "snapstate", "description"}
        kept = {key: value for key, value in old.settings.items() if key not in own}
        sections[""] = Section({**kept, "parent": name}, list(old.raw))
        save(guest, sections)
    if "start" in options:
        start({}, [guest])


_VERBS = {
    "list": (list_all, 0, 0),
    "config": (config, 1, 1),
    "status": (status, 1, 1),
    "exec": (execute, 1, 1 << 16),
    "start": (start, 1, 1),
    "stop": (stop, 1, 1),
    "shutdown": (shutdown, 1, 1),
    "reboot": (reboot, 1, 1),
    "unlock": (unlock, 1, 1),
    "set": (set_, 1, 1),
    "snapshot": (snapshot, 2, 2),
    "delsnapshot": (delete_snapshot, 2, 2),
    "listsnapshot": (list_snapshots, 1, 1),
    "rollback": (rollback, 2, 2),
}


def parsed(argv: Sequence[str], *, takes_rest: bool) -> tuple[Options, list[str]]:
    """Take options apart (``--a=b``, ``--a b``, ``-a b``); everything after ``--`` is arguments."""
    options: Options = {}
    args: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--" or (takes_rest and args and not word.startswith("-")):
            return options, args + ([] if word == "--" else [word]) + words
        if not word.startswith("-"):
            args.append(word)
            continue
        key, has_value, value = word.lstrip("-").partition("=")
        if not has_value and key in _FLAGS:
            value = words.pop(0) if words[:1] in (["0"], ["1"]) else "1"
        elif not has_value:
            value = words.pop(0) if words else ""
        options[key] = value
    return {key: value for key, value in options.items() if key not in _FLAGS or value != "0"}, args


def main(argv: Sequence[str]) -> None:
    """Perform one call.

    Raises:
        PctError: It cannot be done.
    """
    with LOG.open("a", encoding="utf-8") as log:
        log.write(
            " ".join(word if len(word) <= 60 else f"{word[:57]}..." for word in argv).replace("\n", " ")
            + "\n"
        )
    verb, *rest = argv or [""]
    if verb not in _VERBS:
        raise PctError(f"ERROR: unknown command 'pct {verb}'\nUSAGE: pct <COMMAND> [ARGS] [OPTIONS]")
    call, least, most = _VERBS[verb]
    options, args = parsed(rest, takes_rest=verb == "exec")
    if args and least and not _NUMBER.fullmatch(args[0]):
        raise PctError("400 Parameter verification failed.\nvmid: invalid format - value is no valid VM ID")
    if not least <= len(args) <= most:
        raise PctError(f"400 {'not enough' if len(args) < least else 'too many'} arguments")
    if least == 2 and not _SNAPSHOT.fullmatch(args[1]):
        raise PctError(f"400 Parameter verification failed.\nsnapname: invalid configuration ID '{args[1]}'")
    call(options, args)


if __name__ == "__main__":
    os.environ["PATH"] = PATH
    try:
        main(sys.argv[1:])
    except PctError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.code)
