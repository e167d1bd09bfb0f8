"""Entries in the form that systemd's journal takes, over a real socket of its kind."""

import socket
import time
from pathlib import Path

import pytest

from reconciler.host.machine.journald import encode, is_ours, send


def test_an_entry_is_one_datagram(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        journal.settimeout(5)
        assert send({"MESSAGE": "web-01: applied", "PRIORITY": "5"}, path) == ""
        assert journal.recv(65536) == b"MESSAGE=web-01: applied\nPRIORITY=5\n"
        assert send({"MESSAGE": "x" * 10**6}, path) == ""
        assert len(journal.recv(65536)) == len("MESSAGE=\n") + 16384


def test_lines_are_written_with_their_length() -> None:
    # https://systemd.io/JOURNAL_NATIVE_PROTOCOL: name, newline, 64-bit little endian length, value, newline.
    assert encode({"MESSAGE": "a\nPRIORITY=0"}) == (
        b"MESSAGE\n" + (12).to_bytes(8, "little") + b"a\nPRIORITY=0\n"
    )


@pytest.mark.parametrize("name", ["", "_PID", "message", "A=B", "A\nB", "1A", "A" * 65])
def test_a_name_that_the_journal_does_not_take_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a journal field"):
        encode({name: "x"})


def test_where_no_journal_listens_the_reason_comes_back(tmp_path: Path) -> None:
    assert "No such file" in send({"MESSAGE": "x"}, str(tmp_path / "socket"))


def test_a_journal_that_takes_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "socket")
    monkeypatch.setattr("reconciler.host.machine.journald._PATIENCE", 0.5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        answers, worked = [""], 0.0
        while answers[-1] == "" and len(answers) < 1000:
            begun = time.process_time()
            answers.append(send({"MESSAGE": "x" * 16000}, path))
            worked = time.process_time() - begun
    assert answers[1] == ""
    assert "took no entry" in answers[-1]
    assert worked < 0.05, "it waits without working"


@pytest.mark.parametrize(
    ("environment", "answer"),
    [({}, False), ({"INVOCATION_ID": "a"}, True), ({"JOURNAL_STREAM": "8:1"}, True)],
)
def test_only_what_systemd_started_writes_entries(environment: dict[str, str], *, answer: bool) -> None:
    assert is_ours(environment) is answer
