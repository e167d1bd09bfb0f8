"""Services, ports and URLs of a guest are its own: those of its hypervisor neither count nor are touched."""

from collections.abc import Iterator

import pytest

from tests.edge.guests import test_ticks
from tests.edge.guests.conftest import Acting
from tests.edge.guests.test_restarts import runs
from tests.edge.guests.test_ticks import GUESTS, OPEN, Hypervisor

hypervisor = test_ticks.hypervisor
ONE = GUESTS.replace("guest_of: pve1", "guest_of: pve1, name: '201'")
NAMES = ("tcp 127.0.0.1:80", "http http://127.0.0.1/", "http http://127.0.0.1/gone")
REFUSED = {name: [False, "Connection refused"] for name in NAMES}

SOCKET = """\
cat >/run/answer <<'END'
read -r verb path rest
case $path in /) echo "HTTP/1.0 200 x" ;; *) echo "HTTP/1.0 404 x" ;; esac
echo
END
cat >/run/systemd/system/web.socket <<'END'
[Socket]
ListenStream=127.0.0.1:80
Accept=yes
END
cat >/run/systemd/system/web@.service <<'END'
[Service]
StandardInput=socket
StandardError=null
ExecStart=-/bin/sh /run/answer
END
systemctl daemon-reload
systemctl start web.socket
"""
"""A web server of a guest, until it is restarted."""

SERVER = "ip link set lo up; exec python3 -m http.server --bind 127.0.0.1 --directory /run/lab/bin 80"


@pytest.fixture
def on_the_hypervisor(acting: Acting) -> Iterator[None]:
    """A web server of the hypervisor."""
    node = acting.node
    node.run("sh", "-c", f"({SERVER}) >/dev/null 2>&1 </dev/null &")
    node.run(
        "sh",
        "-c",
        "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 80))'; do sleep 0.1; done",
    )
    yield
    acting.ends("^python3 -m http.server --bind")


@pytest.mark.usefixtures("on_the_hypervisor")
@pytest.mark.parametrize("number", ["201", "204"])
def test_a_server_of_the_hypervisor_is_none_of_the_guest(acting: Acting, number: str) -> None:
    assert acting(number, "health", "proxmox", *NAMES) == REFUSED


@pytest.mark.parametrize("number", ["201", "204"])
def test_a_server_in_the_guest_counts(acting: Acting, number: str) -> None:
    acting.inside(number, SOCKET)
    try:
        told = acting(number, "health", "proxmox", *NAMES)
    finally:
        acting.inside(number, "systemctl stop web.socket")
    assert told == {
        NAMES[0]: [True, "accepts connections"],
        NAMES[1]: [True, "status 200"],
        NAMES[2]: [False, "status 404"],
    }
    assert acting(number, "health", "proxmox", *NAMES) == REFUSED


def test_one_that_stands_still_is_away_though_its_kernel_would_answer(acting: Acting) -> None:
    acting.inside("204", SOCKET)
    acting.node.run("lxc-freeze", "-n", "204")
    try:
        assert acting("204", "health", "proxmox", NAMES[0])["reason"] == "GuestFrozen"
    finally:
        acting.node.run("lxc-unfreeze", "-n", "204")
        acting.inside("204", "systemctl stop web.socket")


@pytest.mark.usefixtures("on_the_hypervisor")
def test_a_guest_whose_port_is_shut_after_its_restart_is_not_healthy(
    hypervisor: Hypervisor, acting: Acting
) -> None:
    """The server of the hypervisor, on the same port, makes it none."""
    health = 'reboot: {when: always}\nhealth: {tcp: ["127.0.0.1:80"], settle: 0s}\n'
    hypervisor.policy(OPEN, guests=f"{ONE}{health}")
    assert hypervisor.run()[0] == 0
    acting.inside("201", SOCKET)
    code, said = hypervisor.run()
    assert code == 1, said
    last = runs(hypervisor, "201")[-1]
    assert (last["outcome"], last["code"]) == ("failed", "unhealthy")
    assert [(one["name"], one["detail"]) for one in last["unhealthy"]] == [(NAMES[0], "Connection refused")]
    outcome, reason = hypervisor.rows()["201"]
    assert (outcome, NAMES[0] in reason) == ("failed", True)


NEEDRESTART = """\
cat >/usr/sbin/needrestart <<'END'
#!/bin/sh
[ "$*" = "-b -r l" ] || exit 2
echo NEEDRESTART-VER: 3.6
for name in dbus.service lab.service nosuch.service; do echo "NEEDRESTART-SVC: $name"; done
END
chmod 755 /usr/sbin/needrestart
printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/run/systemd/system/lab.service
systemctl daemon-reload
systemctl start lab.service
"""


@pytest.mark.parametrize(("mode", "state"), [("restart", "restarted"), ("report", "reported")])
def test_its_own_systemd_restarts_what_runs_replaced_files(
    hypervisor: Hypervisor, acting: Acting, mode: str, state: str
) -> None:
    hypervisor.policy(OPEN, guests=f"{ONE}restart_services: {{mode: {mode}}}\nhealth: {{settle: 0s}}\n")
    assert hypervisor.run()[0] == 0
    acting.inside("201", NEEDRESTART)
    try:
        started = "systemctl show --property=MainPID --value lab.service"
        before = acting.inside("201", started)
        code, said = hypervisor.run()
        assert code == 0, said
        (record,) = runs(hypervisor, "201")
        became = {one["service"]: (one["state"], one["detail"]) for one in record["restarts"]}
        assert became["lab.service"] == (state, "")
        assert became["dbus.service"][0] == "never"
        assert (acting.inside("201", started) != before) is (mode == "restart")
        if mode == "restart":
            state, why = became["nosuch.service"]
            assert (state, "nosuch.service" in why) == ("failed", True)
    finally:
        acting.inside("201", "rm /usr/sbin/needrestart; systemctl stop lab.service")


def test_without_needrestart_nobody_can_tell(hypervisor: Hypervisor, acting: Acting) -> None:
    hypervisor.policy(OPEN, guests=f"{ONE}restart_services: {{mode: restart}}\nhealth: {{settle: 0s}}\n")
    for _ in range(2):
        code, said = hypervisor.run()
        assert code == 0, said
    (record,) = runs(hypervisor, "201")
    assert (record["leftovers"], record["restarts"]) == (None, [])
    assert "ii 1.1" in acting.inside("201", "dpkg-query -W -f '${db:Status-Abbrev}${Version}' labapp")
