"""A machine that unattended-upgrades looked after is updated as before, by what its files became."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.cli import main
from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from tests.e2e.site import BEFORE, SetClock, Site
from tests.labs.apt import AptLab

CONFIGURATION = """\
Unattended-Upgrade::Origins-Pattern {
    "origin=Debian,codename=${distro_codename},label=Debian";
};
Unattended-Upgrade::Package-Blacklist { "pair-"; "victim$"; };
APT::Periodic::Unattended-Upgrade "1";
"""
RELEASE = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
EVENING = BEFORE.replace(hour=20, minute=0)
MORNING = EVENING + timedelta(hours=12)


def tick(site: Site, at: datetime) -> tuple[str, dict[str, str], dict[str, list[str]]]:
    """Make a tick; return its decision, what is planned, and why each other update is not."""
    run_once(site.config, wire(load_config(site.config), SetClock(at)))
    report = site.report()
    updates = report["plan"]["updates"]
    planned = {one["name"]: one["candidate"] for one in updates if one["disposition"] == "planned"}
    others = {
        one["name"]: [why["code"] for why in one["reasons"]] for one in updates if one["name"] not in planned
    }
    return report["decision"]["outcome"], planned, others


def test_what_was_installed_is_installed_and_what_was_kept_out_is_not(
    site: Site, lab: AptLab, tmp_path: Path
) -> None:
    for name, text in {"50unattended-upgrades": CONFIGURATION, "os-release": RELEASE}.items():
        (tmp_path / name).write_text(text)
    shutil.rmtree(site.policy)
    converted = ["--from-unattended-upgrades", str(tmp_path / "50unattended-upgrades"), str(site.policy)]
    options = ["--os-release", str(tmp_path / "os-release"), "--timezone", "UTC"]
    assert main(["policy", "init", *converted, *options]) == 0

    decision, planned, others = tick(site, EVENING)
    assert decision == "window"
    assert (planned["plain"], planned["superseded"], planned["user"]) == ("1.1", "1.2", "1.1")
    assert others["secure"] == ["source-not-admitted"]
    assert "exception-block" in others["pair-data"]
    assert "pair" in others
    assert "newdep" in others

    tick(site, MORNING)
    after = lab.versions()
    assert (after["plain"], after["superseded"], after["user"]) == ("1.1", "1.2", "1.1")
    assert (after["secure"], after["pair"], after["newdep"]) == ("1.0", "1.0", "1.0")
