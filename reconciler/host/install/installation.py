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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reconciler.errors import Misuse
from reconciler.host import DEFAULT_STATE_DIR
from reconciler.host.config import Config
from reconciler.host.install import units
from reconciler.host.install.answers import Answers, config_text, configuration
from reconciler.host.install.competing import Updater
from reconciler.host.install.credentials import default_path, folder_beside, places
from reconciler.host.install.units import Installed, unit_files

SYSTEM_UNITS = Path("/etc/systemd/system")
"""Where systemd itself looks for encrypted credentials: systemd.exec(5)."""
_OWN_BY_NAME = (Path(DEFAULT_STATE_DIR), Path("/var/log/patchledger"))
ENABLED = (units.TIMER, units.BOOT)
"""What ``setup`` and ``enable`` enable."""
_VERSION = 1
_COPY = ".before-setup-"
_PRIVATE, _PUBLIC = 0o600, 0o644


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

    def secret(self, notifier: str) -> Path:
        """Return where we keep the address of a notifier as a plain file."""
        return self.folder / "secrets" / notifier


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


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Make ``content`` what a file holds, whole or not at all.

    Attributes:
        before: What it holds now, ``None`` where there is no such file.
        what: Says what it is, for people.
        is_secret: Its content is not to be shown.
    """

    path: Path
    content: bytes = field(repr=False)
    mode: int
    what: str
    before: bytes | None = field(default=None, repr=False)
    is_secret: bool = False

    def __str__(self) -> str:
        if self.before is None:
            verb = "write"
        else:
            verb = "set the mode of" if self.before == self.content else "change"
        return f"{verb} {self.path} ({self.what}, mode {self.mode:04o})"


@dataclass(frozen=True, slots=True)
class Encrypt:
    """Keep a secret encrypted for this machine."""

    credential: str
    path: Path
    secret: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"encrypt the credential {self.credential} into {self.path}"


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

    files: Mapping[Path, bytes] = field(default_factory=dict, repr=False)
    modes: Mapping[Path, int] = field(default_factory=dict)
    folders: frozenset[Path] = frozenset()
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    manifest: Manifest | None = None
    updaters: tuple[Updater, ...] = ()
    enabled: frozenset[str] = frozenset()
    has_systemd: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What answers come to: the files of an installation.

    Attributes:
        config: As it will be read.
        files: Content and mode by path, and what each is.
        credentials: Secrets to be encrypted, by credential name.
        loaded: All credentials that the units load: those, and those that were there before.
    """

    config: Config
    files: Mapping[Path, tuple[bytes, int, str]] = field(repr=False)
    credentials: Mapping[str, bytes] = field(repr=False)
    loaded: tuple[tuple[str, Path], ...]


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
) -> Wanted:
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
    kept: dict[str, dict[str, str]] = {}
    files: dict[Path, tuple[bytes, int, str]] = {}
    encrypted: dict[str, bytes] = {}
    loaded: list[tuple[str, Path]] = []
    for name, one in answers.notifiers.items():
        if one.is_new and one.keep == "file":
            kept[name] = {"file": str(layout.secret(name))}
            files[layout.secret(name)] = (
                addresses[name] + b"\n",
                _PRIVATE,
                f"the address of {name}, unencrypted",
            )
        elif one.is_new:
            credential = credential_name(name)
            kept[name] = {"credential": credential}
            encrypted[credential] = addresses[name]
            loaded.append((credential, layout.encrypted(credential)))
        elif one.credential is not None:
            kept[name] = {"credential": one.credential}
            loaded.append((one.credential, _found(name, one.credential, layout, known)))
        else:
            kept[name] = {"file": str(one.file)}
    config = configuration(answers, kept)
    folders = (
        config.state_dir,
        config.log_dir,
        *writable,
        *(path for path in (config.root,) if path),
        *(path.parent for path in (config.motd, config.metrics) if path),
    )
    installed = Installed(
        program=program,
        config=layout.config,
        tick=config.tick,
        credentials=tuple(sorted(loaded)),
        writable=folders,
        state=config.state_dir,
    )
    for name, text in unit_files(installed).items():
        files[layout.units / name] = (text.encode(), _PUBLIC, "unit")
    files[layout.config] = (config_text(config).encode(), _PRIVATE, "the configuration")
    return Wanted(config, files, encrypted, tuple(sorted(loaded)))


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
    aim: Wanted,
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
    folders = [
        MakeFolder(path, mode)
        for path, mode in wanted_folders(aim, layout).items()
        if path not in present.folders
    ]
    writes = list(_writes(aim, before, present))
    encrypts = [
        Encrypt(name, layout.encrypted(name), secret)
        for name, secret in sorted(aim.credentials.items())
        if present.secrets.get(name) != secret
    ]
    gone = () if before is None else tuple(sorted(set(before.files) - set(last.files)))
    removes = [RemoveFile(path) for path in gone if path in present.files]
    deeds: list[Action] = [
        *folders,
        *encrypts,
        *writes,
        *removes,
        *_services(layout, present, writes, enables=enables),
    ]
    deeds += _competitors(layout, present, updaters)
    is_recorded = before == last and present.files.get(layout.manifest) == last.to_json()
    if not deeds and is_recorded:
        return ()
    intent = Manifest(
        last.config,
        last.units,
        {**(before.files if before else {}), **last.files},
        last.folders,
        last.data,
        last.hooks,
        updaters,
    )
    made = [one for one in folders if one.path == layout.folder]
    rest = [one for one in deeds if one not in made]
    told = "what is installed"
    first = WriteFile(layout.manifest, intent.to_json(), _PRIVATE, told, present.files.get(layout.manifest))
    end: list[Action] = []
    if intent != last:
        end.append(WriteFile(layout.manifest, last.to_json(), _PRIVATE, told, intent.to_json()))
    return (*made, first, *rest, *end)


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
        yield from (RemoveFile(path) for path in sorted(present.files) if _COPY in path.name)
    yield RemoveFile(layout.manifest)
    yield RemoveFile(layout.lock)
    # The folders that were made for it; what somebody else put there keeps them.
    ours = {*manifest.folders, layout.folder / "credentials", layout.folder / "secrets"} - set(manifest.data)
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


def wanted_folders(aim: Wanted, layout: Layout) -> dict[Path, int]:
    """Return every folder that an installation needs, with its mode, outer ones before inner ones.

    Folders above its own are among them, so that whatever had to be made can be taken away again.
    """
    own = [layout.folder, aim.config.state_dir, aim.config.log_dir]
    if aim.credentials:
        own.append(layout.credentials)
    if any(path.parent == layout.folder / "secrets" for path in aim.files):
        own.append(layout.folder / "secrets")
    above = {path for one in (*own, layout.units) for path in one.parents}
    if not layout.is_system:
        above.add(layout.units)
    modes = {**dict.fromkeys(above, 0o755), **dict.fromkeys(own, 0o700)}
    return {path: modes[path] for path in sorted(modes)}


def _manifest(aim: Wanted, layout: Layout, present: Present, updaters: Literal["park", "leave"]) -> Manifest:
    before = present.manifest
    files = {path: sha256(content) for path, (content, _, _) in aim.files.items()}
    # Credentials that were given earlier stay ours for as long as they are loaded.
    files |= {path: "" for _, path in aim.loaded if path.parent == layout.folder / "credentials"}
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


def _writes(aim: Wanted, before: Manifest | None, present: Present) -> Iterator[WriteFile]:
    for path, (content, mode, what) in sorted(aim.files.items()):
        there = present.files.get(path)
        if there == content and present.modes.get(path) == mode:
            continue
        if there is not None and there != content:
            digest = sha256(there)
            if before is None or before.files.get(path) != digest:
                aside = path.with_name(f"{path.name}{_COPY}{digest[:8]}")
                yield WriteFile(aside, there, _PRIVATE, "a copy of what was there", present.files.get(aside))
        is_secret = path.parent.name == "secrets" and mode == _PRIVATE
        yield WriteFile(path, content, mode, what, there, is_secret)


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
