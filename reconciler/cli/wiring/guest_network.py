"""Ports and URLs of a guest, asked from inside its network: those of its hypervisor are never meant.

A process of ours enters the network namespace of the guest's first process and asks from there
(:mod:`reconciler.host.machine.endpoints`). Nothing of the guest is executed or opened for that; where it has
no network of its own, its hypervisor's is its network.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from reconciler import process
from reconciler.errors import Stalled, Transient
from reconciler.host.machine.endpoints import PATIENCE, Network, arguments
from reconciler.planning.facts.guests import Guest, Running
from reconciler.planning.runs.hooks_and_health import CheckResult
from reconciler.planning.text.untrusted import one_line
from reconciler.reconcile.ports.guest import GuestAway
from reconciler.targets.service import Asking, asking
from reconciler.transports.ways import WAYS, first_now, state_of

_BESIDE = 30.0  # seconds for everything but the answers
_WORDS = 200


def ask_in_network(
    guest: Guest, names: Sequence[str], start: Asking | None = None
) -> tuple[CheckResult, ...]:
    """Ask ports and URLs in the network of a guest, each once and within its time.

    Args:
        guest: Of the inventory.
        names: As :func:`reconciler.host.machine.endpoints.ask` takes them.
        start: How the process is started that enters the network; by default as everything that asks in a
            guest.

    Raises:
        GuestAway: The guest does not run: its kernel would answer for one that stands still.
        Stalled: Its network cannot be entered.
        Transient: It is not seen.
    """
    if not names:
        return ()
    seconds = _BESIDE + len(names) * PATIENCE
    argv = arguments(_network(guest), names)
    done = process.run((start or asking())(argv, seconds), timeout=seconds)
    replies = [_reply(line) for line in done.text.split("\n") if line]
    if done.returncode and not replies and not done.timed_out:
        said = one_line(done.error_text, _WORDS) or f"it ended with {done.returncode}"
        raise Stalled(f"the network of guest {guest.id} cannot be entered: {said}")
    unasked = (CheckResult(name, ok=False, detail="no answer in time") for name in names[len(replies) :])
    return (*replies, *unasked)


def _network(guest: Guest) -> Network:
    if guest.kind is None:
        raise Stalled(f"guest {guest.id} cannot be entered: nobody has it")
    way = WAYS[guest.kind]
    state = state_of(guest, way)
    if not isinstance(state, Running):
        raise GuestAway(guest.id, state)
    first = first_now(guest, way)
    try:
        network = "" if first is None else str(Path(f"/proc/{first.pid}/ns/net").readlink())
    except OSError:
        first = None
    if first is None:
        raise Transient(f"guest {guest.id}: it runs, and its first process is not seen")
    return Network(first.pid, first.place.pid_namespace, network)


def _reply(line: str) -> CheckResult:
    name, is_well, detail = json.loads(line)
    return CheckResult(name, ok=is_well, detail=one_line(detail, _WORDS))
