"""Configurations of guests of Proxmox VE: all that a file holds is read, and sections do not count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.guests import Locked, Template
from reconciler.transports.proxmox_config import GuestConfig, parse
from tests.examples import examples

USUAL = """\
#Web server of the shop
#template%3A 1
arch: amd64
features: nesting=1
hostname: web
memory: 512
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth
ostype: debian
rootfs: local-zfs:subvol-201-disk-0,size=8G
tags: env-prod;web
unprivileged: 1
lxc.cgroup2.devices.allow: c 10:200 rwm
lxc.mount.entry = /dev/net dev/net none bind,create=dir
"""
SECTIONS = """\

[pve:pending]
memory: 1024
lock: backup

[before-upgrade]
#taken by hand
hostname: old
lock: snapshot-delete
snapstate: delete
snaptime: 1700000000
tags: no-patch
template: 1
"""


def test_a_usual_configuration() -> None:
    read = parse(USUAL)
    assert (read.settings["hostname"], read.tags, read.held, read.notes) == (
        "web",
        ("env-prod", "web"),
        None,
        (),
    )
    assert not read.is_application


def test_sections_say_nothing_of_the_guest() -> None:
    assert parse(USUAL + SECTIONS) == parse(USUAL)


@pytest.mark.parametrize(
    ("lines", "held"),
    [
        ("template: 1\nlock: backup\n", Template()),
        ("template: yes\n", Template()),
        ("template: 0\nlock: backup\n", Locked("backup")),
        ("lock: snapshot-delete\n", Locked("snapshot-delete")),
        ("#template: 1\n#lock: backup\n", None),
        ("xtemplate 1\ntemplate : 1\n", None),
        ("lock:\n", None),
    ],
)
def test_who_must_not_be_touched(lines: str, held: Template | Locked | None) -> None:
    assert parse(lines).held == held


def test_stray_lines_are_told_and_the_rest_is_used() -> None:
    read = parse("garbage\nhostname: web\n[not a section]\ntags: a\n<<<<<<< HEAD\n=======\n>>>>>>> x\n")
    assert (read.settings, read.tags) == ({"hostname": "web", "tags": "a"}, ("a",))
    assert read.notes == (
        "line 1 is no setting: garbage",
        "line 3 is no setting: [not a section]",
        "line 5 is no setting: <<<<<<< HEAD",
        "2 more lines are no settings",
    )


@pytest.mark.parametrize(
    ("entrypoint", "is_application"),
    [
        ("/sbin/init", False),
        ("/lib/systemd/systemd", False),
        ("/usr/bin/nginx -g 'daemon off;'", True),
        ("\x85", False),
    ],
)
def test_an_application_has_no_init(entrypoint: str, is_application: bool) -> None:  # noqa: FBT001 - a table
    assert parse(f"entrypoint: {entrypoint}\n").is_application is is_application


def test_tags_are_apart_however_they_were_written() -> None:
    assert parse("tags: a;b, c  d;;a\n").tags == ("a", "b", "c", "d")


LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                "[a1]",
                "[pve:pending]",
                "[]",
                "template: 1",
                "lock: x",
                "tags: a;b",
                "#",
                "lxc.a = b",
                "entrypoint: \x85",
            ]
        ),
    ),
    max_size=12,
).map("\n".join)


@given(LINES)
@examples(400)
def test_whatever_a_file_holds_is_read(text: str) -> None:
    read = parse(text)
    assert isinstance(read, GuestConfig)
    assert len(read.notes) <= 4
    assert all(tag and not any(char.isspace() or char in ",;" for char in tag) for tag in read.tags)
    assert read.held is None or read.held == Template() or read.settings["lock"]
    assert read.is_application in {True, False}


@given(LINES, LINES)
@examples(300)
def test_what_stands_after_a_section_never_counts(before: str, after: str) -> None:
    assert parse(f"{before}\n[snap1]\n{after}") == parse(f"{before}\n")
