"""Containers of systemd-nspawn: one question to systemd-machined for those that run, one for images.

The bus interface is org.freedesktop.machine1(5). A container that is not registered there is none of these.
"""

import json
from collections.abc import Callable, Iterator, Sequence

from reconciler import process
from reconciler.errors import Stalled
from reconciler.planning.facts.guests import (
    NEEDS_ITS_OWN,
    FrozenGuest,
    Guest,
    GuestKind,
    Inspected,
    Running,
    State,
    Stopped,
    Unsupported,
    plainly_named,
)
from reconciler.planning.text.untrusted import one_line
from reconciler.policy.values import suggested_id
from reconciler.transports.kernel import Kernel, machine_groups

_PATIENCE = 30.0
_CALL = (
    "busctl",
    "--system",
    "--json=short",
    "call",
    "org.freedesktop.machine1",
    "/org/freedesktop/machine1",
    "org.freedesktop.machine1.Manager",
)
_ITSELF = "."
"""How names begin that are not those of guests: this machine's own, and images that are not whole."""

Call = Callable[[Sequence[str]], process.Completed]


def entering(guest: Guest, inner: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs ``inner`` in a guest; it ends with its exit code.

    systemd-run(1) asks the systemd in there, so its own ``$`` is escaped, and it is told to ignore no signal.
    """
    asked = ("systemd-run", f"--machine={guest.name}", "--quiet", "--pipe", "--wait", "--collect")
    return (*asked, "--property=IgnoreSIGPIPE=no", "--", *(word.replace("$", "$$") for word in inner))


def restarting(guest: Guest, _seconds: int) -> tuple[str, ...]:
    """Return the command that tells a guest to restart (machinectl(1)), and does not wait for it."""
    return ("machinectl", "reboot", guest.name)


def ask(argv: Sequence[str]) -> process.Completed:
    """Start the question to systemd-machined."""
    return process.run(argv, timeout=_PATIENCE)


def inspect(call: Call = ask, kernel: Kernel | None = None) -> Inspected:
    """Return the containers that systemd-machined knows, and images of others.

    Args:
        call: Asks it.
        kernel: What is asked whether they stand still.
    """
    kernel = kernel or Kernel()
    try:
        machines = list(read_machines(_answer(call, "ListMachines")))
        images = read_images(_answer(call, "ListImages"))
    except (Stalled, ValueError) as error:
        return Inspected(problem=f"systemd-machined does not answer: {one_line(str(error), 200)}")
    running = {name for name, _ in machines}
    guests = [(name, _thawed(name, state, kernel)) for name, state in machines]
    guests += [(name, Stopped()) for name in images if name not in running]
    named = (Guest(suggested_id(name), GuestKind.NSPAWN, name, state) for name, state in guests)
    return Inspected(tuple(map(plainly_named, named)))


def read_machines(answer: bytes) -> Iterator[tuple[str, State]]:
    """Yield name and state of each machine of a list of ``(name, class, service, path)``; pure.

    Raises:
        ValueError: It is no such list.
    """
    for name, kind, service in _rows(answer):
        if kind == "vm":
            yield name, Unsupported(f"it is a virtual machine: {NEEDS_ITS_OWN}")
        elif service != "systemd-nspawn":
            yield name, Unsupported(f"{one_line(service, 60) or 'a program that is not named'} runs it")
        else:
            yield name, Running()


def read_images(answer: bytes) -> list[str]:
    """Return the names of a list of images, ``(name, type, ...)``; pure.

    Raises:
        ValueError: It is no such list.
    """
    return [name for name, _, _ in _rows(answer)]


def _rows(answer: bytes) -> Iterator[tuple[str, str, str]]:
    told = json.loads(answer)
    data = told.get("data") if isinstance(told, dict) else None
    if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], list):
        raise ValueError("its answer is no list")
    for row in data[0]:
        if not isinstance(row, list) or len(row) < 3:  # noqa: PLR2004 - the columns that are read
            raise ValueError("its answer has a row that is none")
        if not str(row[0]).startswith(_ITSELF):
            yield str(row[0]), str(row[1]), str(row[2])


def _answer(call: Call, method: str) -> bytes:
    done = call((*_CALL, method))
    if done.returncode:
        raise ValueError(done.error_text or f"busctl ended with {done.returncode}")
    return done.stdout


def _thawed(name: str, state: State, kernel: Kernel) -> State:
    stands_still = kernel.is_frozen(*machine_groups(name))
    return FrozenGuest() if isinstance(state, Running) and stands_still else state
