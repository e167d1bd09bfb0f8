"""Dispatch to the verbs, each of which imports only what it needs, and catch what they raise."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC

from reconciler.cli.arguments import build_parser
from reconciler.cli.terminal import CUT_OFF, DEFECT, INTERRUPTED, MISUSE, exit_code, note, tell
from reconciler.errors import ReconcilerError


def run(argv: Sequence[str]) -> int:
    """Run the command line ``argv`` and return its exit code."""
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as end:  # argparse has printed what there was to say
        return end.code if isinstance(end.code, int) else MISUSE
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
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
    except Exception:  # noqa: BLE001 - the last door: a defect of ours keeps its traceback and gets its own exit code
        traceback.print_exc()
        note("this is a defect of patchledger; please report the lines above")
        return DEFECT
    return code


def _dispatch(arguments: argparse.Namespace) -> int:  # noqa: PLR0911 - one for each verb
    match arguments.command:
        case "policy":
            handler: Callable[[argparse.Namespace], int] = arguments.handler
            return handler(arguments)
        case "windows":
            from reconciler.cli import host, host_windows
            from reconciler.host.clock import SystemClock

            return host_windows.run(
                arguments,
                now=SystemClock().now().astimezone(UTC),
                host_windows=lambda folder: host.windows(arguments.config, folder),
                stdout=sys.stdout,
                stderr=sys.stderr,
            )
        case "status":
            from reconciler.cli import status

            return status.run(arguments)
        case "run":
            from reconciler.cli import run as run_verb

            return run_verb.run(arguments)
        case "explain":
            from reconciler.cli import host

            return host.explain(arguments)
        case "setup" | "adjust":
            from reconciler.cli import setup

            return setup.run(arguments)
        case "enable" | "disable" | "cleanup":
            from reconciler.cli import cleanup

            return cleanup.run(arguments)
        case "doctor":
            from reconciler.cli import doctor

            return doctor.run(arguments)
        case _:  # plan, and its alias dry-run
            from reconciler.cli import host

            return host.plan(arguments)
