"""What ``watch`` needs to know of the configuration: checked and told by a process of its own.

A configuration is read by YAML and pydantic, which a process that mostly waits need not hold in memory, and
nothing in it can then harm that process. So ``watch --check`` says in JSON what is in it, and
:class:`Settings` reads that. This module imports next to nothing until it is asked to check.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.host.config import Config

TRIGGER = "wake"
"""File of the state folder whose change wakes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What of a configuration matters to whoever only waits.

    Attributes:
        digest: SHA-256 of the file that was checked.
        interval: Longest time between two ticks.
        state_dir: The state folder, which exists.
        watched: By what a person calls it, the files and folders whose change wakes.
    """

    digest: str
    interval: timedelta
    state_dir: Path
    watched: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_json(cls, text: bytes) -> "Settings":
        """Read what ``watch --check --format json`` printed; keys of later versions are passed over.

        Raises:
            ValueError: It is something else.
        """
        try:
            found = json.loads(text)
            watched = {str(name): tuple(map(str, paths)) for name, paths in found["watched"].items()}
            interval = timedelta(seconds=float(found["tick"]))
            return cls(str(found["digest"]), interval, Path(found["state_dir"]), watched)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(str(error)) from error


def check(arguments: argparse.Namespace) -> int:
    """Check the configuration, print what it makes ``watch`` do, and return 0.

    Raises:
        Misuse: It has mistakes; all are told.
    """
    from reconciler.cli.showing.terminal import note, print_json  # noqa: PLC0415 - the process that waits has no use for it
    from reconciler.host.config import read_config  # noqa: PLC0415 - heavy
    from reconciler.host.state.fingerprint import digest  # noqa: PLC0415 - beside it
    from reconciler.host.state.folder import StateFolder  # noqa: PLC0415 - heavy
    from reconciler.policy.values import format_duration  # noqa: PLC0415 - heavy

    path = Path(arguments.config)
    config, data = read_config(path)
    StateFolder(config.state_dir).prepare()
    watched = _watched(path, config)
    note(*_competing())
    if arguments.format == "json":
        print_json(
            {
                "digest": digest(data),
                "tick": config.tick.total_seconds(),
                "state_dir": str(config.state_dir),
                "watched": watched,
            }
        )
        return 0
    sys.stdout.write(f"{path}: no mistake. A tick at least every {format_duration(config.tick)}, and when\n")
    for name, paths in watched.items():
        sys.stdout.writelines(f"  {name:14} {one}\n" for one in paths)
    sys.stdout.write("changes, and at the edges of windows and freezes.\n")
    return 0


def _watched(path: Path, config: "Config") -> dict[str, list[str]]:
    """Return the files and folders whose change wakes."""
    from reconciler.gitops.remote import parse_remote  # noqa: PLC0415 - as above
    from reconciler.host.state.folder import PAUSE  # noqa: PLC0415 - the same

    configuration = dict.fromkeys((str(path.absolute()), str(path.resolve())))
    watched = {
        "configuration": list(configuration),
        "hooks": [str(config.hooks_dir)],
        "pause": [str(config.state_dir / PAUSE)],
        "trigger": [str(config.state_dir / TRIGGER)],
    }
    repository = parse_remote(config.policy.remote).path
    if repository:
        watched["policy"] = _refs(Path(repository), config.policy.ref)
    return watched


def _refs(repository: Path, branch: str) -> list[str]:
    """Return what changes when a branch of a local repository does (gitrepository-layout(5))."""
    folder = next((one for one in (repository / ".git", repository) if one.exists()), repository)
    if folder.is_file():  # a linked worktree, or a submodule
        named = folder.read_text(encoding="utf-8", errors="replace").removeprefix("gitdir:").strip()
        folder = repository / named
        common = folder / "commondir"
        if common.is_file():
            folder = (folder / common.read_text(encoding="utf-8", errors="replace").strip()).resolve()
    return [str(folder / name) for name in (f"refs/heads/{branch}", "packed-refs", "reftable")]


def _competing() -> list[str]:
    """Say what else makes ticks on this host."""
    import os  # noqa: PLC0415 - as above

    from reconciler.errors import ReconcilerError  # noqa: PLC0415 - as above
    from reconciler.host.machine.systemd import Systemd  # noqa: PLC0415 - as above

    systemd = Systemd({})
    try:
        if os.geteuid() == 0 and systemd.is_running and systemd.is_active("patchledger.timer"):
            return ["patchledger.timer is active too, and makes ticks of its own: disable one of the two"]
    except ReconcilerError:
        pass  # who cannot be asked does not keep us from anything
    return []
