"""Functions of the patch scripts, called by themselves: what they decide, without the machine it is about."""

import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.resources import locate

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh")}
COMMON = locate("scripts/patch/common.sh").read_text()
BEGIN = 'SELF=try.sh ROOT=\nbegin apt >/dev/null\nmake_work_dir\ntools $TEXT\ncp -r "$FILES/." "$WORK"\n'


def functions(name: str) -> str:
    """Return every function of a patch script and the words that it knows, and nothing that it would do."""
    text = locate(f"scripts/patch/{name}-update.sh").read_text()
    whole = r"\w+\(\) [{(].*\n(?:.|\n)*?^[})](?=\n(?:\n|\w+\(\) |\w+=|trap ))"
    return "\n".join(
        re.findall(rf"^(?:(?:SAYS|WILL)_\w+=.*$|AWK_\w+='\n(?:.|\n)*?\n'$|{whole})", text, re.MULTILINE)
    )


def call(
    folder: Path, shell: Sequence[str], name: str, body: str, files: Mapping[str, str], *, stdin: str = ""
) -> str:
    """Run some lines of shell beside a script's functions.

    Args:
        folder: For files.
        shell: Which one, and so which awk.
        name: Of the script's manager; only what all share where it is "common".
        body: The lines.
        files: What is in the script's private folder.
        stdin: What the lines read.
    """
    (folder / "files").mkdir(parents=True)
    (folder / "bin").mkdir()
    for file, text in files.items():
        (folder / "files" / file).write_text(text, encoding="utf-8")
    if shell[0] == "busybox":
        awk = folder / "bin/awk"
        awk.write_text('#!/bin/sh\nexec busybox awk "$@"\n', encoding="utf-8")
        awk.chmod(awk.stat().st_mode | stat.S_IXUSR)
    own = "" if name == "common" else functions(name)
    done = subprocess.run(
        [*shell, "-c", f"{COMMON}\n{own}\n{BEGIN}{body}"],
        env={"PATH": f"{folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FILES": str(folder / "files")},
        input=stdin, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stdout, done.stderr)
    return done.stdout
