"""Guests share their hypervisor's connection: NetworkManager is asked there, and not inside of them."""

from collections.abc import Iterator

import pytest

from tests.edge.guests.conftest import Acting
from tests.edge.guests.test_quiet_ticks import is_quiet
from tests.edge.guests.test_ticks import NEW, OLD, OPEN, UNENTERED, Hypervisor, hypervisor, versions

__all__ = ["hypervisor"]

SAID = "inhibited: inhibited by a connection that NetworkManager calls metered"


def costs(acting: Acting, metered: int) -> None:
    """Let the node's busctl say so, as that of systemd 252 does."""
    acting.node.run("sh", "-c", f"printf '#!/bin/sh\necho v u {metered}\n' >/usr/local/sbin/busctl")
    acting.node.run("chmod", "755", "/usr/local/sbin/busctl")


@pytest.fixture
def connected(hypervisor: Hypervisor) -> Iterator[Hypervisor]:
    node = hypervisor.acting.node
    node.run("mkdir", "/run/NetworkManager")
    yield hypervisor
    node.run("rm", "-r", "/run/NetworkManager", "/usr/local/sbin/busctl")


def test_a_metered_connection_of_the_hypervisor_keeps_guests_waiting(
    connected: Hypervisor, acting: Acting
) -> None:
    connected.policy(OPEN)
    costs(acting, 1)
    assert connected.run()[0] == 0  # which applies nothing, as the first one
    code, said = connected.run()
    assert (code, connected.applied(), versions(acting)) == (0, [], OLD), said
    waits = ("pending", SAID)
    assert connected.rows() == {"201": waits, "204": waits, **UNENTERED}
    assert not is_quiet(connected)

    costs(acting, 2)
    code, said = connected.run()
    assert (code, versions(acting)) == (0, NEW), said
