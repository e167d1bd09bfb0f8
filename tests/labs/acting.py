"""Act in a guest as patchledger does, as a program of its own; what came of it is printed as JSON.

    python -m tests.labs.acting proxmox 201 observe
    python -m tests.labs.acting proxmox 201 apply FOLDER labapp:all=1.0=1.1

It runs on the hypervisor, which in tests is a lab. ``LAB_MACHINE_ID`` is what the guest had for a machine id
before.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.cli.wiring.entering import manager_of, power_of, target_of
from reconciler.cli.wiring.guest_network import ask_in_network
from reconciler.errors import ReconcilerError
from reconciler.managers.detect import detect
from reconciler.managers.scripts import question
from reconciler.planning.facts.guests import Guest, GuestKind, Running
from reconciler.planning.facts.observation import Change
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.guest import GuestTarget
from reconciler.transports.ways import WAYS


def guest_of(kind: GuestKind, name: str) -> Guest:
    """Return a guest as the inventory has it."""
    found = (one for one in WAYS[kind].inspect().guests if one.id == name)
    return next(found, Guest(name, kind, name, Running()))


def change(text: str) -> Change:
    """Read ``NAME:ARCH=FROM=TO``."""
    package, before, after = text.split("=")
    name, arch = package.split(":")
    return Change("upgrade", name, arch, before, after)


def instruction(changes: Sequence[str]) -> Instruction:
    return Instruction(tuple(map(change, changes)), lock_wait=timedelta(seconds=30))


def observe(target: GuestTarget, _: Sequence[str]) -> Any:
    return manager_of(target).observe(datetime.now(UTC))


def refresh(target: GuestTarget, _: Sequence[str]) -> Any:
    return manager_of(target).refresh()


def apply(target: GuestTarget, args: Sequence[str]) -> Any:
    return manager_of(target, "apt").apply(instruction(args[1:]), Path(args[0]))


def repair(target: GuestTarget, args: Sequence[str]) -> Any:
    return manager_of(target, "apt").repair(instruction(args[1:]), Path(args[0]))


def at_work(target: GuestTarget, args: Sequence[str]) -> Any:
    return target.is_at_work(Path(args[0]))


def result(target: GuestTarget, args: Sequence[str]) -> Any:
    return manager_of(target, "apt").result(Path(args[0]))


def which(target: GuestTarget, _: Sequence[str]) -> Any:
    return detect(target)


def shell(target: GuestTarget, args: Sequence[str]) -> Any:
    """Run a text, and say how long its answers are, since one may be of many megabytes."""
    text = question(args[1].encode())
    done = target.run(text, "lab", args[2:], timeout=float(args[0]))
    said = {name: getattr(done, name) for name in ("returncode", "timed_out", "truncated")}
    few = {name: getattr(done, name)[:4000].decode(errors="replace") for name in ("stdout", "stderr")}
    return {**said, **few, "length": len(done.stdout)}


def restart(target: GuestTarget, args: Sequence[str]) -> Any:
    """Restart a guest of a kind, with a folder for what that says."""
    power = power_of(guest_of(GuestKind(args[0]), target.where.id), target, lambda: Path(args[1]))
    assert power is not None
    before = power.boot_id()
    power.reboot(timedelta(0), "")
    return {"before": before, "after": power.boot_id()}


def health(target: GuestTarget, args: Sequence[str]) -> Any:
    """Ask ports and URLs in the network of a guest of a kind."""
    told = ask_in_network(guest_of(GuestKind(args[0]), target.where.id), args[1:])
    return {one.name: [one.ok, one.detail] for one in told}


VERBS: dict[str, Callable[[GuestTarget, Sequence[str]], Any]] = {
    "observe": observe,
    "refresh": refresh,
    "apply": apply,
    "repair": repair,
    "at-work": at_work,
    "result": result,
    "which": which,
    "shell": shell,
    "restart": restart,
    "health": health,
}


def main(kind: str, name: str, verb: str, *args: str) -> None:
    guest = guest_of(GuestKind(kind), name)
    try:
        pinned = os.environ.get("LAB_MACHINE_ID", "")
        came: Any = VERBS[verb](target_of(guest, machine_id=pinned), args)
    except ReconcilerError as error:
        came = {"error": type(error).__name__, "reason": error.reason, "message": error.message}
    if dataclasses.is_dataclass(came) and not isinstance(came, type):
        came = dataclasses.asdict(came)
    sys.stdout.write(json.dumps(came, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
