"""A hypervisor has its packages alone, guests theirs side by side; two paths of one name are two locks."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import Transient
from reconciler.host.machine.locking import GuestLock, MachineLock

STATUS = "/var/lib/dpkg/status"
HOUR = timedelta(hours=1)


def database() -> str:
    return STATUS


def guest(folder: Path, name: str) -> GuestLock:
    return GuestLock(folder, name, database)


class Waited:
    """Says that guests are at work until it was asked so often."""

    def __init__(self, *, gives_up: bool = False, until: Callable[[], object] = object) -> None:
        self.asked: list[timedelta] = []
        self._gives_up, self._until = gives_up, until

    def __call__(self, is_free: Callable[[], bool], within: timedelta, /) -> bool:
        self.asked.append(within)
        assert not is_free()
        self._until()
        return False if self._gives_up else is_free()


def machine(folder: Path, wait: Waited | None = None) -> MachineLock:
    return MachineLock(folder, database, HOUR, wait) if wait else MachineLock(folder, database, HOUR)


def test_guests_work_side_by_side_although_their_databases_have_one_path(tmp_path: Path) -> None:
    with guest(tmp_path, "101").held(), guest(tmp_path, "102").held():
        pass


def test_of_one_guest_one_run_is_at_work(tmp_path: Path) -> None:
    with (
        guest(tmp_path, "101").held(),
        pytest.raises(Transient, match="changing the packages of guest 101"),
        guest(tmp_path, "101").held(),
    ):
        pass
    with guest(tmp_path, "101").held():
        pass


def test_no_guest_begins_beside_its_hypervisor(tmp_path: Path) -> None:
    with (
        machine(tmp_path).held(),
        pytest.raises(Transient, match="packages of this hypervisor itself"),
        guest(tmp_path, "101").held(),
    ):
        pass
    with guest(tmp_path, "101").held():
        pass


def test_of_one_machine_one_run_is_at_work_and_another_root_is_another_matter(tmp_path: Path) -> None:
    with (
        machine(tmp_path).held(),
        MachineLock(tmp_path, lambda: "/srv/image" + STATUS).held(),
        pytest.raises(Transient, match=f"another patchledger run is changing the packages of {STATUS}"),
        machine(tmp_path).held(),
    ):
        pass


def test_another_root_keeps_no_guest_waiting(tmp_path: Path) -> None:
    with MachineLock(tmp_path, lambda: "/srv/image" + STATUS).held(), guest(tmp_path, "101").held():
        pass


def test_a_hypervisor_waits_for_its_guests(tmp_path: Path) -> None:
    with ExitStack() as at_work:
        at_work.enter_context(guest(tmp_path, "101").held())
        waited = Waited(until=at_work.close)
        with machine(tmp_path, waited).held():
            assert waited.asked == [HOUR]


def test_a_guest_that_hangs_holds_up_nobody_and_no_other_one_begins(tmp_path: Path) -> None:
    waited = Waited(gives_up=True)
    with guest(tmp_path, "101").held(), machine(tmp_path, waited).held():
        assert waited.asked == [HOUR]
        with pytest.raises(Transient, match="of this hypervisor itself"), guest(tmp_path, "102").held():
            pass
