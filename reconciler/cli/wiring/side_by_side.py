"""Do several things beside each other, a few at a time, begun in their order."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

_Result = TypeVar("_Result")


class _Work(Generic[_Result]):
    """What is still to be begun, and what came of the rest."""

    def __init__(self, tasks: Sequence[Callable[[], _Result]]) -> None:
        self.waiting = deque(enumerate(tasks))
        self.came: SimpleQueue[tuple[int, _Result | BaseException]] = SimpleQueue()

    def do(self) -> None:
        """Do one after the other until none waits; what ends a thread ends all."""
        while self.waiting:
            try:
                number, task = self.waiting.popleft()
            except IndexError:  # another one was faster
                return
            try:
                self.came.put((number, task()))
            except BaseException as error:  # noqa: BLE001 - it is raised where all are waited for
                self.came.put((number, error))
                return

    def next(self) -> tuple[int, _Result]:
        """Wait for what is ready next, and return which it is and what came of it; raise what it raised."""
        number, result = self.came.get()
        if isinstance(result, BaseException):
            raise result
        return number, result


def side_by_side(
    tasks: Sequence[Callable[[], _Result]], at_a_time: int, over: Callable[[], None]
) -> list[_Result]:
    """Do all ``tasks``, and return what came of each, in their order.

    Where only one is done at a time, it is done in this thread. Threads do not keep the process from ending:
    who is told to end while they are at work ends with them, as if killed.

    Args:
        tasks: Begun in this order.
        at_a_time: At most so many at a time, at least 1.
        over: Called where no more may be begun, since something was raised.

    Raises:
        BaseException: What a task raised, or a signal to this process; no task is begun any more.
    """
    if at_a_time == 1 or len(tasks) <= 1:
        return [task() for task in tasks]
    work = _Work(tasks)
    results: dict[int, _Result] = {}
    try:
        for number in range(min(at_a_time, len(tasks))):
            threading.Thread(target=work.do, name=f"beside-{number}", daemon=True).start()
        while len(results) < len(tasks):
            number, result = work.next()
            results[number] = result
    except BaseException:
        work.waiting.clear()
        over()
        raise
    return [results[number] for number in range(len(tasks))]
