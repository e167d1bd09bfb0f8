"""A delivery that is killed at any moment repeats one message at most, and loses none."""

from pathlib import Path

from tests.chaos.killed_deliveries import OPS, SRE, deliver


def test_each_receiver_has_each_message_once_and_in_order(tmp_path: Path) -> None:
    kept = deliver(tmp_path, messages=60, kills=4)
    expected = [f"{number:04}" for number in range(60)]
    assert kept.first == {OPS: expected, SRE: expected}
    assert kept.repeated <= 4
