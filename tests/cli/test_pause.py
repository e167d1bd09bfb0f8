"""What --until means, and what a pause on disk is worth."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.cli.verbs.pause import read_until
from reconciler.errors import Misuse
from reconciler.host.state.folder import StateFolder

NOW = datetime(2026, 11, 20, 8, 0, 0, 500, tzinfo=UTC)


@pytest.fixture
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("3d", "2026-11-23T08:00:00"),
        ("1h30m", "2026-11-20T09:30:00"),
        ("2026-12-20", "2026-12-20T23:00:00"),  # through its end, where the machine is
        ("2026-12-20T08:00Z", "2026-12-20T08:00:00"),
        ("2026-12-20 08:00 UTC", "2026-12-20T08:00:00"),
        ("2026-12-20T08:00+05:30", "2026-12-20T02:30:00"),
        ("2026-12-20 08:00 America/New_York", "2026-12-20T13:00:00"),
        (" 2026-12-20 Asia/Tokyo ", "2026-12-20T15:00:00"),
    ],
)
def test_when_a_pause_ends(text: str, until: str) -> None:
    assert read_until(text, NOW).replace(tzinfo=None).isoformat() == until


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a date"),
        ("soon", "not a date"),
        ("3", "not a date"),
        ("0d", "not in the future"),
        ("-3d", "not a date"),
        ("2026-12-20 08:00", "names no zone"),
        ("2026-12-20 08:00 Europe/Berln", "Europe/Berlin"),
        ("2026-02-30", "not a date"),
        ("2026-11-19", "not in the future"),
        ("2026-11-20T08:00Z", "not in the future"),
        ("9999-12-31", "too far away"),
        ("900w", "more than ten years"),
        ("2026-12-20\x1b[31m", "u{1b}"),
    ],
)
def test_an_end_that_is_none_is_refused_in_a_sentence(text: str, word: str) -> None:
    with pytest.raises(Misuse) as caught:
        read_until(text, NOW)
    assert word in caught.value.message
    assert "\x1b" not in caught.value.message
    assert caught.value.hint


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"host: web-01\npolicy: {{remote: /nowhere}}\nstate_dir: {tmp_path}/state\n"
        "environment: {TOKEN: hunter2secret}\n",
        encoding="utf-8",
    )
    file.chmod(0o600)
    return file


def run(config: Path, *arguments: str) -> int:
    return main(["--config", str(config), *arguments])


def test_a_pause_is_kept_with_who_and_why_and_ended_by_resume(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "pause", "--reason", "disk is\nbeing replaced", "--until", "3d") == 0
    assert "web-01 is paused until " in capsys.readouterr().out
    file = tmp_path / "state" / "pause.json"
    assert file.stat().st_mode & 0o777 == 0o600
    kept = StateFolder(tmp_path / "state").pause()
    assert kept is not None
    assert kept.reason == "disk is being replaced"
    assert kept.by
    assert kept.until is not None
    assert kept.until - kept.since == timedelta(days=3)
    assert run(config, "pause", "--reason", "another", "--format", "json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["paused"]["until"] is None
    assert "disk is being replaced" in said.err
    assert run(config, "resume") == 0
    assert "another" in capsys.readouterr().out
    assert not file.exists()
    assert run(config, "resume") == 0
    assert "was not paused" in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201])
def test_a_pause_needs_a_reason_that_can_be_read(
    config: Path, tmp_path: Path, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "pause", "--reason", reason) == 2
    assert "reason" in capsys.readouterr().err
    assert not (tmp_path / "state" / "pause.json").exists()


def test_a_reason_holds_no_secret_and_moves_no_cursor(config: Path, tmp_path: Path) -> None:
    run(config, "pause", "--reason", "see https://bob:pw@wiki/x hunter2secret \x1b[2J")
    kept = (tmp_path / "state" / "pause.json").read_text(encoding="utf-8")
    assert "hunter2secret" not in kept
    assert "bob:pw" not in kept
    assert "\\u001b" not in kept


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"reason": 1}', b'{"reason": "x", "by": "y", "since": 0}x']
)
def test_a_damaged_pause_is_a_pause(config: Path, tmp_path: Path, data: bytes) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    (folder.path / "pause.json").write_bytes(data)
    found = folder.pause()
    assert found is not None
    assert "damaged" in found.reason
    assert found.until is None
    assert run(config, "resume") == 0
    assert folder.pause() is None
