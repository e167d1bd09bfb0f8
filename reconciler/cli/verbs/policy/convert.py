"""``policy init --from-...``: start a policy repository from another updater's configuration."""

import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler.cli.showing.terminal import print_json
from reconciler.cli.verbs.detected import time_zone
from reconciler.cli.verbs.policy import start
from reconciler.errors import Misuse
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.text.canonical import plain
from reconciler.planning.text.wording import plural
from reconciler.policy import from_dnf_automatic, from_inventory, from_unattended_upgrades
from reconciler.policy.conversion import Converted, Machine, yaml_of
from reconciler.policy.load import NeedsUpgrade, PolicyFile, Rejected, Revision, load
from reconciler.policy.problems import Problem, visible
from reconciler.policy.zones import zone
from reconciler.resources import locate

_CONVERTERS: Mapping[str, Callable[[Sequence[tuple[str, str]], Machine], Converted | Problem]] = {
    "unattended-upgrades": from_unattended_upgrades.convert,
    "dnf-automatic": from_dnf_automatic.convert,
    "inventory": from_inventory.convert,
}
_MODELINE = "# yaml-language-server: $schema=../schemas/policy.schema.json\n"
_HEAD = "patchledger.yaml"
_PASSED_OVER = re.compile(r"~$|\.(?:disabled|bak|dpkg-[a-z]+|ucf-[a-z]+|save|orig|distUpgrade)$")
"""What apt passes over in its folders without a word (``Dir::Ignore-Files-Silently``)."""

_READ = re.compile(r"[A-Za-z0-9_-]+|[A-Za-z0-9_-][A-Za-z0-9_.-]*\.conf")
"""What apt reads in its folders."""

_NO_INVENTORY = re.compile(r"^\.|~$|\.(?:orig|bak|cfg|retry|pyc|pyo)$")
"""What Ansible passes over in a folder of inventories."""

_MOST_BYTES = 1024 * 1024


def init(
    tool: str,
    files: Sequence[str],
    folder: str | None,
    os_release: str | None,
    timezone: str | None,
    *,
    form: str,
) -> int:
    """Write the policy that comes nearest to a configuration, or print it where no folder is named; return 0.

    Args:
        tool: Whose configuration it is.
        files: In the order in which the tool reads them; the last one may be the folder instead.
        folder: A new or empty one.
        os_release: File that tells of a host's release; otherwise this machine's.
        timezone: The hosts'; otherwise this machine's.
        form: ``text`` or ``json``.

    Raises:
        Misuse: A file cannot be read, or not by the tool; it lists more than a policy may hold; or the folder
            is not empty.
        Stalled: git fails.
    """
    if folder is None and len(files) > 1 and not Path(files[-1]).is_file():
        *files, folder = files
    texts = [(name, _text(name)) for name in _named(tool, files)]
    if not texts:
        raise Misuse("none of these files is read by the tool", "name those in use, not copies set aside")
    converted = _CONVERTERS[tool](texts, _machine(os_release, timezone))
    if isinstance(converted, Problem):
        raise Misuse(str(converted))
    written = {path: _MODELINE + yaml_of(document) for path, document in converted.documents.items()}
    _check(written)
    commit = ""
    if folder is not None:
        read = ", ".join(visible(Path(name).name) for name, _ in texts)
        repository = {_HEAD: locate(f"examples/policies/minimal/{_HEAD}").read_text(encoding="utf-8")}
        repository |= {"README.md": _readme(read, converted.left)} | written
        paths = {Path(path): text for path, text in repository.items()}
        commit = start.plant(folder, paths, f"Start from the configuration of {tool}")
    _print(folder, commit, written, converted.left, form)
    return 0


def _check(written: Mapping[str, str]) -> None:
    """Refuse what would be no policy: a list may name more packages than one may hold."""
    match load([PolicyFile(path, "100644", text.encode()) for path, text in written.items()]):
        case Rejected(problems):
            raise Misuse(f"it would be no good policy: {problems[0]}", "convert a part of it")
        case NeedsUpgrade() | Revision():
            pass


def _named(tool: str, files: Sequence[str]) -> list[str]:
    """Return the files, and of a folder those that the tool reads, in their order."""
    found: list[str] = []
    for name in files:
        if Path(name).is_dir():
            inside = sorted(path for path in Path(name).iterdir() if path.is_file())
            found += [str(path) for path in inside if _is_read(tool, path.name)]
        elif not _PASSED_OVER.search(name):
            found.append(name)
    return found


def _is_read(tool: str, name: str) -> bool:
    if tool == "inventory":
        return not _NO_INVENTORY.search(name)
    return _READ.fullmatch(name) is not None


def _text(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Misuse(f"cannot read {name}: {error.strerror}", "name files that you may read") from error
    if len(data) > _MOST_BYTES:
        raise Misuse(f"{name} is larger than 1 MiB", "is it a configuration?")
    return data.decode("utf-8", "replace")


def _machine(os_release: str | None, timezone: str | None) -> Machine:
    """Return what is known of the hosts: from the options, otherwise from this machine."""
    if os_release is not None:
        lines = (line.partition("=") for line in _text(os_release).splitlines())
        release = {key.strip(): value.strip().strip("\"'") for key, _, value in lines}
    else:
        try:
            release = platform.freedesktop_os_release()
        except OSError:
            release = {}
    named = timezone or time_zone() or "UTC"
    try:
        today = SystemClock().now().astimezone(zone(named)).date()
    except ValueError as error:
        raise Misuse(f"--timezone: {error}", "write a name such as Europe/Berlin") from error
    os_id, version, codename = (release.get(key, "") for key in ("ID", "VERSION_ID", "VERSION_CODENAME"))
    return Machine(os_id, version, codename, named, today)


def _readme(read: str, left: Sequence[Problem]) -> str:
    """Return the page that keeps what the documents could not say."""
    lines = [f"    {replace(one, file=Path(one.file).name)}\n" for one in left] or ["    nothing\n"]
    return (
        f"# Policy\n\nMade from {read} by `patchledger policy init`.\n\n"
        f"What has no counterpart, or not quite:\n\n{''.join(lines)}\n"
        "Check the documents with `patchledger policy check`.\n"
    )


def _print(
    folder: str | None, commit: str, written: Mapping[str, str], left: Sequence[Problem], form: str
) -> None:
    if form == "json":
        print_json(
            {"folder": folder, "commit": commit, "documents": dict(written), "left": plain(tuple(left))}
        )
        return
    if folder is None:
        sys.stdout.writelines(f"# {path}\n{text}---\n" for path, text in written.items())
    else:
        sys.stdout.write(f"{folder}\n")
    mark = "# " if folder is None else ""
    sys.stdout.writelines(f"{mark}{one}\n" for one in left)
    end = (
        f"next: edit the files, then run patchledger policy check {folder}"
        if folder
        else "nothing is written"
    )
    sys.stderr.write(f"{plural(len(left), 'remark')}; {end}\n")
