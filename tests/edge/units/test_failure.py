"""Notifiers are reached by hand too; a run that fails is seen, and told although nobody listened at first."""

import json

from tests.edge.units.conftest import Host
from tests.labs.apt import Deb

TICK = "patchledger.service"
# As if the time until the next attempt had passed: nobody waits for it here.
PASS_THE_TIME = (
    'sed -i \'s/"not_before": *"[^"]*"/"not_before": "2020-01-01T00:00:00+00:00"/\' '
    "/var/lib/patchledger/outbox/*.json"
)


def test_by_hand_the_notifier_is_reached_as_well(host: Host) -> None:
    notices = host.machine.lab / "notices"
    assert "ops" in host.patchledger("notify", "test")
    assert "not delivered" not in host.patchledger("run")
    assert host.version("shop") == "1.1"
    begun, over, applied = (json.loads(line)["title"] for line in notices.read_text().splitlines())
    assert begun.endswith("test of the notifier ops: failed")
    assert over.endswith("test of the notifier ops: recovered")
    assert "applied" in applied


def test_a_failed_run_fails_the_unit_and_is_told_when_somebody_listens(host: Host) -> None:
    notices = host.machine.lab / "notices"
    notices.unlink(missing_ok=True)
    host.publish(Deb("shop", "1.2", scripts={"postinst": "exit 3"}))
    host.run("apt-get", "-q", "update")
    host.run("systemctl", "stop", "catcher.service")
    host.run("systemctl", "start", TICK, check=False)
    assert host.show(TICK, "ActiveState") == "failed", host.journal(TICK)
    assert host.show(TICK, "ExecMainStatus") == "1"
    assert TICK in host.run("systemctl", "list-units", "--failed", "--no-legend")
    assert "failed" in host.reports().splitlines()[0]
    assert "shop" in host.patchledger("status")
    assert not notices.exists()

    host.run("systemctl", "start", "catcher.service")
    host.run("sh", "-ec", PASS_THE_TIME)
    host.run("systemctl", "start", TICK, check=False)
    titles = [json.loads(line)["title"] for line in notices.read_text().splitlines()]
    assert any("failed" in title for title in titles), titles
