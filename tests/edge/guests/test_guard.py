"""What is meant for one guest runs there, and neither on its node nor in another guest."""

import sys
from collections.abc import Sequence

import pytest

from reconciler.managers.scripts import PatchScript
from reconciler.managers.sections import parse_sections
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.guests import Guest, GuestKind, GuestPlace, Running
from reconciler.transports import proxmox
from tests.labs.guests import REPOSITORY, GuestLab
from tests.labs.machine import ENVIRONMENT

SCRIPT = PatchScript.load("apt-update.sh").guarded()
VERBS = ("--observe", "--dry-run", "--refresh", "--apply", "--repair")
ASKED = """\
import sys
from reconciler.transports.kernel import lxc_groups
from reconciler.transports.place import place_of
found = place_of(lxc_groups(sys.argv[1]))
print(*(found.arguments if found else ()))
"""


def seen(node: GuestLab, number: str) -> GuestPlace | None:
    """Return where a guest is, by what its node sees."""
    told = node.run("env", "-C", str(REPOSITORY), sys.executable, "-c", ASKED, number).split()
    return GuestPlace(told[1], told[2]) if told else None


def place(node: GuestLab, number: str) -> GuestPlace:
    found = seen(node, number)
    assert found is not None
    return found


def inner(place: GuestPlace, verb: str) -> tuple[str, ...]:
    """Return the command that is to run in a guest."""
    text = SCRIPT.content.decode()
    return ("env", "-i", *ENVIRONMENT, "sh", "-c", text, SCRIPT.name, *place.arguments, verb)


def within(number: str, command: Sequence[str]) -> tuple[str, ...]:
    return proxmox.entering(Guest(number, GuestKind.PROXMOX, number, Running()), command)


def ended(node: GuestLab, argv: Sequence[str]) -> tuple[str, int]:
    """Return what a command says, and its exit code."""
    said, _, code = node.run("sh", "-c", '"$@"; echo "$?"', "sh", *argv).rstrip("\n").rpartition("\n")
    return said, int(code)


@pytest.mark.parametrize("number", ["201", "204"])
def test_in_the_guest_that_is_meant_it_runs(node: GuestLab, number: str) -> None:
    said, code = ended(node, within(number, inner(place(node, number), "--observe")))
    assert code in exit_codes.WELL, said
    assert parse_sections(said + "\n").exit_code == code


def test_where_a_guest_is_is_seen_from_outside_as_it_is_inside(node: GuestLab) -> None:
    for number in ("201", "204"):
        inside = node.run(
            *within(number, ("sh", "-c", "readlink /proc/self/ns/pid; stat -c %d:%i /"))
        ).split()
        assert place(node, number) == GuestPlace(*inside)
    assert seen(node, "202") is None


@pytest.mark.parametrize("verb", VERBS)
def test_anywhere_else_nothing_is_asked_or_changed(node: GuestLab, verb: str) -> None:
    of_web = place(node, "201")
    another_machine = GuestPlace(of_web.pid_namespace, of_web.root, "0" * 32)
    for argv, why in (
        (inner(of_web, verb), "other processes are here"),  # a transport that enters nothing
        (within("204", inner(of_web, verb)), "other processes are here"),
        (within("201", inner(another_machine, verb)), "another machine is here"),
    ):
        assert ended(node, argv) == (
            f"apt-update.sh: this is not the guest that is meant: {why}",
            exit_codes.ELSEWHERE,
        )
