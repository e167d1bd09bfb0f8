"""Small scripts in the place of programs that answer only on a booted system."""

from pathlib import Path

from reconciler.process import BASE_PATH


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
