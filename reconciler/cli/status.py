"""``patchledger status``: the last report as the last run left it. Imports next to nothing."""

import argparse
import json
import os
import sys

from reconciler.cli.quiet import state_dir
from reconciler.errors import Misuse, Stalled
from reconciler.host.fingerprint import digest

FILE = "status.json"


def content(config: bytes, text: str) -> bytes:
    """Return what a run leaves for :func:`run`: the rendered status, and the configuration it belongs to."""
    return json.dumps({"config": digest(config), "text": text}).encode()


def run(arguments: argparse.Namespace) -> int:
    """Print the last report and return 0.

    Raises:
        Misuse: The configuration cannot be read.
        Stalled: There was no run yet.
    """
    try:
        with open(arguments.config, "rb") as file:  # noqa: PTH123 - pathlib is not imported here
            config = file.read()
    except OSError as error:
        hint = "run as root or give --config FILE before the verb"
        raise Misuse(f"{arguments.config}: cannot be read: {error.strerror}", hint) from error
    folder = _verified_folder(config, arguments.config)
    name = "report.json" if arguments.format == "json" else FILE
    try:
        with open(os.path.join(folder, name), "rb") as file:  # noqa: PTH118, PTH123 - the same
            data = file.read()
    except FileNotFoundError as error:
        raise Stalled(f"{folder}: there is no report yet", "run `patchledger run` first") from error
    except OSError as error:
        raise Misuse(f"{folder}: {error.strerror}", "run as the owner of the state folder") from error
    sys.stdout.write(data.decode() if arguments.format == "json" else json.loads(data)["text"])
    return 0


def _verified_folder(config: bytes, path: str) -> str:
    """Return the state folder: the guessed one if it names this configuration, else the parsed one."""
    guess = state_dir(config)
    try:
        with open(os.path.join(guess, FILE), "rb") as file:  # noqa: PTH118, PTH123 - the same
            if json.load(file)["config"] == digest(config):
                return guess
    except (OSError, ValueError, KeyError, TypeError):
        pass
    from pathlib import Path  # noqa: PLC0415 - only where the guess was wrong

    from reconciler.host.config import load_config  # noqa: PLC0415

    return str(load_config(Path(path)).state_dir)
