"""A run that fails is seen by whoever looks at units, and told although the notifier was down at first."""

import json

from tests.edge.units.conftest import Host
from tests.labs.apt import Deb

TICK = "patchledger.service"
# As if the time until the next attempt had passed: nobody waits for it here.
PASS_THE_TIME = (
    'sed -i \'s/"not_before": *"[^"]*"/"not_before": "2020-01-01T00:00:00+00:00"/\' '
    "/var/lib/patchledger/outbox/*.json"
)


def test_a_failed_run_fails_the_unit_and_is_told_when_somebody_listens(host: Host) -> None:
    host.publish(Deb("shop", "1.2", scripts={"postinst": "exit 3"}))
    host.run("systemctl", "stop", "catcher.service")
    host.run("systemctl", "start", TICK, check=False)
    assert host.show(TICK, "ActiveState") == "failed", host.journal(TICK)
    assert host.show(TICK, "ExecMainStatus") == "1"
    assert TICK in host.run("systemctl", "list-units", "--failed", "--no-legend")
    assert "failed" in host.reports().splitlines()[0]
    assert "shop" in host.patchledger("status")
    notices = host.machine.lab / "notices"
    assert not notices.exists()

    host.run("systemctl", "start", "catcher.service")
    host.run("sh", "-ec", PASS_THE_TIME)
    host.run("systemctl", "start", TICK, check=False)
    titles = [json.loads(line)["title"] for line in notices.read_text().splitlines()]
    assert any("failed" in title for title in titles), titles
