"""What of a run is the package manager's: each start of its programs, with the CPU that each took.

    counted = Counted(tmp_path / "counted", ("dnf", "rpm"))
    ...                                     # run the product with counted.environment
    counted.starts()                        # {"dnf": 3, "rpm": 2}
    counted.cpu()                           # seconds of user and system time of all of them

A folder that comes first on the ``PATH`` holds a small program for each of them, which runs the real one and
notes its times. What one of them starts by itself belongs to it and is no start of its own. A program of
Python is a copy, whose interpreter is counted in its name: that may be asked for several things at once.
"""

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from reconciler.process import BASE_PATH

TOOLS = (
    "awk",
    "bsdtar",
    "cat",
    "chmod",
    "cmp",
    "comm",
    "cp",
    "cut",
    "date",
    "find",
    "grep",
    "gzip",
    "head",
    "id",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mktemp",
    "mv",
    "paste",
    "readlink",
    "rm",
    "sed",
    "sort",
    "stat",
    "tail",
    "touch",
    "tr",
    "uname",
    "uniq",
    "unshare",
    "wc",
    "xargs",
    "zstd",
)
"""What the scripts take beside the package manager: a millisecond or more each. What ``timeout`` starts is
to be counted, and so that is not."""

# bash, since its ``times`` are exact to the thousandth; those of other shells to the hundredth.
_WRAPPER = """\
#!/bin/bash
[ -z "${{COUNTED:-}}" ] || exec {real} "$@"
COUNTED=1 {real} "$@"
code=$?
{{ echo "$*"; times; }} >"{noted}/{name} $$"
exit $code
"""
_TIME = re.compile(r"(\d+)m([\d.]+)s")


class Counted:
    """Programs whose starts are noted.

    Args:
        folder: To be made, for the programs and the notes.
        names: Of the programs; what this machine has not got stays missing.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._noted = folder / "bin", folder / "noted"
        self._folder.mkdir(parents=True)
        self._noted.mkdir()
        for name in names:
            real = shutil.which(name, path=BASE_PATH)
            if real is not None:
                self._put(name, Path(real))

    def _put(self, name: str, real: Path) -> None:
        first, _, rest = real.read_bytes().partition(b"\n")
        interpreter = re.fullmatch(rb"#! ?(/\S*python\S*)(.*)", first)
        wrapper = self._folder / name
        if interpreter is None:
            wrapper.write_text(_WRAPPER.format(real=real, noted=self._noted, name=name), encoding="utf-8")
        else:
            counting = self._folder / f"python3-of-{name}"
            text = _WRAPPER.format(real=interpreter[1].decode(), noted=self._noted, name=name)
            counting.write_text(text, encoding="utf-8")
            counting.chmod(0o755)
            wrapper.write_bytes(b"#!%b%b\n%b" % (bytes(counting), interpreter[2], rest))
        wrapper.chmod(0o755)

    @property
    def path(self) -> str:
        """The ``PATH`` with which the programs are counted."""
        return f"{self._folder}:{BASE_PATH}"

    @property
    def environment(self) -> dict[str, str]:
        """For whatever starts them."""
        return {"PATH": self.path}

    def begin(self) -> None:
        """Forget all starts."""
        for note in self._noted.iterdir():
            note.unlink()

    def starts(self) -> Counter[str]:
        """How often each program was started."""
        return Counter(note.name.split()[0] for note in self._noted.iterdir())

    def asked(self, name: str) -> list[str]:
        """Return the arguments of each start of a program, in alphabetic order."""
        return sorted(
            note.read_text(encoding="utf-8").rsplit("\n", 3)[0] for note in self._noted.glob(f"{name} *")
        )

    def cpu(self) -> float:
        """Seconds that they took together, with what it took to count them."""
        return sum(self._seconds(note) for note in self._noted.iterdir())

    def _seconds(self, note: Path) -> float:
        # The last two lines are the times of the small program, and of what it started.
        text = "\n".join(note.read_text(encoding="utf-8").splitlines()[-2:])
        return sum(int(minutes) * 60 + float(seconds) for minutes, seconds in _TIME.findall(text))
