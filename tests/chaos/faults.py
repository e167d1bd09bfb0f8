"""The faults that a host must survive, and what is left of it when it was let alone again.

A seed decides everything that is chosen; when exactly a process dies is up to the machine as well, so a seed
that found something may have to be tried more than once.
"""

import contextlib
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.chaos.invariants import TICKS, lost, violations
from tests.chaos.world import BRANCH, PATIENCE, POLICY, UNDOING, Host, Truth
from tests.e2e.site import git
from tests.labs.apt import AptLab

VICTIMS = ("main", "script", "apt", "dpkg", "maintainer", "git", "all", "all")
WAYS = ("truncate", "zero", "flip", "delete")
REMOTES = ("rejects", "hangs", "half-closes", "rewrites")
_SPAN = 4.0
"""Seconds that a run takes about; a later instant is one after its end."""

Story = Callable[[AptLab, Path, random.Random], list[str]]


# --- Killed -----------------------------------------------------------------------------------------------


def killed_in_a_run(template: AptLab, folder: Path, chance: random.Random) -> list[str]:
    """Kill processes of a run; sometimes of the tick that takes it up, too."""
    host = Host.create(template, folder)
    before = Truth.of(host.lab)
    _kill_during(host, chance, chance.choice(VICTIMS))
    if chance.random() < 1 / 3:
        _kill_during(host, chance, "all")
    return _judged(host, before)


def killed_in_a_repair(template: AptLab, folder: Path, chance: random.Random) -> list[str]:
    """Kill everything in the middle of unpacking, and again while what is half done is repaired."""
    host = Host.create(template, folder)
    before = Truth.of(host.lab)
    child = host.start()
    _wait_for(lambda: bool(host.lab.states()) or child.poll() is not None)
    host.kill("all")
    host.end(child)
    _kill_during(host, chance, chance.choice(("main", "all")))
    return _judged(host, before)


def killed_in_a_rollback(template: AptLab, folder: Path, chance: random.Random) -> list[str]:
    """Kill everything while what was applied is taken back."""
    host = Host.create(template, folder, UNDOING)
    host.dislike_the_new()
    before = Truth.of(host.lab)
    child = host.start()
    journal = host.site.state / "journal.json"
    _wait_for(lambda: "rolling-back" in _text(journal) or child.poll() is not None)
    time.sleep(chance.uniform(0, 1.0))
    host.kill("all")
    host.end(child)
    return _judged(host, before)


def _kill_during(host: Host, chance: random.Random, victim: str) -> None:
    """Begin a tick, and kill what is meant at an instant of chance, or as soon as it lives after that."""
    child = host.start()
    time.sleep(chance.uniform(0.05, _SPAN))
    _wait_for(lambda: bool(host.kill(victim)) or child.poll() is not None)
    host.end(child)


def _wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _judged(host: Host, before: Truth) -> list[str]:
    unsettled = host.settle(TICKS)
    return [*filter(None, [unsettled]), *violations(host, before)]


# --- Damaged ----------------------------------------------------------------------------------------------


def damaged(template: AptLab, folder: Path, chance: random.Random) -> list[str]:
    """Damage one file of state, queue or mirrors while two reports wait for the remote."""
    host = Host.create(template, folder)
    before = Truth.of(host.lab)
    host.run()
    away = host.site.reports.rename(folder / "away.git")
    for days in (21, 22):
        head = host.site.commit({"policies/base.yaml": f"{POLICY}max_policy_age: {days}d\n"})
        host.run()
    away.rename(host.site.reports)
    waiting = git(host.queue, "log", "--format=%H", f"{host.head(host.site.reports)}..{BRANCH}").split()
    if len(waiting) < 2:
        return [f"only {waiting} wait for the remote"]
    victim = chance.choice(sorted(_damageable(host.site.state)))
    way = chance.choice(WAYS if victim.stat().st_size else ("delete",))
    _damage(victim, way, chance)
    name = victim.relative_to(host.site.state)
    found = [*_judged(host, before), *lost(host, tuple(waiting))]
    if host.site.report()["policy_commit"] != head:
        found.append("the newest report is not on the newest policy")
    if not host.runs():
        found.append("no record of the run is left")
    return [f"{name}, {way}: {one}" for one in found]


def _damageable(state: Path) -> Iterator[Path]:
    """Yield the files that matter: not those of runs that are over, which only people read."""
    for path in state.rglob("*"):
        if (
            path.is_file()
            and not path.is_symlink()
            and path.relative_to(state).parts[0] not in {"runs", "kept"}
        ):
            yield path


def _damage(path: Path, way: str, chance: random.Random) -> None:
    if way == "delete":
        path.unlink()
        return
    mode, data = path.stat().st_mode, bytearray(path.read_bytes())
    path.chmod(0o600)
    match way:
        case "truncate":
            del data[len(data) // 2 :]
        case "zero":
            data = bytearray(len(data))
        case _:
            for _ in range(max(1, len(data) // 200)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    path.chmod(mode)


# --- Full -------------------------------------------------------------------------------------------------


def full(template: AptLab, folder: Path, chance: random.Random) -> list[str]:
    """Let the disk of the state folder be full during a run, and give it space afterwards."""
    host = Host.create(template, folder)
    before = Truth.of(host.lab)
    with _disk(host.site.state, chance.choice((96, 200, 400, 800, 1600, 3200))) as enlarge:
        host.run()
        host.run()
        enlarge()
        found = _judged(host, before)
        shutil.copytree(host.site.state, folder / "kept-state", symlinks=True)
    return found


@contextlib.contextmanager
def _disk(where: Path, kib: int) -> Iterator[Callable[[], None]]:
    where.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", str(where)], check=True)
    try:
        yield lambda: _mount("-o", "remount,size=200m", str(where))
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


# --- A remote of its own will -----------------------------------------------------------------------------


def remote(template: AptLab, folder: Path, chance: random.Random) -> list[str]:
    """Let the report repository do something else than take reports, while a run is reported."""
    host = Host.create(template, folder)
    before = Truth.of(host.lab)
    kind = chance.choice(REMOTES)
    match kind:
        case "rejects":
            hook = host.site.reports / "hooks" / "pre-receive"
            hook.parent.mkdir(exist_ok=True)
            hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
            hook.chmod(0o755)
            host.run()
            hook.unlink()
        case "rewrites":
            host.run()
            forged = git(host.site.reports, "commit-tree", "-m", "forged", git(host.site.reports, "mktree"))
            git(host.site.reports, "update-ref", f"refs/heads/{BRANCH}", forged)
            host.site.commit({"policies/base.yaml": f"{POLICY}max_policy_age: 21d\n"})
            host.run()
            host.run("reports", "repair")
        case _:
            with _server(hangs=kind == "hangs") as address:
                _point_to(host, address)
                host.run()
            _point_to(host, str(host.site.reports))
    return [f"{kind}: {one}" for one in _judged(host, before)]


def _point_to(host: Host, address: str) -> None:
    host.site.configure(environment=host.lab.environment, git={"timeout": "5s"}, reports={"remote": address})


@contextlib.contextmanager
def _server(*, hangs: bool) -> Iterator[str]:
    """Listen as a git server that takes each connection, and then says nothing, or ends it at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []
        listener.settimeout(0.1)
        is_over = threading.Event()

        def serve() -> None:
            while not is_over.is_set():
                with contextlib.suppress(TimeoutError):
                    caller = listener.accept()[0]
                    taken.append(caller) if hangs else caller.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/reports.git"
        finally:
            is_over.set()
            thread.join()
            for one in taken:
                one.close()


STORIES: tuple[Story, ...] = (
    killed_in_a_run,
    damaged,
    killed_in_a_repair,
    damaged,
    killed_in_a_rollback,
    remote,
    killed_in_a_run,
    full,
)


def tell(template: AptLab, folder: Path, seed: int) -> tuple[str, list[str]]:
    """Let the fault of a seed happen to a host in ``folder``; return its name and what is wrong then."""
    story = STORIES[seed % len(STORIES)]
    return story.__name__, story(template, folder, random.Random(seed))
