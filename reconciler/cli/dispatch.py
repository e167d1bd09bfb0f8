"""Dispatch to the verbs, each of which imports only what it needs, and catch what they raise."""

import argparse
import contextlib
import errno
import gc
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import TypeVar

from reconciler.cli import UMASK, channels
from reconciler.cli.arguments import parser_for
from reconciler.cli.showing.terminal import note, tell
from reconciler.errors import (
    CUT_OFF,
    DEFECT,
    FAILED,
    INTERRUPTED,
    MISUSE,
    Misuse,
    ReconcilerError,
    Stalled,
    exit_code,
)

T = TypeVar("T")


_FEW = 50_000
"""New objects between two searches for cycles. What a command imports holds few, and the default of 700
has it searched again and again, which was a sixth of what importing the policy language takes."""

_NO_PLUGINS = ("PYDANTIC_DISABLE_PLUGINS", "__all__")
"""Nobody else's code has a part in what is valid; and to look for some, pydantic would read what all packages
that are installed say of themselves."""


def run(argv: Sequence[str]) -> int:
    """Run the command line ``argv`` and return its exit code."""
    gc.set_threshold(_FEW)
    os.environ.setdefault(*_NO_PLUGINS)
    try:
        chosen = parser_for(argv).parse_args(argv)
    except SystemExit as end:  # argparse has printed what there was to say
        return end.code if isinstance(end.code, int) else MISUSE
    if chosen.command in _DOING or chosen.command == "fleet":
        # By hand as by a unit: what git, package managers and hooks make for others, others can read, though
        # root's shell has a narrower umask. What is ours alone says so by its mode.
        os.umask(UMASK)
    try:
        code = perform(chosen)
        sys.stdout.flush()
        code = _unread(chosen.command, code)
    except ReconcilerError as error:
        tell(error)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough, and the rest goes nowhere. The shell's number for that
        # (128 + SIGPIPE) cannot be taken for success.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF
    except OSError as error:
        if error.errno not in _REFUSALS:
            return _defect()
        place = error.filename or "the file system"
        tell(Stalled(f"{place}: {error.strerror}", "free space, or have the file system written to again"))
        return FAILED
    except Exception:  # noqa: BLE001 - the last door: a defect of ours keeps its traceback and gets its own exit code
        return _defect()
    return code


_REFUSALS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))
"""What a file system says at any write, the one of a temporary file as well: that is no defect of ours."""


def _defect() -> int:
    traceback.print_exc()
    note("this is a defect of patchledger; please report the lines above")
    return DEFECT


_DOING = frozenset(
    (
        "run",
        "watch",
        "setup",
        "adjust",
        "enable",
        "disable",
        "cleanup",
        "pause",
        "resume",
        "reports",
        "approve",
    )
)
"""Commands whose exit code says what they did, whoever reads about it."""


def _unread(command: str, code: int) -> int:
    """Say where a result could not be written, which is a failure of commands that only have a result."""
    failure = channels.failure()
    if failure is None:
        return code
    note(f"what there was to say cannot be written: {failure.strerror}")
    return code if command in _DOING else code or FAILED


def perform(chosen: argparse.Namespace) -> int:
    """Give the verb that was chosen what it is told, and return its exit code.

    The one place where what the parser read gets its types. Each verb is imported when it is chosen.

    Raises:
        ReconcilerError: What the verb raises.
    """
    match chosen.command:
        case "run":
            from reconciler.cli.verbs import run

            return run.run(options_of(run.RunOptions, chosen))
        case "plan" | "dry-run":
            with _uncollected():
                from reconciler.cli.verbs import plan

                return plan.plan(options_of(plan.PlanOptions, chosen))
        case "explain":
            from reconciler.cli.verbs import explain

            return explain.explain(options_of(explain.ExplainOptions, chosen))
        case "windows":
            from reconciler.cli.verbs import windows, windows_of

            return windows_of.show_windows(options_of(windows.WindowsOptions, chosen))
        case "status":
            from reconciler.cli.verbs import status

            return status.run(chosen.config, chosen.format, chosen.target)
        case "log":
            from reconciler.cli.verbs import log

            return log.run(options_of(log.LogOptions, chosen))
        case "policy":
            return _perform_policy(chosen)
        case "fleet":
            return _perform_on_fleet(chosen)
        case "approve":
            return _approve(chosen)
        case _:
            return _perform_on_host(chosen)


def _perform_on_host(chosen: argparse.Namespace) -> int:
    """Perform what changes how this host is looked after, or tries it."""
    match chosen.command:
        case "watch":
            from reconciler.cli.verbs import watch

            return watch.run(chosen.config, check=chosen.check, form=chosen.format)
        case "pause":
            from reconciler.cli.verbs import pause

            return pause.pause(options_of(pause.PauseOptions, chosen))
        case "resume":
            from reconciler.cli.verbs import pause

            return pause.resume(chosen.config, chosen.format, chosen.target)
        case "guests":
            from reconciler.cli.verbs import guests

            return guests.run(chosen.config, chosen.format, chosen.target)
        case "setup" | "adjust" | "enable" | "disable" | "cleanup":
            return _perform_installing(chosen)
        case "doctor":
            from reconciler.cli.verbs import doctor

            return doctor.run(chosen.config, chosen.format, offline=chosen.offline)
        case "notify":
            from reconciler.cli.verbs import notify

            return notify.run(chosen.config, chosen.name, chosen.format)
        case _:
            from reconciler.cli.verbs import reports

            return reports.repair(chosen.config, chosen.format, dry_run=chosen.dry_run)


def _perform_installing(chosen: argparse.Namespace) -> int:
    """Perform what installs us on this host, switches us on and off, and removes us."""
    match chosen.command:
        case "setup" | "adjust":
            if getattr(chosen, "sample", False):
                from reconciler.cli.verbs.samples import setup_sample

                sys.stdout.write(setup_sample())
                return 0
            from reconciler.cli.verbs import setup

            return setup.run(options_of(setup.SetupOptions, chosen))
        case "enable":
            from reconciler.cli.verbs import cleanup

            return cleanup.enable(chosen.config, chosen.unit_dir, watch=chosen.watch)
        case "disable":
            from reconciler.cli.verbs import cleanup

            return cleanup.disable(chosen.config, chosen.unit_dir)
        case _:
            from reconciler.cli.verbs import cleanup

            return cleanup.clean_up(options_of(cleanup.CleanupOptions, chosen))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cycles meanwhile: what one look at hosts or packages makes holds next to none.

    It is kept to the end anyhow, and one search through it takes as long as a tenth of the work and more.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            # Else all that was made meanwhile would count as new, and be searched at once. Frozen and thawed,
            # it is old: who calls the command and goes on has it searched in its turn.
            gc.freeze()
            gc.unfreeze()
            gc.enable()


def _perform_on_fleet(chosen: argparse.Namespace) -> int:
    with _uncollected():
        return _read_fleet(chosen)


def _read_fleet(chosen: argparse.Namespace) -> int:
    from reconciler.cli.verbs import fleet

    match chosen.verb:
        case "publish":
            return fleet.publish(options_of(fleet.PublishOptions, chosen))
        case "status":
            return fleet.status(options_of(fleet.StatusOptions, chosen))
        case "audit":
            from reconciler.cli.verbs import fleet_audit

            return fleet_audit.audit(options_of(fleet_audit.AuditOptions, chosen))
        case _:
            return fleet.metrics(chosen.config, chosen.output)


def _perform_policy(chosen: argparse.Namespace) -> int:
    match chosen.verb:
        case "check":
            from reconciler.cli.verbs.policy import check

            options = options_of(check.CheckOptions, chosen)
            if not chosen.summary:
                return check.begin(options)
            from reconciler.cli.verbs.policy import versions

            return check.begin(options, versions.versions(chosen.summary))
        case "show":
            from reconciler.cli.verbs.policy import described, show

            if chosen.all or chosen.host is None:
                return show.show_all(options_of(show.AllOptions, chosen))
            guest = {"guest_of": chosen.guest_of, "guest_name": chosen.guest_name}
            host = described.facts(chosen.host, chosen.label, chosen.os, chosen.manager, **guest)
            return show.show(host, chosen.folder, chosen.rev, chosen.format)
        case "test":
            from reconciler.cli.verbs.policy import expectations

            return expectations.test(chosen.folder, chosen.rev, chosen.format)
        case "impact":
            with _uncollected():
                from reconciler.cli.verbs.policy import impact

                return impact.impact(options_of(impact.ImpactOptions, chosen))
        case "schema":
            from reconciler.cli.verbs.policy import start

            return start.schema(chosen.name, chosen.write, chosen.format)
        case "heartbeat":
            from reconciler.cli.verbs.policy import start

            return start.heartbeat(chosen.folder, chosen.format)
        case _:
            return _init(chosen)


def _init(chosen: argparse.Namespace) -> int:
    from reconciler.cli.verbs.policy.commands import UPDATERS

    for tool in UPDATERS:
        files = getattr(chosen, f"from_{tool.replace('-', '_')}")
        if files:
            from reconciler.cli.verbs.policy import convert

            return convert.init(
                tool, files, chosen.folder, chosen.os_release, chosen.timezone, form=chosen.format
            )
    if chosen.os_release or chosen.timezone:
        raise Misuse("--os-release and --timezone are about hosts whose configuration is converted")
    from reconciler.cli.verbs.policy import start

    return start.init(chosen.folder, chosen.example, chosen.format, is_full=chosen.full)


def _approve(chosen: argparse.Namespace) -> int:
    from reconciler.cli.verbs import approve

    options = options_of(approve.ApproveOptions, chosen)
    if not options.propose:
        return approve.approve(options)
    from reconciler.cli.verbs import proposing

    return proposing.propose(options)


def options_of(kind: type[T], chosen: argparse.Namespace) -> T:
    """Make a dataclass of what the parser read: it calls each thing as the field is called."""
    return kind(**{name: getattr(chosen, name) for name in kind.__annotations__})
