"""The lab's node is what the tests of guests take it for."""

import subprocess
from pathlib import Path

import pytest

from tests.labs.guests import LAB, GuestLab


def code(node: GuestLab, *argv: str) -> tuple[str, int]:
    """Return what a command says, and its exit code."""
    *said, ended = node.run("sh", "-c", '"$@" 2>&1; echo $?', "sh", *argv).splitlines()
    return "\n".join(said), int(ended)


def test_its_guests_are_machines_of_their_own(node: GuestLab) -> None:
    assert node.run("pct", "list").splitlines() == [
        "VMID       Status     Lock         Name                ",
        "201        running                 web                 ",
        "202        stopped                 db                  ",
        "203        stopped                 tmpl                ",
        "204        running                 unpriv              ",
    ]
    for number in ("201", "204"):
        assert node.run("pct", "exec", number, "--", "readlink", "/proc/1/exe").strip().endswith("systemd")
        own = node.run("pct", "exec", number, "--", "stat", "-c", "%d:%i", "/").strip()
        assert own != node.run("stat", "-c", "%d:%i", "/").strip()
    assert node.run("pct", "exec", "201", "--", "cat", "/proc/self/uid_map").split() == [
        "0",
        "0",
        "4294967295",
    ]
    assert node.run("pct", "exec", "204", "--", "cat", "/proc/self/uid_map").split() == [
        "0",
        "100000",
        "65536",
    ]


@pytest.mark.parametrize(
    ("argv", "said", "ended"),
    [
        (("exec", "202", "--", "true"), "container '202' not running!", 255),
        (("exec", "299", "--", "true"), "Configuration file 'nodes/pve1/lxc/299.conf' does not exist", 2),
        (("exec", "201", "--", "sh", "-c", "exit 27"), "", 27),
        (("start", "203"), "you can't start a CT if it's a template", 255),
        (("start", "201"), "CT 201 already running", 255),
        (("stop", "202"), "CT 202 not running", 255),
        (("snapshot", "203", "before"), "you can't take a snapshot if it's a template", 255),
        (("unlock", "201"), "no lock found trying to remove any lock", 255),
        (("status", "201"), "status: running", 0),
    ],
)
def test_its_pct_says_no_as_the_real_one(
    node: GuestLab, argv: tuple[str, ...], said: str, ended: int
) -> None:
    assert code(node, "pct", *argv) == (said, ended)


def test_a_snapshot_is_real(node: GuestLab) -> None:
    def there(file: str) -> bool:
        return code(node, "pct", "exec", "204", "--", "test", "-e", file)[1] == 0

    node.run("pct", "exec", "204", "--", "touch", "/root/before")
    node.run("pct", "snapshot", "204", "before")
    node.run("pct", "exec", "204", "--", "touch", "/root/after")
    assert (there("/root/before"), there("/root/after")) == (True, True)
    node.run("pct", "rollback", "204", "before", "--start", "1")
    assert (there("/root/before"), there("/root/after")) == (True, False)
    node.run("pct", "delsnapshot", "204", "before")
    with_mount = "mp0: /srv,mp=/srv\n" + node.run("cat", "/etc/pve/lxc/202.conf")
    node.write("/etc/pve/lxc/202.conf", with_mount)
    assert code(node, "pct", "snapshot", "202", "before") == ("snapshot feature is not available", 255)
    node.run("pct", "set", "202", "--delete", "mp0")


def test_nothing_of_it_is_left() -> None:
    with GuestLab.running() as other:
        device = other.run("findmnt", "--noheadings", "--output", "SOURCE", f"{LAB}/store").strip()
        folder = other.folder
        assert Path(device).is_block_device()
    assert not folder.exists()
    mounted = subprocess.run(["losetup", "--all"], capture_output=True, text=True, check=True).stdout
    assert str(folder) not in mounted
