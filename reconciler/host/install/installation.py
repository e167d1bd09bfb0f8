"""What must be done so that a machine is as the answers say, and to take all of it back: a plan, and no deed.

The rules:

- A plan holds only what is not so already: of a machine that is set up as answered it is empty.
- What is going to be made is written into the manifest first, so that a setup that was interrupted can be
  repeated or cleaned up.
- A file that we did not write, or that was changed since, is kept beside its new version.
- Only what the manifest names is ever removed, and of the folders only those that were made for it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from enum import Enum
from pathlib import Path
from typing import Literal

from reconciler.errors import Misuse
from reconciler.host import DEFAULT_STATE_DIR
from reconciler.host.config import Config
from reconciler.host.install import units
from reconciler.host.install.answers import Answers, config_text, configuration
from reconciler.host.install.competing import Updater
from reconciler.host.install.credentials import default_path, folder_beside, places
from reconciler.host.install.units import UnitInputs, unit_files
from reconciler.records import dataclass

SYSTEM_UNITS = Path("/etc/systemd/system")
"""Where systemd itself looks for encrypted credentials: systemd.exec(5)."""
_OWN_BY_NAME = (Path(DEFAULT_STATE_DIR), Path("/var/log/patchledger"))
ENABLED = (units.TIMER, units.BOOT)
"""What ``setup`` and ``enable`` enable."""
_VERSION = 1
_COPY = ".before-setup-"


# --- Where things are -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """Where an installation keeps its files.

    Attributes:
        config: The configuration file, absolute; what else is ours lies beside it.
        units: Folder of the units; systemd is only spoken to where it is its own.
    """

    config: Path
    units: Path = SYSTEM_UNITS

    @property
    def folder(self) -> Path:
        """The folder of everything but units and data."""
        return self.config.parent

    @property
    def manifest(self) -> Path:
        """What was installed."""
        return self.folder / "installed.json"

    @property
    def lock(self) -> Path:
        """Held while an installation is changed."""
        return self.folder / ".setup.lock"

    @property
    def policy_copy(self) -> Path:
        """Where setup keeps what it fetched and verified of the policy, until it has come to its end."""
        return self.folder / ".setup.policy"

    @property
    def parked(self) -> Path:
        """What parked updaters were like before."""
        return self.folder / "parked-updaters.json"

    @property
    def is_system(self) -> bool:
        """Whether the units are those of the running system."""
        return self.units == SYSTEM_UNITS

    @property
    def credentials(self) -> Path:
        """The folder of encrypted credentials."""
        return folder_beside(self.config)

    def encrypted(self, credential: str) -> Path:
        """Return where we keep an encrypted credential."""
        return default_path(credential, self.credentials)

    @property
    def secrets(self) -> Path:
        """The folder of addresses in plain files."""
        return self.folder / "secrets"

    @property
    def report_key(self) -> Path:
        """The SSH private key that signs reports, unless the answers name another."""
        return self.folder / "report_key"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``setup`` has made, so that ``cleanup`` knows what is ours.

    Attributes:
        config: The configuration it was made for.
        units: Folder of the units.
        files: Each file and the SHA-256 of what we wrote; empty where that is not known or changes.
        folders: Those that were not there before, outermost first.
        data: State and log folders that were configured, now or earlier.
        hooks: The operator's own hooks.
        updaters: What was answered.
    """

    config: Path
    units: Path
    files: Mapping[Path, str]
    folders: tuple[Path, ...]
    data: tuple[Path, ...]
    hooks: Path
    updaters: Literal["park", "leave"] = "park"

    def to_json(self) -> bytes:
        """Write the manifest as its file holds it."""
        document = {
            "version": _VERSION,
            "config": str(self.config),
            "units": str(self.units),
            "files": {str(path): self.files[path] for path in sorted(self.files)},
            "folders": [str(path) for path in self.folders],
            "data": [str(path) for path in self.data],
            "hooks": str(self.hooks),
            "updaters": self.updaters,
        }
        return (json.dumps(document, indent=2) + "\n").encode()


def read_manifest(data: bytes, path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        Misuse: It is damaged, or of another version.
    """
    try:
        read = json.loads(data)
        if read["version"] != _VERSION:
            raise Misuse(f"{path} is of version {read['version']}", "use the patchledger that wrote it")
        return Manifest(
            Path(read["config"]),
            Path(read["units"]),
            {Path(name): str(digest) for name, digest in read["files"].items()},
            tuple(Path(name) for name in read["folders"]),
            tuple(Path(name) for name in read["data"]),
            Path(read["hooks"]),
            "leave" if read["updaters"] == "leave" else "park",
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise Misuse(
            f"{path} is damaged: it cannot be told what setup has installed",
            "move it away and run setup again, which finds its files by their names",
        ) from error


# --- What can be done -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make a folder."""

    path: Path
    mode: int = 0o700

    def __str__(self) -> str:
        return f"make the folder {self.path} (mode {self.mode:04o})"


class FileKind(Enum):
    """What a file of an installation is, in words for people."""

    UNIT = "unit"
    CONFIGURATION = "the configuration"
    ADDRESS = "the address of {name}, unencrypted"
    MANIFEST = "what is installed"
    COPY = "a copy of what was there"

    @property
    def mode(self) -> int:
        """Whom it is for: what a unit says is no secret."""
        return 0o644 if self is FileKind.UNIT else 0o600


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Make ``content`` what a file holds, whole or not at all.

    Attributes:
        before: What it holds now, ``None`` where there is no such file.
    """

    path: Path
    content: bytes = field(repr=False)
    kind: FileKind
    before: bytes | None = field(repr=False)

    def __str__(self) -> str:
        if self.before is None:
            verb = "write"
        else:
            verb = "set the mode of" if self.before == self.content else "change"
        what = self.kind.value.format(name=self.path.name)
        return f"{verb} {self.path} ({what}, mode {self.kind.mode:04o})"


@dataclass(frozen=True, slots=True)
class Encrypt:
    """Keep a secret encrypted for this machine."""

    credential: str
    path: Path
    secret: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"encrypt the credential {self.credential} into {self.path}"


@dataclass(frozen=True, slots=True)
class MakeKey:
    """Make an SSH key; one that is there is never written over.

    Attributes:
        comment: Whose it is.
    """

    path: Path
    comment: str

    def __str__(self) -> str:
        return f"make the SSH key {self.path} (it signs reports, mode 0600)"


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove a file of ours."""

    path: Path

    def __str__(self) -> str:
        return f"remove {self.path}"


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """Remove a folder: with all that is in it, or only where nothing is left in it."""

    path: Path
    with_content: bool

    def __str__(self) -> str:
        return f"remove {self.path}{' and all that is in it' if self.with_content else ', if it is empty'}"


@dataclass(frozen=True, slots=True)
class Reload:
    """Let systemd read its units anew."""

    def __str__(self) -> str:
        return "let systemd read its units anew"


@dataclass(frozen=True, slots=True)
class Enable:
    """Enable units, and start the first of them, anew where it runs: its text may have changed."""

    units: tuple[str, ...]

    def __str__(self) -> str:
        return f"enable {' and '.join(self.units)}, and start {self.units[0]}"


@dataclass(frozen=True, slots=True)
class Disable:
    """Stop and disable units."""

    units: tuple[str, ...]

    def __str__(self) -> str:
        return f"stop and disable {', '.join(self.units)}"


@dataclass(frozen=True, slots=True)
class ForgetTimer:
    """Remove what systemd remembers of a timer's last run."""

    unit: str

    def __str__(self) -> str:
        return f"let systemd forget when {self.unit} ran last"


@dataclass(frozen=True, slots=True)
class Park:
    """Keep other updaters from doing anything by themselves."""

    updaters: tuple[Updater, ...]
    record: Path

    def __str__(self) -> str:
        return f"park {', '.join(one.name for one in self.updaters)} (given back by cleanup)"


@dataclass(frozen=True, slots=True)
class Restore:
    """Give parked updaters back as they were."""

    record: Path

    def __str__(self) -> str:
        return "give back the parked updaters"


Action = (
    MakeFolder
    | WriteFile
    | Encrypt
    | MakeKey
    | RemoveFile
    | RemoveFolder
    | Reload
    | Enable
    | Disable
    | ForgetTimer
    | Park
    | Restore
)


# --- What there is --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Present:
    """The machine as it is now.

    Attributes:
        files: Content of those files that could be concerned and exist.
        modes: Of the same.
        folders: Those that could be concerned and exist.
        secrets: What our encrypted credentials hold, by name, as far as they decrypt.
        manifest: What was installed, ``None`` before the first setup.
        updaters: Other programs that change packages by themselves.
        enabled: Units of ours that are enabled, and active where they are timers.
        has_systemd: Whether systemd runs here, and the units are its own.
    """

    files: Mapping[Path, bytes] = field(repr=False)
    modes: Mapping[Path, int]
    folders: frozenset[Path]
    secrets: Mapping[str, bytes] = field(repr=False)
    manifest: Manifest | None
    updaters: tuple[Updater, ...]
    enabled: frozenset[str]
    has_systemd: bool


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One file of an installation."""

    kind: FileKind
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Aim:
    """What answers come to: the files of an installation.

    Attributes:
        config: As it will be read.
        files: By path.
        credentials: Secrets to be encrypted, by credential name.
        loaded: All credentials that the units load: those, and those that were there before.
    """

    config: Config
    files: Mapping[Path, WantedFile]
    credentials: Mapping[str, bytes] = field(repr=False)
    loaded: tuple[tuple[str, Path], ...]

    @property
    def key_files(self) -> tuple[Path, ...]:
        """The SSH key that signs reports, and its public half; none where reports are not signed."""
        key = self.config.reports.signing_key
        return () if key is None else (key, key.with_name(f"{key.name}.pub"))


def credential_name(notifier: str) -> str:
    """Return the name of the credential that holds a notifier's address."""
    return f"notifier-{notifier}"


def wanted(
    answers: Answers,
    addresses: Mapping[str, bytes],
    layout: Layout,
    program: Path,
    *,
    writable: tuple[Path, ...] = (),
    known: frozenset[Path] = frozenset(),
) -> Aim:
    """Return what the answers come to.

    Args:
        answers: Checked.
        addresses: The address of each notifier that is new, by its name.
        layout: Where things are.
        program: The command that the units start.
        writable: Folders elsewhere that a tick writes to.
        known: Encrypted credentials that are there already.

    Raises:
        Misuse: A credential that an answer names is nowhere, or a path cannot stand in a unit.
    """
    # What is new is kept as a private file or as a credential, as answered; the rest stays where it is.
    notifiers = answers.notifiers
    plain = {
        name: layout.secrets / name for name, one in notifiers.items() if one.is_new and one.keep == "file"
    }
    new = {name: credential_name(name) for name, one in notifiers.items() if one.is_new and name not in plain}
    earlier = {name: one.credential for name, one in notifiers.items() if one.credential and not one.is_new}
    credentials = new | earlier
    kept = {
        name: {"credential": credentials[name]}
        if name in credentials
        else {"file": str(plain.get(name, one.file))}
        for name, one in notifiers.items()
    }
    loaded = [(credential, layout.encrypted(credential)) for credential in new.values()]
    loaded += [(credential, _found(name, credential, layout, known)) for name, credential in earlier.items()]
    config = configuration(answers, kept)
    installed = UnitInputs(
        program=program,
        config=layout.config,
        tick=config.tick,
        credentials=tuple(sorted(loaded)),
        writable=_writable(config, writable),
        state=config.state_dir,
    )
    files = {path: WantedFile(FileKind.ADDRESS, addresses[name] + b"\n") for name, path in plain.items()}
    for name, text in unit_files(installed).items():
        files[layout.units / name] = WantedFile(FileKind.UNIT, text.encode())
    files[layout.config] = WantedFile(FileKind.CONFIGURATION, config_text(config).encode())
    secrets = {credential: addresses[name] for name, credential in new.items()}
    return Aim(config, files, secrets, tuple(sorted(loaded)))


def _writable(config: Config, more: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the folders that a tick writes to."""
    root = () if config.root is None else (config.root,)
    beside = (path.parent for path in (config.motd, config.metrics) if path)
    return (config.state_dir, config.log_dir, *more, *root, *beside)


def _found(notifier: str, credential: str, layout: Layout, known: frozenset[Path]) -> Path:
    for path in places(credential, layout.credentials):
        if path in known:
            return path
    raise Misuse(
        f"notifiers.{notifier}.credential: there is no encrypted credential {credential}",
        f"give its address anew, or put it at {layout.encrypted(credential)}",
    )


# --- Plans ----------------------------------------------------------------------------------------------


def plan_installation(
    aim: Aim,
    layout: Layout,
    present: Present,
    updaters: Literal["park", "leave"],
    *,
    enables: bool = True,
) -> tuple[Action, ...]:
    """Return what must be done, in order, so that the machine is as wanted; nothing where it is.

    Args:
        aim: What is wanted.
        layout: Where things are.
        present: The machine as it is.
        updaters: What becomes of other updaters.
        enables: Enable the units; otherwise they stay as they are.
    """
    before = present.manifest
    last = _manifest(aim, layout, present, updaters)
    writes = tuple(_writes(aim, before, present))
    folders = wanted_folders(aim, layout).items()
    deeds: tuple[Action, ...] = (
        *(MakeFolder(path, mode) for path, mode in folders if path not in present.folders),
        *(
            Encrypt(name, layout.encrypted(name), secret)
            for name, secret in sorted(aim.credentials.items())
            if present.secrets.get(name) != secret
        ),
        *(MakeKey(key, aim.config.host) for key in aim.key_files[:1] if key not in present.files),
        *writes,
        *(RemoveFile(path) for path in _no_longer_wanted(before, last) if path in present.files),
        *_services(layout, present, writes, enables=enables),
        *_competitors(layout, present, updaters),
    )
    if not deeds and before == last and present.files.get(layout.manifest) == last.to_json():
        return ()
    return tuple(_recorded(deeds, last, layout, present))


def _no_longer_wanted(before: Manifest | None, last: Manifest) -> list[Path]:
    return [] if before is None else sorted(set(before.files) - set(last.files))


def _recorded(deeds: Iterable[Action], last: Manifest, layout: Layout, present: Present) -> Iterator[Action]:
    """Yield the deeds between a manifest that names what is there now or then, and one of what is then."""
    earlier = {} if present.manifest is None else present.manifest.files
    intent = replace(last, files={**earlier, **last.files})
    ours = [one for one in deeds if isinstance(one, MakeFolder) and one.path == layout.folder]
    yield from ours  # the manifest lies in it
    there = present.files.get(layout.manifest)
    yield WriteFile(layout.manifest, intent.to_json(), FileKind.MANIFEST, there)
    yield from (one for one in deeds if one not in ours)
    if intent != last:
        yield WriteFile(layout.manifest, last.to_json(), FileKind.MANIFEST, intent.to_json())


def plan_removal(
    layout: Layout, present: Present, manifest: Manifest, *, kept: Iterable[Path], purge: bool
) -> tuple[Action, ...]:
    """Return what must be done, in order, so that nothing of ours is left.

    Args:
        layout: Where things are.
        present: The machine as it is.
        manifest: What was installed.
        kept: What of our data must stay, such as reports that were not pushed; the folders above stay too.
        purge: Remove the operator's hooks and what was kept of earlier configurations, too.
    """
    return tuple(_removals(layout, present, manifest, frozenset(kept), purge=purge))


def left_behind(manifest: Manifest, present: Present) -> tuple[Path, ...]:
    """Return the data folders that :func:`plan_removal` leaves, since they were there before us."""
    return tuple(path for path in manifest.data if path in present.folders and not _is_own(path, manifest))


def _removals(
    layout: Layout, present: Present, manifest: Manifest, kept: frozenset[Path], *, purge: bool
) -> Iterator[Action]:
    held = {path for path in manifest.files if path in present.files}
    of_systemd = {path for path in held if path.parent == manifest.units}
    yield from _units_removed(of_systemd, present)
    if layout.parked in present.files:
        yield Restore(layout.parked)
    for path in sorted(manifest.data):
        if path in present.folders and _is_own(path, manifest):
            yield from _data_removed(path, kept, present)
    for path in sorted(held - of_systemd):
        yield RemoveFile(path)
    if purge and manifest.hooks in present.folders:
        yield RemoveFolder(manifest.hooks, with_content=True)
    if purge:
        yield from (RemoveFile(path) for path in sorted(present.files) if is_copy(path.name))
    yield RemoveFile(layout.manifest)
    yield RemoveFile(layout.lock)
    # The folders that were made for it; what somebody else put there keeps them.
    ours = {*manifest.folders, layout.credentials, layout.secrets} - set(manifest.data)
    for path in sorted(ours & present.folders, key=lambda each: len(each.parts), reverse=True):
        yield RemoveFolder(path, with_content=False)


def _units_removed(files: Iterable[Path], present: Present) -> Iterator[Action]:
    names = tuple(sorted(path.name for path in files))
    if present.has_systemd and names:
        yield Disable(names)
        yield ForgetTimer(units.TIMER)
    for path in sorted(files):
        yield RemoveFile(path)
    if present.has_systemd:
        yield Reload()


def _data_removed(folder: Path, kept: frozenset[Path], present: Present) -> Iterator[Action]:
    """Yield the removal of a data folder, or of everything in it but what is kept."""
    if not any(folder == one or folder in one.parents for one in kept):
        yield RemoveFolder(folder, with_content=True)
        return
    for path in sorted(present.folders | set(present.files)):
        if path.parent == folder and path not in kept:
            yield RemoveFolder(path, with_content=True) if path in present.folders else RemoveFile(path)


def _is_own(path: Path, manifest: Manifest) -> bool:
    return path in manifest.folders or path in _OWN_BY_NAME


@dataclass(frozen=True, slots=True)
class Concerned:
    """What must be looked at before anything is planned.

    Attributes:
        files: Those that are there or not.
        copies: Folders in which copies of earlier files may lie.
        folders: Those that are there or not.
        data: Folders of which all that is in them matters.
    """

    files: frozenset[Path]
    copies: frozenset[Path]
    folders: frozenset[Path]
    data: tuple[Path, ...]


def concerned(layout: Layout, manifest: Manifest | None, aim: Aim | None) -> Concerned:
    """Return all that a plan for ``aim``, or to remove what is installed, asks :class:`Present` for."""
    files = {layout.manifest, layout.parked}
    folders = {layout.folder, layout.credentials, layout.secrets, layout.units}
    if aim is not None:
        files |= {*aim.files, *aim.key_files}
        folders |= wanted_folders(aim, layout).keys()
    if manifest is not None:
        files |= manifest.files.keys()
        folders |= {*manifest.folders, *manifest.data, manifest.hooks}
    copies = frozenset({layout.folder, layout.units})
    return Concerned(frozenset(files), copies, frozenset(folders), manifest.data if manifest else ())


def is_copy(name: str) -> bool:
    """Say whether a file of that name is a copy of what was there before a setup."""
    return _COPY in name


def wanted_folders(aim: Aim, layout: Layout) -> dict[Path, int]:
    """Return every folder that an installation needs, with its mode, outer ones before inner ones.

    Folders above its own are among them, so that whatever had to be made can be taken away again.
    """
    own = [layout.folder, aim.config.state_dir, aim.config.log_dir]
    if aim.credentials:
        own.append(layout.credentials)
    if any(one.kind is FileKind.ADDRESS for one in aim.files.values()):
        own.append(layout.secrets)
    own.extend(key.parent for key in aim.key_files[:1])
    above = {path for one in (*own, layout.units) for path in one.parents}
    if not layout.is_system:
        above.add(layout.units)
    modes = {**dict.fromkeys(above, 0o755), **dict.fromkeys(own, 0o700)}
    return {path: modes[path] for path in sorted(modes)}


def _manifest(aim: Aim, layout: Layout, present: Present, updaters: Literal["park", "leave"]) -> Manifest:
    before = present.manifest
    files = {path: sha256(one.content) for path, one in aim.files.items()}
    # Credentials that were given earlier stay ours for as long as they are loaded.
    files |= {path: "" for _, path in aim.loaded if path.parent == layout.credentials}
    # A key that was there before us is the operator's.
    earlier_files = before.files if before else {}
    files |= {path: "" for path in aim.key_files if path in earlier_files or path not in present.files}
    if before is not None:
        kept = {str(one.file) for one in aim.config.notifiers.values() if one.file is not None}
        files |= {
            path: said for path, said in before.files.items() if str(path) in kept and path not in files
        }
    earlier_folders = before.folders if before else ()
    earlier_data = before.data if before else ()
    new = tuple(path for path in wanted_folders(aim, layout) if path not in present.folders)
    data = (*earlier_data, aim.config.state_dir, aim.config.log_dir)
    return Manifest(
        layout.config,
        layout.units,
        files,
        tuple(dict.fromkeys((*earlier_folders, *new))),
        tuple(dict.fromkeys(data)),
        aim.config.hooks_dir,
        updaters,
    )


def _writes(aim: Aim, before: Manifest | None, present: Present) -> Iterator[WriteFile]:
    for path, one in sorted(aim.files.items()):
        there = present.files.get(path)
        if there == one.content and present.modes.get(path) == one.kind.mode:
            continue
        if there is not None and there != one.content:
            digest = sha256(there)
            if before is None or before.files.get(path) != digest:
                aside = path.with_name(f"{path.name}{_COPY}{digest[:8]}")
                yield WriteFile(aside, there, FileKind.COPY, present.files.get(aside))
        yield WriteFile(path, one.content, one.kind, there)


def _services(
    layout: Layout, present: Present, writes: Iterable[WriteFile], *, enables: bool
) -> Iterator[Action]:
    if not layout.is_system:
        return
    changed = {one.path.name for one in writes if one.path.parent == layout.units}
    if present.has_systemd and changed:
        yield Reload()
    # Whoever has chosen the daemon keeps it: it and the timer exclude each other.
    chosen = (units.WATCH, units.BOOT) if units.WATCH in present.enabled else ENABLED
    is_on = present.enabled.issuperset(chosen)
    if (enables and not is_on) or (chosen[0] in present.enabled and chosen[0] in changed):
        yield Enable(chosen)


def _competitors(layout: Layout, present: Present, updaters: str) -> Iterator[Action]:
    if not layout.is_system:
        return
    awake = tuple(one for one in present.updaters if not one.parked)
    if updaters == "park" and awake:
        yield Park(awake, layout.parked)
    if updaters == "leave" and layout.parked in present.files:
        yield Restore(layout.parked)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
