"""Guests are looked after beside each other, and use what they share one at a time."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from reconciler.cli.wiring.in_turn import MessengerInTurn, OverError, QueueInTurn, Turn
from reconciler.cli.wiring.side_by_side import side_by_side
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.planning.notices.events import Notice, Route, Untold

PATIENCE = 60.0
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def nothing() -> None:
    pass


def test_results_come_in_the_order_of_the_tasks_whichever_is_ready_first() -> None:
    second = threading.Event()

    def slow() -> str:
        assert second.wait(PATIENCE)
        return "slow"

    def quick() -> str:
        second.set()
        return "quick"

    assert side_by_side([slow, quick], 2, nothing) == ["slow", "quick"]


@pytest.mark.parametrize("at_a_time", [1, 2, 3, 64])
def test_as_many_as_are_allowed_are_done_at_a_time_and_no_more(at_a_time: int) -> None:
    count, most, guard = 6, min(at_a_time, 6), threading.Lock()
    met = threading.Barrier(most)
    now: list[int] = []
    seen: list[int] = []

    def task(number: int) -> int:
        with guard:
            now.append(number)
            seen.append(len(now))
        met.wait(PATIENCE)  # so many are really here at once
        with guard:
            now.remove(number)
        met.wait(PATIENCE)
        return number

    assert side_by_side([partial(task, number) for number in range(count - count % most)], at_a_time, nothing)
    assert max(seen) == most


def test_they_are_begun_in_their_order() -> None:
    begun: list[int] = []
    side_by_side([partial(begun.append, number) for number in range(20)], 1, nothing)
    assert begun == list(range(20))


def test_what_is_raised_ends_all_and_nothing_is_begun_any_more() -> None:
    begun: list[str] = []
    shut = threading.Event()

    def stands() -> None:
        begun.append("stands")
        shut.wait(PATIENCE)

    def ends() -> None:
        raise KeyboardInterrupt

    def never() -> None:
        begun.append("never")

    with pytest.raises(KeyboardInterrupt):
        side_by_side([stands, ends, never, never], 2, shut.set)
    assert begun == ["stands"]
    assert shut.is_set()


class OnlyOne:
    """A messenger that refuses a second user."""

    def __init__(self) -> None:
        self._inside = threading.Lock()
        self.told = 0

    def _use(self) -> None:
        assert self._inside.acquire(blocking=False), "two at a time"
        self.told += 1
        self._inside.release()

    def tell(self, notices: Sequence[Notice], routes: Sequence[Route], now: datetime) -> tuple[Untold, ...]:
        assert ([*notices], [*routes], now) == ([], [], NOW)
        self._use()
        return ()

    def keep(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        assert ([*notices], [*routes]) == ([], [])
        self._use()

    def withdraw(self, notices: Sequence[Notice], routes: Sequence[Route]) -> None:
        assert ([*notices], [*routes]) == ([], [])
        self._use()

    def make_room(self) -> bool:
        self._use()
        return False

    def deliver(self, now: datetime) -> tuple[Untold, ...]:
        assert now == NOW
        self._use()
        return ()


def at_once(count: int, ask: Callable[[], object]) -> list[BaseException]:
    """Ask often from many threads, and return what was raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(count)

    def work() -> None:
        start.wait(PATIENCE)
        try:
            for _ in range(200):
                ask()
        except BaseException as error:  # noqa: BLE001 - it is what is asked for
            raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return raised


def test_what_is_shared_is_used_by_one_at_a_time() -> None:
    messenger = OnlyOne()
    shared = MessengerInTurn(messenger, Turn())
    asked = (
        lambda: shared.tell((), (), NOW),
        lambda: shared.keep((), ()),
        lambda: shared.withdraw((), ()),
        shared.make_room,
        lambda: shared.deliver(NOW),
    )
    assert at_once(8, lambda: [ask() for ask in asked]) == []
    assert messenger.told == 8 * 200 * len(asked)


def test_nobody_passes_a_door_that_is_shut(tmp_path: Path) -> None:
    turn = Turn()
    queue = QueueInTurn(ReportQueue(tmp_path / "reports.git", None, Identity("pve1")), turn)
    assert queue.last("guests/pve1/101") is None
    turn.shut()
    with pytest.raises(OverError):
        queue.last("guests/pve1/101")
    with pytest.raises(OverError):
        tuple(queue.policy_commits("guests/pve1/101"))


def test_a_message_that_takes_long_holds_up_no_report(tmp_path: Path) -> None:
    git, messages = Turn(), Turn()
    asked, sent = threading.Event(), threading.Event()

    class Slow(OnlyOne):
        def tell(
            self, notices: Sequence[Notice], routes: Sequence[Route], now: datetime
        ) -> tuple[Untold, ...]:
            assert ([*notices], [*routes], now) == ([], [], NOW)
            sent.set()
            assert asked.wait(PATIENCE)
            return ()

    def told() -> str:
        MessengerInTurn(Slow(), messages).tell((), (), NOW)
        return "told"

    queue = QueueInTurn(ReportQueue(tmp_path / "reports.git", None, Identity("pve1")), git)

    def looked() -> str:
        assert sent.wait(PATIENCE)
        assert queue.last("guests/pve1/101") is None
        asked.set()
        return "looked"

    assert side_by_side([told, looked], 2, nothing) == ["told", "looked"]
