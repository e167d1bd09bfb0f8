"""``patchledger enable``, ``disable`` and ``cleanup``: let it run by itself, or not, or take it all back."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.cli.showing.terminal import note, print_json
from reconciler.cli.verbs import asking
from reconciler.cli.verbs.setup import layout_of, require_root
from reconciler.errors import DONE, Misuse, ReconcilerError, Stalled
from reconciler.gitops.sink import Identity, ReportSink
from reconciler.host.config import load_config
from reconciler.host.install import units
from reconciler.host.install.installation import (
    Action,
    Disable,
    Enable,
    Layout,
    Manifest,
    left_behind,
    plan_removal,
)
from reconciler.host.install.installer import Installer
from reconciler.host.state.folder import StateFolder

_QUEUE = "reports.git"


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says, and return the exit code.

    Raises:
        Misuse: This host was not set up, or it may not be done, or nobody answers.
        Transient: A run or another setup is at work.
        Stalled: systemd refuses, or a run was interrupted.
    """
    layout = layout_of(arguments)
    match arguments.command:
        case "cleanup":
            return _clean_up(arguments, layout)
        case "enable":
            return _switch(
                layout, "enable", Enable((units.WATCH if arguments.watch else units.TIMER, units.BOOT))
            )
        case _:
            return _switch(layout, "disable", Disable((units.TIMER, units.WATCH, units.BOOT)))


def _switch(layout: Layout, verb: str, action: Enable | Disable) -> int:
    require_root(layout, verb)
    if not layout.is_system:
        raise Misuse(f"{verb} speaks to systemd, which does not use {layout.units}", "leave out --unit-dir")
    installer = Installer(layout, note)
    manifest = _manifest(installer, layout)
    with installer.locked():
        other = {units.TIMER: units.WATCH, units.WATCH: units.TIMER}
        if isinstance(action, Enable):
            # They exclude each other, so that only one of them may be enabled.
            installer.carry_out([Disable((other[action.units[0]],))])
        installer.carry_out([action])
        if isinstance(action, Disable) and layout.parked.exists() and manifest.updaters == "park":
            note("other updaters stay parked, so nothing upgrades this host: cleanup gives them back")
    return DONE


def _clean_up(arguments: argparse.Namespace, layout: Layout) -> int:
    installer = Installer(layout, lambda line: note(f"done: {line}"))
    if arguments.dry_run:
        return _show(_plan(arguments, layout, installer)[0], arguments.format)
    require_root(layout, "cleanup")
    if not arguments.yes and not asking.is_present():
        raise Misuse("cleanup asks before it removes, and there is no terminal to answer on", "give --yes")
    _manifest(installer, layout)
    with installer.locked():
        manifest = _manifest(installer, layout)
        with contextlib.ExitStack() as held:
            for folder in manifest.data:
                _hold(held, folder, purge=arguments.purge)
            actions, left = _plan(arguments, layout, installer)
            if not arguments.yes and not _agreed(actions):
                raise Misuse("nothing was removed", "run cleanup again")
            installer.carry_out(actions)
    for path in left:
        note(f"left: {path}")
    if arguments.format == "json":
        print_json({"actions": [str(one) for one in actions], "left": [str(path) for path in left]})
    return DONE


def _manifest(installer: Installer, layout: Layout) -> Manifest:
    found = installer.manifest()
    if found is None:
        hint = (
            "nothing is removed that setup did not write"
            if layout.config.exists()
            else "there is nothing to do"
        )
        raise Misuse(f"{layout.folder}: setup has installed nothing here", hint)
    return found


def _hold(held: contextlib.ExitStack, folder: Path, *, purge: bool) -> None:
    """Keep runs away while their state is removed.

    Raises:
        Transient: A run is at work.
        Stalled: A run was interrupted, and what it left is known by its journal only.
    """
    if not (folder / "lock").exists():
        return
    state = StateFolder(folder)
    held.enter_context(state.locked())
    if not purge and (folder / "journal.json").exists():
        raise Stalled(
            "a run was interrupted, and only its journal tells what is half done",
            "run patchledger run, which mends and reports it, or cleanup --purge",
        )


def _plan(
    arguments: argparse.Namespace, layout: Layout, installer: Installer
) -> tuple[tuple[Action, ...], tuple[Path, ...]]:
    """Return what is to be done, and what will be left."""
    manifest = _manifest(installer, layout)
    present = installer.present(manifest)
    kept = () if arguments.purge else tuple(_unpushed(layout))
    actions = plan_removal(layout, present, manifest, kept=kept, purge=arguments.purge)
    left = [*kept, *left_behind(manifest, present)]
    if manifest.hooks in present.folders and not arguments.purge:
        left.append(manifest.hooks)
    return actions, tuple(left)


def _unpushed(layout: Layout) -> Iterator[Path]:
    """Yield the report queue where it holds what was not pushed."""
    try:
        config = load_config(layout.config)
        if config.reports.remote is None:
            return
        queue = config.state_dir / _QUEUE
        if queue.is_dir() and ReportSink(queue, config.reports.remote, Identity(config.host)).unpushed():
            yield queue
    except Misuse:
        return  # without a configuration nothing was ever pushed, or nobody can say where to
    except ReconcilerError as error:
        raise Stalled(
            f"the report queue cannot be read: {error.message}", "cleanup --purge removes it all the same"
        ) from error


def _show(actions: Sequence[Action], form: str) -> int:
    if form == "json":
        print_json({"actions": [str(action) for action in actions]})
    else:
        sys.stdout.writelines(f"{action}\n" for action in actions)
    return DONE


def _agreed(actions: Sequence[Action]) -> bool:
    terminal = asking.OwnTerminal()
    terminal.say("This will be done:")
    for action in actions:
        terminal.say(f"  {action}")
    return asking.confirm(terminal, "Do it", default=False)
