"""What is begun in a guest is done there, survives whatever ends its client, and is told as what it was."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from reconciler.planning.facts.exit_codes import NO_SPACE, WELL
from tests.edge.guests.conftest import SET_UP, UPDATE, Acting, as_before, go_on, is_to_wait, reaches, version
from tests.labs.guests import Made
from tests.labs.machine import PATIENCE

BOTH = pytest.mark.parametrize("number", ["201", "204"])
SECRETS = {"TOKEN": "hunter2", "CREDENTIALS_DIRECTORY": "/run/credentials/x", "SSH_AUTH_SOCK": "/x"}


def offered(seen: Any) -> dict[str, str]:
    """Return what an observation says is on offer."""
    return {offer["name"]: offer["candidate"] for offer in seen["offers"]}


@BOTH
def test_a_guest_is_observed(acting: Acting, number: str) -> None:
    seen = acting(number, "observe")
    assert seen["manager"] == "apt"
    assert seen["facts"]["machine_id"] == acting.inside(number, "cat /etc/machine-id").strip()
    assert offered(seen) == {"labapp": "1.1"}


@BOTH
def test_its_metadata_are_read_anew(acting: Acting, number: str) -> None:
    assert acting(number, "refresh")["outcome"] == "refreshed"


@BOTH
def test_a_transaction_is_made_there_and_what_was_said_is_kept_here(acting: Acting, number: str) -> None:
    other = {"201": "204", "204": "201"}[number]
    folder = acting.folder(f"apply-{number}")
    done = acting(number, "apply", folder, UPDATE)
    assert (done["exit_code"] in WELL, done["is_finished"], done["message"]) == (True, True, "")
    assert (version(acting, number), version(acting, other)) == ("ii 1.1", "ii 1.0")
    said = acting.kept(f"apply-{number}", "err")
    assert "Setting up labapp (1.1)" in said
    assert said.endswith("\npatchledger: the command that enters the guest ended with 0\n")
    assert not acting(number, "at-work", folder)
    as_before(acting, number)


def test_nothing_of_the_hypervisor_goes_in(acting: Acting) -> None:
    files = "for one in /proc/self/fd/*; do echo ${one##*/} $(readlink $one); done"
    looks = f"env; echo --; {files}; cat; grep SigIgn /proc/self/status"
    said = acting("201", "shell", "20", looks, env=SECRETS)["stdout"]
    variables, _, rest = said.partition("--\n")
    *descriptors, ignored = rest.splitlines()
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0, "a signal of the hypervisor's is ignored inside"
    assert {line.partition("=")[0] for line in variables.splitlines()} == {
        *("PATH", "HOME", "LC_ALL", "PWD", "PATCHLEDGER_EXECUTION")
    }
    kinds = [line.split(":")[0] for line in descriptors if "/proc" not in line and line.split()[1:]]
    # What else a shell has open at that moment is its own.
    assert kinds[:3] == ["0 pipe", "1 pipe", "2 pipe"]
    assert not [kind for kind in kinds[3:] if "pipe" not in kind]


# --- who is killed, and what goes on ------------------------------------------------------------------------


def client(acting: Acting, name: str) -> str:
    """Return a pattern of the command that entered the guest."""
    mark = acting.kept(name, "inside").split()[0]
    return f"^lxc-attach .*PATCHLEDGER_EXECUTION={mark}"


def launcher(acting: Acting, name: str) -> str:
    """Return a pattern of what stands between."""
    mark = acting.kept(name, "inside").split()[0]
    return f"drain.py [0-9]+ - {mark} "


@pytest.mark.parametrize("killed", [("client",), ("launcher",), ("client", "launcher"), ("caller",), ()])
def test_whoever_is_killed_the_work_inside_goes_on_and_is_found(
    acting: Acting, killed: tuple[str, ...]
) -> None:
    name = f"killed-{'-'.join(killed)}"
    folder = acting.folder(name)
    is_to_wait(acting, "201")
    begun = acting.begin("201", "apply", folder, UPDATE)
    reaches(acting, "201")
    if "caller" in killed:
        acting.ends(f"tests.labs.acting proxmox 201 apply {folder}")
    if "client" in killed:
        acting.ends(client(acting, name))
    if "launcher" in killed:
        acting.ends(launcher(acting, name))
    assert acting("201", "at-work", folder)
    go_on(acting, "201")
    if "caller" not in killed:
        begun.wait(PATIENCE)
    ended(acting, folder)
    came = acting("201", "result", folder)
    assert version(acting, "201") == "ii 1.1"
    if "launcher" in killed:
        # Nobody was there to hear it; what happened is seen by observing.
        assert not came["is_finished"]
    else:
        assert (came["is_finished"], came["exit_code"] in WELL) == (True, True)
    begun.communicate()
    as_before(acting, "201")


def ended(acting: Acting, folder: str) -> None:
    """Wait until nothing is at work for an execution."""
    asks = f'until [ "$({" ".join(acting.argv("201", "at-work", folder))})" = false ]; do sleep 0.2; done'
    acting.node.run("timeout", str(PATIENCE / 2), "sh", "-c", asks)


def test_what_a_package_left_behind_is_not_at_work(acting: Acting) -> None:
    """As a service does that an old init starts from a maintainer script."""
    folder = acting.folder("left-behind")
    acting.inside("201", "printf '#!/bin/sh\\nsleep 4711 &\\n' >/etc/apt/started; chmod +x /etc/apt/started")
    hook = 'DPkg::Post-Invoke {"setsid /etc/apt/started >/dev/null 2>&1 </dev/null";};'
    acting.inside("201", f"echo '{hook}' >/etc/apt/apt.conf.d/99started")
    try:
        assert acting("201", "apply", folder, UPDATE)["exit_code"] in WELL
        assert acting.finds("sleep 4711")
        assert not acting("201", "at-work", folder)
    finally:
        acting.inside("201", "rm /etc/apt/apt.conf.d/99started; kill $(pidof sleep)", check=False)
        as_before(acting, "201")


def test_a_guest_that_stops_in_the_middle_is_told_and_made_whole_afterwards(acting: Acting) -> None:
    folder = acting.folder("stopped")
    is_to_wait(acting, "204")
    begun = acting.begin("204", "apply", folder, UPDATE, env=SECRETS)
    reaches(acting, "204")
    environments = acting.inside("204", "cat /proc/[0-9]*/environ", check=False)
    assert "PATCHLEDGER_EXECUTION" in environments
    assert not [one for pair in SECRETS.items() for one in pair if one in environments]
    acting.node.run("pct", "stop", "204")
    came = json.loads(begun.communicate(timeout=PATIENCE)[0])
    assert not came["is_finished"]
    assert came["message"].startswith("it did not end by itself: ")
    assert "postinst waits" in acting.kept("stopped", "err"), "what apt had said is not lost with the guest"
    assert not acting("204", "at-work", folder)
    for verb in ("observe", "which", "refresh"):
        told = acting("204", verb)
        assert (told["error"], told["reason"]) == ("GuestAway", "GuestStopped")
        assert told["message"] == "guest 204: it is stopped"
    acting.node.run("pct", "start", "204")
    acting.inside("204", "rm -f /srv/reached /srv/go")
    assert acting("204", "observe")["health"]["interrupted"]
    assert acting("204", "repair", acting.folder("repaired"), UPDATE)["exit_code"] in WELL
    assert version(acting, "204") == "ii 1.1"
    assert not acting("204", "observe")["health"]["interrupted"]
    as_before(acting, "204")


# --- what is no answer --------------------------------------------------------------------------------------


def test_one_that_is_frozen_is_not_entered(acting: Acting) -> None:
    acting.node.run("lxc-freeze", "-n", "204")
    try:
        for verb in ("which", "observe"):
            told = acting("204", verb)
            assert (told["reason"], told["message"]) == ("GuestFrozen", "guest 204: it is frozen")
        told = acting("204", "apply", acting.folder("frozen"), UPDATE)
        assert told["message"] == "guest 204: it is frozen"
    finally:
        acting.node.run("lxc-unfreeze", "-n", "204")


def test_one_that_freezes_meanwhile_holds_nobody_up(acting: Acting) -> None:
    """Where it stands still, the command that enters it hangs, and what it began cannot end itself."""
    asked = acting.begin("204", "shell", "6", "sleep 4712")
    acting.node.run("timeout", "60", "sh", "-c", "until pgrep -f '^sleep 4712'; do sleep 0.1; done")
    acting.node.run("lxc-freeze", "-n", "204")
    try:
        told = json.loads(asked.communicate(timeout=PATIENCE)[0])
        assert told["reason"] == "GuestFrozen"
        assert not acting.finds("sleep 4712")
        assert not acting.finds("^lxc-attach")
    finally:
        acting.node.run("lxc-unfreeze", "-n", "204")


def test_what_never_answers_is_ended_inside_too(acting: Acting) -> None:
    told = acting("201", "shell", "2", "sleep 4713 & setsid sleep 4713 & sleep 4713")
    assert (told["timed_out"], told["stdout"]) == (True, "")
    assert not acting.finds("sleep 4713")


def test_what_has_no_end_is_cut_and_told(acting: Acting) -> None:
    told = acting("201", "shell", "60", "yes 0123456789 | head -c 30000000; echo; echo exit 0")
    assert (told["truncated"], told["length"], told["returncode"]) == (True, 16 * 1024 * 1024, 0)


def test_a_program_that_says_very_much_does_not_stop_the_transaction(acting: Acting) -> None:
    hook = 'DPkg::Post-Invoke {"yes 0123456789 | head -c 30000000";};'
    acting.inside("201", f"echo '{hook}' >/etc/apt/apt.conf.d/99much")
    folder = acting.folder("much")
    try:
        came = acting("201", "apply", folder, UPDATE)
    finally:
        acting.inside("201", "rm /etc/apt/apt.conf.d/99much")
    assert version(acting, "201") == "ii 1.1"
    assert (came["is_finished"], acting.kept("much", "err").splitlines()[-1].partition(";")[2]) == (
        False,
        " what it said was too much, and is cut",
    )
    as_before(acting, "201")


@contextmanager
def another(acting: Acting, number: str, *changes: str) -> Iterator[None]:
    """Have another guest, whose root is changed on the node before it starts."""
    made = Made(number, f"g{number}", init="/bin/sleep infinity")
    acting.node.make(made)
    for line in changes:
        acting.node.run("sh", "-euc", f"cd {acting.root(number)}; {line}")
    acting.node.run("pct", "start", number)
    try:
        yield
    finally:
        acting.node.run("pct", "stop", number, check=False)
        acting.node.run("rm", "-f", f"/etc/pve/lxc/{number}.conf")


def test_a_guest_whose_shell_is_busybox(acting: Acting) -> None:
    busybox = "cp /bin/busybox usr/bin/busybox; ln -sf busybox usr/bin/sh"
    repository = "cp -R /run/lab/repository srv/"
    with another(acting, "401", busybox, repository):
        assert "BusyBox" in acting.inside("401", "sh --help 2>&1 | head -1", check=False)
        acting.inside("401", SET_UP)
        assert offered(acting("401", "observe")) == {"labapp": "1.1"}
        assert acting("401", "apply", acting.folder("busybox"), UPDATE)["exit_code"] in WELL
        assert version(acting, "401") == "ii 1.1"


def test_a_guest_without_or_with_several_package_managers(acting: Acting) -> None:
    unknown = "rm etc/os-release usr/lib/os-release; echo ID=x >usr/lib/os-release"
    with another(acting, "402", "rm usr/bin/apt-get usr/bin/dpkg"):
        told = acting("402", "which")
        assert told == {"error": "Stalled", "reason": "", "message": "no package manager found on this guest"}
    with another(acting, "403", unknown, "cp usr/bin/true usr/bin/zypper"):
        told = acting("403", "which")
        assert told["message"] == "this guest has apt and zypper, and its distribution is not known here"


def test_a_guest_without_a_shell_says_so(acting: Acting) -> None:
    with another(acting, "404", "rm usr/bin/sh"):
        message = acting("404", "which")["message"]
    assert message.startswith("which package manager is there was not said: ")
    assert "No such file" in message


def test_a_guest_whose_root_cannot_be_written(acting: Acting) -> None:
    with another(acting, "405", "cp -R /run/lab/repository srv/"):
        acting.inside("405", SET_UP)
        acting.inside("405", "mkdir -p /dev/shm; mount -t tmpfs none /dev/shm; mount -o remount,ro,bind /")
        assert offered(acting("405", "observe")) == {"labapp": "1.1"}
        came = acting("405", "apply", acting.folder("read-only"), UPDATE)
        assert (came["exit_code"] in WELL, came["is_finished"]) == (False, True)
        assert "Read-only file system" in came["message"]


def test_a_guest_that_has_no_space(acting: Acting) -> None:
    full = "mount -t tmpfs -o size=80M none /mnt; cp -a /var/. /mnt; mount --bind /mnt /var"
    with another(acting, "406", "cp -R /run/lab/repository srv/"):
        acting.inside("406", SET_UP)
        acting.inside("406", full)
        acting.inside("406", "cat /dev/zero >/var/x", check=False)
        assert offered(acting("406", "observe")) == {"labapp": "1.1"}
        came = acting("406", "apply", acting.folder("full"), UPDATE)
        assert (came["exit_code"], came["is_finished"]) == (NO_SPACE, True)
        assert version(acting, "406") == "ii 1.0"


def test_one_that_is_locked_between_two_steps_is_left_alone(acting: Acting) -> None:
    acting.node.run("pct", "set", "204", "--lock", "backup")
    try:
        told = acting("204", "apply", acting.folder("locked"), UPDATE)
    finally:
        acting.node.run("pct", "unlock", "204")
    assert (told["reason"], told["message"]) == ("GuestLocked", "guest 204: it is locked (backup)")
    assert version(acting, "204") == "ii 1.0"


def test_another_guest_with_its_number_is_not_touched(acting: Acting) -> None:
    other = "0" * 32
    told = acting("204", "apply", acting.folder("another"), UPDATE, env={"LAB_MACHINE_ID": other})
    assert "this is not the guest that is meant: another machine is here" in told["message"]
    own = acting.inside("204", "cat /etc/machine-id").strip()
    assert acting("204", "which", env={"LAB_MACHINE_ID": own}) == "apt"
    assert version(acting, "204") == "ii 1.0"


def test_a_guest_that_is_not_there(acting: Acting) -> None:
    told = acting("499", "observe")
    assert (told["reason"], told["message"]) == ("GuestGone", "guest 499: it is not there")


def test_one_that_moves_or_goes_between_two_steps(acting: Acting) -> None:
    with another(acting, "407"):
        acting.node.run("mv", "/etc/pve/lxc/407.conf", "/etc/pve/nodes/pve2/lxc/407.conf")
        told = acting("407", "which")
        assert (told["reason"], told["message"]) == ("GuestMoved", "guest 407: it is on pve2")
        acting.node.run("rm", "/etc/pve/nodes/pve2/lxc/407.conf")
        assert acting("407", "which")["reason"] == "GuestGone"
        acting.node.run("lxc-stop", "-k", "-n", "407")
