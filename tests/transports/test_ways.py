"""What each way into guests is asked besides: who stops a guest, and how work outlives its client."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.errors import Transient
from reconciler.planning.facts.guests import Gone, Guest, GuestKind, Inspected, Moved, Running, Stopped
from reconciler.transports import incus
from reconciler.transports.ways import WAYS, Way, state_of, stopping

ALL = {
    *("pve-guests.service", "lxc.service", "lxc-net.service"),
    *("incus-startup.service", "incus.service"),
}


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (GuestKind.PROXMOX, {"lxc@101.service", "pve-container@101.service"}),
        (GuestKind.LXC, {"lxc@web-1.service", "pve-container@web-1.service"}),
        (GuestKind.INCUS, set()),
        (
            GuestKind.NSPAWN,
            {"systemd-nspawn@web-1.service", r"machine-web\x2d1.scope", "machines.target"},
        ),
    ],
)
def test_every_unit_that_stops_a_guest_is_named(kind: GuestKind, own: set[str]) -> None:
    assert set(stopping(Guest("101", kind, "web-1", Running()), WAYS[kind])) == ALL | own


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (GuestKind.PROXMOX, "pct reboot 101 --timeout 300"),
        (GuestKind.LXC, "lxc-stop --name=web-1 --reboot --timeout=300"),
        (GuestKind.INCUS, "incus restart web-1 --timeout=300"),
        (GuestKind.NSPAWN, "machinectl reboot web-1"),
    ],
)
def test_what_restarts_a_guest_names_it(kind: GuestKind, command: str) -> None:
    assert " ".join(WAYS[kind].restarting(Guest("101", kind, "web-1", Running()), 300)) == command


def _nothing(_guest: Guest, _more: object) -> tuple[str, ...]:
    return ()


def test_how_a_guest_is_now() -> None:
    def way(found: Inspected) -> Way:
        return Way(lambda: found, _nothing, _nothing, lambda guest: guest.id, lambda _: ())

    meant = Guest("101", GuestKind.PROXMOX, "web", Running())
    there = Guest("101", GuestKind.PROXMOX, "web", Stopped())
    another = Guest("101", GuestKind.PROXMOX, "db", Running())
    assert state_of(meant, way(Inspected((there,)))) == Stopped()
    assert state_of(meant, way(Inspected(()))) == Gone()
    assert state_of(meant, way(Inspected((another,)))) == Gone(), "its number is another one's by now"
    assert state_of(meant, way(Inspected((), {"101": "pve2"}))) == Moved("pve2")
    with pytest.raises(Transient, match="guest 101: the cluster is away"):
        state_of(meant, way(Inspected(problem="the cluster is away")))


SHELLS = [("sh",), pytest.param(("busybox", "sh"), marks=pytest.mark.lab)]


def outliving(shell: Sequence[str], *inner: str) -> list[str]:
    return [*shell, *incus.outliving(inner)[1:]]


@pytest.mark.parametrize("shell", SHELLS)
def test_work_in_incus_says_all_in_the_end(shell: Sequence[str]) -> None:
    argv = outliving(shell, "sh", "-c", 'echo "$1"; echo no >&2; cat; exit 27', "x", "a b")
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (27, "a b\n", "no\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_work_in_incus_goes_on_when_its_client_is_killed(tmp_path: Path, shell: Sequence[str]) -> None:
    """Whose command is killed then: the shell that waits, and all that is in its group."""
    for name in ("reached", "go", "done"):
        os.mkfifo(tmp_path / name)
    work = f"echo said; echo >{tmp_path}/reached; read -r word <{tmp_path}/go; echo $word >{tmp_path}/done"
    client = subprocess.Popen(
        outliving(shell, "sh", "-c", work),
        stdin=subprocess.DEVNULL,
        env={"PATH": os.defpath, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    (tmp_path / "reached").read_text()
    os.killpg(client.pid, 9)
    client.wait()
    (tmp_path / "go").write_text("on\n")
    assert (tmp_path / "done").read_text() == "on\n"
    assert [path.read_text() for path in tmp_path.glob("patchledger-said.*/out")] == ["said\n"]
