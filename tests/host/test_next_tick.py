"""What a tick leaves for whoever waits is read back, and anything else counts as nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.host.state import next_tick
from reconciler.host.state.next_tick import Outlook

AT = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "left", [Outlook(), Outlook(AT, None, "window: closed"), Outlook(AT, AT.replace(hour=1), "")]
)
def test_it_is_read_back(tmp_path: Path, left: Outlook) -> None:
    file = tmp_path / next_tick.FILE
    file.write_bytes(next_tick.content(left))
    file.chmod(0o600)
    assert next_tick.read(str(file)) == left


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 200_000,
        b'{"changes": 1e300, "resend": null, "says": ""}',
        b'{"changes": "soon", "resend": null, "says": ""}',
        b'{"changes": NaN, "resend": null, "says": ""}',
        b"\xff",
    ],
)
def test_what_is_damaged_counts_as_nothing(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / next_tick.FILE
    file.write_bytes(data)
    file.chmod(0o600)
    assert next_tick.read(str(file)) == Outlook()


def test_what_is_missing_or_anybodys_counts_as_nothing(tmp_path: Path) -> None:
    file = tmp_path / next_tick.FILE
    assert next_tick.read(str(file)) == Outlook()
    file.write_bytes(next_tick.content(Outlook(AT)))
    file.chmod(0o666)
    assert next_tick.read(str(file)) == Outlook()
