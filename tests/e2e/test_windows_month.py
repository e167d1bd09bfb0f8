"""`windows --month` of this host tells what its last tick planned, and for which window."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.site import OPENING, POLICY, Site

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.usefixtures("site")
def test_the_month_of_this_host_tells_what_is_planned(patchledger: Command, tmp_path: Path) -> None:
    assert patchledger("run")[0] == 0
    picture, first = tmp_path / "month.svg", OPENING - timedelta(days=1)
    code, out, err = patchledger("windows", "--month", f"{first:%Y-%m}", "--svg", str(picture))
    assert (code, err) == (0, f"patchledger: wrote {picture}\n")
    assert out.count("◆") == 1 + 1, "the day, and what it means"
    (planned,) = (line for line in out.splitlines() if line.endswith(" planned"))
    assert f" {first:%Y-%m-%d %H}:00 " in planned
    assert " changes (" in planned
    assert out.splitlines()[-1].startswith("What is planned is as of ")
    assert out.endswith(" UTC, by base; what comes later is not known yet.\n")
    assert f"{first.day}: a window opens, and updates are planned for it: " in picture.read_text()


def test_what_is_only_planned_is_expected_of_no_window(site: Site, patchledger: Command) -> None:
    site.commit({"policies/base.yaml": POLICY.replace("apply", "plan")})
    assert patchledger("run")[0] == 0
    code, out, _ = patchledger("windows", "--month")
    assert code == 0
    assert "◆" not in out
    assert out.splitlines()[-1].startswith("Nothing is planned for any window as of ")
