"""``patchledger enable``, ``disable`` and ``cleanup``: let it run by itself, or not, or take it all back."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.cli.showing.terminal import Format, note, print_json
from reconciler.cli.verbs import asking
from reconciler.cli.verbs.setup import layout_of, require_root
from reconciler.cli.wiring.compose import QUEUE, report_queue
from reconciler.errors import DONE, Misuse, ReconcilerError, Stalled
from reconciler.gitops.second_copy import folder_of
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
from reconciler.host.state.guests import GuestFolders
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class CleanupOptions:
    """What ``cleanup`` is told; its help says what each is."""

    config: str
    yes: bool
    dry_run: bool
    purge: bool
    format: Format
    unit_dir: str | None


def enable(config: str, unit_dir: str | None, *, watch: bool) -> int:
    """Let ticks happen by themselves, by the timer or by the daemon.

    Raises:
        Misuse: This host was not set up, or it may not be done.
        Transient: Another setup is at work.
        Stalled: systemd refuses.
    """
    wanted = Enable((units.WATCH if watch else units.TIMER, units.BOOT))
    return _switch(layout_of(config, unit_dir), "enable", wanted)


def disable(config: str, unit_dir: str | None) -> int:
    """Let no tick happen by itself.

    Raises:
        Misuse: As for :func:`enable`, as the others.
    """
    return _switch(layout_of(config, unit_dir), "disable", Disable((units.TIMER, units.WATCH, units.BOOT)))


def _switch(layout: Layout, verb: str, action: Enable | Disable) -> int:
    require_root(layout, verb)
    if not layout.is_system:
        raise Misuse(f"{verb} speaks to systemd, which does not use {layout.units}", "leave out --unit-dir")
    installer = Installer(layout, note)
    manifest = _manifest(installer, layout, removes=False)
    with installer.locked():
        other = {units.TIMER: units.WATCH, units.WATCH: units.TIMER}
        if isinstance(action, Enable):
            # They exclude each other, so that only one of them may be enabled.
            installer.carry_out([Disable((other[action.units[0]],))])
        installer.carry_out([action])
        if isinstance(action, Disable) and layout.parked.exists() and manifest.updaters == "park":
            note("other updaters stay parked, so nothing upgrades this host: cleanup gives them back")
    return DONE


def clean_up(options: CleanupOptions) -> int:
    """Remove what setup has installed, and give parked updaters back.

    Raises:
        Misuse: This host was not set up, or it may not be done, or nobody answers.
        Transient: A run or another setup is at work.
        Stalled: systemd refuses, or a run was interrupted.
    """
    layout = layout_of(options.config, options.unit_dir)
    installer = Installer(layout, lambda line: note(f"done: {line}"))
    if options.dry_run:
        return _show(_plan(layout, installer, purge=options.purge)[0], options.format)
    require_root(layout, "cleanup")
    if not options.yes and not asking.is_present():
        raise Misuse("cleanup asks before it removes, and there is no terminal to answer on", "give --yes")
    _manifest(installer, layout)
    with installer.locked():
        manifest = _manifest(installer, layout)
        with contextlib.ExitStack() as held:
            for folder in manifest.data:
                _hold(held, folder, purge=options.purge)
            actions, left = _plan(layout, installer, purge=options.purge)
            if not options.yes and not asking.agreed(actions, default=False):
                raise Misuse("nothing was removed", "run cleanup again")
            installer.forget_policy()
            installer.carry_out(actions)
    for path in left:
        note(f"left: {path}")
    if options.format == "json":
        print_json({"actions": [str(one) for one in actions], "left": [str(path) for path in left]})
    return DONE


def _manifest(installer: Installer, layout: Layout, *, removes: bool = True) -> Manifest:
    found = installer.manifest()
    if found is None:
        hint = "run `patchledger setup`"
        if removes:
            is_there = layout.config.exists()
            hint = "nothing is removed that setup did not write" if is_there else "there is nothing to do"
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
    if not purge and (state.tells_of_a_run or GuestFolders(folder, folder).at_work()):
        raise Stalled(
            "a run was interrupted, and only its journal tells what is half done",
            "run patchledger run, which mends and reports it, or cleanup --purge",
        )


def _plan(
    layout: Layout, installer: Installer, *, purge: bool
) -> tuple[tuple[Action, ...], tuple[Path, ...]]:
    """Return what is to be done, and what will be left."""
    manifest = _manifest(installer, layout)
    present = installer.present(manifest)
    kept = () if purge else tuple(_unpushed(layout))
    actions = plan_removal(layout, present, manifest, kept=kept, purge=purge)
    left = [*kept, *left_behind(manifest, present)]
    if manifest.hooks in present.folders and not purge:
        left.append(manifest.hooks)
    return actions, tuple(left)


def _unpushed(layout: Layout) -> Iterator[Path]:
    """Yield the report queue and its second copy where they hold what was not pushed."""
    try:
        config = load_config(layout.config)
        if config.report_remote is None:
            return
        queue = config.state_dir / QUEUE
        if not queue.is_dir() or report_queue(config).unpushed():
            yield from filter(Path.is_dir, (queue, folder_of(queue)))
    except Misuse:
        return  # without a configuration nothing was ever pushed, or nobody can say where to
    except ReconcilerError as error:
        raise Stalled(
            f"the report queue cannot be read: {error.message}", "cleanup --purge removes it all the same"
        ) from error


def _show(actions: Sequence[Action], form: Format) -> int:
    if form == "json":
        print_json({"actions": [str(action) for action in actions]})
    else:
        sys.stdout.writelines(f"{action}\n" for action in actions)
    return DONE
