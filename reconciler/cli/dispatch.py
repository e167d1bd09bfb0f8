"""Dispatch to the verbs, each of which imports only what it needs, and catch what they raise."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from reconciler.cli.arguments import build_parser
from reconciler.cli.showing.terminal import note, tell
from reconciler.errors import CUT_OFF, DEFECT, INTERRUPTED, MISUSE, ReconcilerError, exit_code


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


_HANDLERS: Mapping[str, tuple[str, str]] = {
    "run": ("run", "run"),
    "plan": ("plan", "plan"),
    "dry-run": ("plan", "plan"),
    "explain": ("plan", "explain"),
    "status": ("status", "run"),
    "windows": ("plan", "show_windows"),
    "watch": ("watch", "run"),
    "log": ("log", "run"),
    "pause": ("pause", "pause"),
    "resume": ("pause", "resume"),
    "notify": ("notify", "run"),
    "reports": ("reports", "repair"),
    "setup": ("setup", "run"),
    "adjust": ("setup", "run"),
    "enable": ("cleanup", "run"),
    "disable": ("cleanup", "run"),
    "cleanup": ("cleanup", "run"),
    "doctor": ("doctor", "run"),
}
"""The module of ``reconciler.cli.verbs`` and the function in it of each verb; ``policy`` names its own."""


def _dispatch(arguments: argparse.Namespace) -> int:
    handler: Callable[[argparse.Namespace], int]
    if arguments.command == "policy":
        handler = arguments.handler
    else:
        module, function = _HANDLERS[arguments.command]
        handler = getattr(import_module(f"reconciler.cli.verbs.{module}"), function)
    return handler(arguments)
