"""Programs that must succeed, and small scripts in the place of those that answer only on a booted system."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from reconciler.process import BASE_PATH


def tool(*argv: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command that must succeed, and return what it printed.

    Raises:
        AssertionError: It did not succeed; with all that it said.
    """
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C", **(env or {})},
        check=False,
        cwd=cwd,
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Programs:
    """A folder that comes first on the ``PATH`` of what a test starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self._folder}:{BASE_PATH}"}

    def put(self, name: str, text: str) -> None:
        """Make ``name`` a shell script of this text; its arguments are added to the file ``NAME.asked``."""
        script = self._folder / name
        script.write_text(f'#!/bin/sh\necho "$*" >>"$0.asked"\n{text}\n', encoding="utf-8")
        script.chmod(0o755)

    def asked(self, name: str) -> list[str]:
        """Return the arguments of each call of ``name``, in order."""
        log = self._folder / f"{name}.asked"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []
