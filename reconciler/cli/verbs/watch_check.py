"""``patchledger watch --check``: what there is to wait for, as the configuration says it."""

import os
import sys
from pathlib import Path

from reconciler.agent.watch_settings import TRIGGER
from reconciler.cli.showing.terminal import Format, note, print_json
from reconciler.errors import ReconcilerError
from reconciler.host.config import Config, read_config
from reconciler.host.machine.systemd import Systemd
from reconciler.host.state.fingerprint import digest
from reconciler.host.state.folder import PAUSE, StateFolder
from reconciler.policy.remotes import parse_remote
from reconciler.policy.values import format_duration


def run(config_file: str, form: Format) -> int:
    """Check the configuration, print what it makes ``watch`` do, and return 0.

    Raises:
        Misuse: It has mistakes; all are told.
    """
    path = Path(config_file)
    config, data = read_config(path)
    StateFolder(config.state_dir).prepare()
    watched = _watched(path, config)
    note(*_competing())
    if form == "json":
        print_json(
            {
                "digest": digest(data),
                "tick": config.tick.total_seconds(),
                "tick_timeout": config.tick_timeout.total_seconds(),
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


def _watched(path: Path, config: Config) -> dict[str, list[str]]:
    """Return the files and folders whose change wakes."""
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
    systemd = Systemd({})
    try:
        if os.geteuid() == 0 and systemd.is_running and systemd.is_active("patchledger.timer"):
            return ["patchledger.timer is active too, and makes ticks of its own: disable one of the two"]
    except ReconcilerError:
        pass  # who cannot be asked does not keep us from anything
    return []
