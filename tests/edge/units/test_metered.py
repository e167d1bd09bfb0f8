"""A connection that costs money, as the unit's tick hears of it: by busctl and the machine's own bus."""

import pytest

from tests.edge.units.conftest import Host
from tests.labs import network_manager
from tests.labs.machine import INSIDE, LAB

TICK = "patchledger.service"
SAID = "a connection that NetworkManager calls metered"


@pytest.fixture(scope="module")
def connected(host: Host) -> Host:
    """The machine, with somebody on its bus who knows what the connection costs."""
    host.run("tee", "/etc/dbus-1/system.d/network.conf", stdin=network_manager.ALLOWED)
    host.run("systemctl", "restart", "dbus")
    host.run("mkdir", "/run/NetworkManager")
    return host


def costs(host: Host, metered: int) -> None:
    (host.machine.lab / "metered").write_text(str(metered))


def start(host: Host) -> None:
    """Begin as NetworkManager does, and return when it has its name."""
    service = f"{host.machine.python} -I -S {INSIDE}/tests/labs/network_manager.py {LAB}/metered"
    # Started is who has the name; see Type=dbus in systemd.service(5).
    properties = ("--property=Type=dbus", f"--property=BusName={network_manager.NAME}")
    host.run("systemd-run", "--quiet", "--unit=network", *properties, *service.split())


def tick(host: Host) -> str:
    """Make a tick, and return all that was said by now."""
    host.run("systemctl", "start", TICK, check=False)
    assert host.show(TICK, "Result") == "success", host.journal(TICK)
    return host.journal(TICK)


def test_a_tick_in_its_sandbox_hears_what_the_connection_costs(connected: Host) -> None:
    """It waits, goes on at the first tick after that, and misses nobody who has ended."""
    costs(connected, 1)
    start(connected)
    said = tick(connected).replace("\n    ", " ")
    # Nobody has ever read the archive's lists here, so that nobody knows of the update.
    assert f"no source says when its metadata were fetched; none are fetched through {SAID}" in said
    assert f"inhibited by {SAID}" in " ".join(connected.patchledger("status").split())
    assert connected.version("shop") == "1.0"

    costs(connected, 2)
    assert "shop  1.0  1.1" in tick(connected)
    assert connected.version("shop") == "1.1"

    connected.run("systemctl", "stop", "network")
    connected.policy("download_limit: 1M")
    said = tick(connected).rpartition("Starting ")[2]
    assert "up to date" in said
    assert "inhibit.metered" not in said
