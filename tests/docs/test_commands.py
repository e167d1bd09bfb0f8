"""The commands of a how-to are run, one after the other, as its reader runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.policy.updaters import DEBIAN, DNF4, PERIODIC

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Return the blocks of shell commands of a page that need nothing but this machine."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    return [block for block in BLOCK.findall(text) if "patchledger " in block]


def plant(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def test_coming_from_other_updaters(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "web-01/apt.conf.d/20auto-upgrades": PERIODIC,
            "web-01/apt.conf.d/50unattended-upgrades": DEBIAN,
            "web-01/os-release": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
            "alma-01/automatic.conf": DNF4,
        },
    )
    blocks = commands("come-from-unattended-upgrades.md")
    assert len(blocks) == 3

    done = subprocess.run(
        ["sh", "-eu"],
        input="\n".join(blocks),
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no problem in 2 documents") == 1
    page = (ROOT / "docs" / "how-to" / "come-from-unattended-upgrades.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown in done.stdout
    assert "06:" in done.stdout.partition("on_failure")[2]
