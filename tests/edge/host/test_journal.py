"""Entries with fields, in the journal of a booted systemd."""

import json
from collections.abc import Iterator

import pytest

from tests.labs.machine import INSIDE, Machine

KIND = "15dd96e93c274b9c92a90ee8bceba10f"
CODE = f"""
import os, sys
sys.path.insert(0, {INSIDE!r})
from reconciler.host.machine.journald import is_ours, send
assert is_ours(os.environ)
sys.exit(send({{
    "MESSAGE": "web-01: two\\nlines",
    "MESSAGE_ID": "{KIND}",
    "PRIORITY": "3",
    "SYSLOG_IDENTIFIER": "patchledger",
    "PATCHLEDGER_HOST": "web-01",
    "PATCHLEDGER_RUN": "20261122T020000Z-0123456789ab",
}}) or 0)
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine.booted({}) as booted:
        yield booted


def test_an_entry_is_found_by_its_kind_and_its_run(machine: Machine) -> None:
    machine.run("tee", "/run/entry.py", stdin=CODE)
    # As strict as a unit of ours may be: the journal must be reached from there.
    sandbox = ("-pProtectSystem=strict", "-pPrivateNetwork=yes", "-pRestrictAddressFamilies=AF_UNIX")
    python = (machine.python, "-I", "-S", "/run/entry.py")
    machine.run("systemd-run", "--quiet", "--wait", "--unit=tell", *sandbox, *python)
    machine.run("journalctl", "--sync")
    for wanted in (f"MESSAGE_ID={KIND}", "PATCHLEDGER_RUN=20261122T020000Z-0123456789ab"):
        (line,) = machine.run("journalctl", "-q", "-o", "json", wanted).splitlines()
        entry = json.loads(line)
        assert entry["MESSAGE"] == "web-01: two\nlines"
        assert (entry["PRIORITY"], entry["PATCHLEDGER_HOST"]) == ("3", "web-01")
        assert entry["_SYSTEMD_UNIT"] == "tell.service"
    assert "web-01: two" in machine.run("journalctl", "-q", "-u", "tell.service")
