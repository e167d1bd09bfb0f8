"""Which guest is meant: an id beats a name, and a name of several means none."""

import pytest

from reconciler.errors import Misuse
from reconciler.planning.facts.guests import Guest, GuestKind, Running, Stopped
from reconciler.planning.facts.targets import meant

GUESTS = (
    Guest("101", GuestKind.PROXMOX, "web", Running()),
    Guest("102", GuestKind.PROXMOX, "db", Stopped()),
    Guest("104", GuestKind.PROXMOX, "web", Running()),
    Guest("105", GuestKind.PROXMOX, "102", Running()),
    Guest("pve1", GuestKind.INCUS, "pve1", Running()),
    Guest("", GuestKind.INCUS, "___", Running()),
    Guest("twice", GuestKind.LXC, "twice", Running()),
    Guest("twice", GuestKind.INCUS, "Twice", Running()),
)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("101", "101"),
        ("db", "102"),
        ("pve1/104", "104"),
        ("102", "102"),
        ("pve1/pve1", "pve1"),
        ("pve1", None),
    ],
)
def test_a_target_is_found_by_id_and_by_name(written: str, found: str | None) -> None:
    guest = meant(written, "pve1", GUESTS)
    assert (None if guest is None else guest.id) == found


@pytest.mark.parametrize(
    ("written", "said", "hint"),
    [
        ("web", "several guests are called web: 101, 104", "name one by its id, such as 101"),
        ("twice", "several guests have the id twice: lxc twice, incus Twice", "another name"),
        ("pve2/101", "is a guest of another host: this is pve1", "ask there"),
        ("pve1/db", "pve1 has no guest db", "lists them"),
        ("tweb", "pve1 has no guest tweb", "did you mean web?"),
        ("", "the target is empty", "name a guest"),
        ("pve1/", "the target is empty", "name a guest"),
        ("a/b/c", "is a guest of another host", "ask there"),
        ("\x1b[31m", "pve1 has no guest \\u{1b}[31m", "lists them"),
    ],
)
def test_what_means_no_single_guest_is_refused(written: str, said: str, hint: str) -> None:
    with pytest.raises(Misuse) as caught:
        meant(written, "pve1", GUESTS)
    assert said in caught.value.message
    assert hint in caught.value.hint
