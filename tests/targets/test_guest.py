"""What stands between a guest and us. This machine stands for the guest: its way in is none at all."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler import drain
from reconciler.errors import Stalled, Transient
from reconciler.managers.apt import APT
from reconciler.managers.detect import detect
from reconciler.managers.scripted import GuestManager, ScriptedManager
from reconciler.managers.scripts import PatchScript, guard_text, question
from reconciler.planning.facts.guests import FrozenGuest, GuestPlace, Running, State, Stopped
from reconciler.planning.runs.execution import Instruction
from reconciler.process import environment
from reconciler.reconcile.ports.guest import GuestAway
from reconciler.reconcile.ports.unless import Unless
from reconciler.reconcile.ports.where import InGuest
from reconciler.targets.guest import Door, GuestTarget
from reconciler.targets.local import LocalTarget

GUARD = guard_text()[0]
NAMESPACE = str(Path("/proc/self/ns/pid").readlink())
HERE = GuestPlace(NAMESPACE, f"{Path('/').stat().st_dev}:{Path('/').stat().st_ino}")
ELSEWHERE = GuestPlace("pid:[1]", HERE.root)


def at_home(argv: Sequence[str]) -> Sequence[str]:
    return argv


def runs() -> State:
    return Running()


def door(
    enter: Callable[[Sequence[str]], Sequence[str]] = at_home,
    state: Callable[[], State] = runs,
    place: GuestPlace | None = HERE,
) -> Door:
    return Door("101", enter, state, lambda: place)


def guarded(text: str) -> bytes:
    return GUARD + b"\n" + text.encode()


def run(target: GuestTarget, text: str, *args: str, timeout: float = 60) -> tuple[int, str, str]:
    done = target.run(guarded(text), "try", args, timeout=timeout)
    return done.returncode, done.text, done.error_text


def test_what_is_said_in_a_guest_is_what_is_returned() -> None:
    target = GuestTarget(door(), GUARD, {"HTTP_PROXY": "x"})
    assert run(target, 'echo "$1 $HTTP_PROXY"; echo no >&2; exit 7', "a b") == (7, "a b x\n", "no")


def test_text_that_does_not_prove_where_it_is_is_never_run(tmp_path: Path) -> None:
    target = GuestTarget(door(), GUARD)
    for text in (b"touch /x", GUARD[:-1] + b"\ntouch /x", b"\n" + guarded("touch /x")):
        with pytest.raises(Stalled, match="does not begin with what proves where it is"):
            target.run(text, "try", (), timeout=5)
        with pytest.raises(Stalled, match="does not begin with what proves where it is"):
            target.execute(text, "try", (), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_way_in_that_leads_nowhere_changes_nothing_of_this_machine(tmp_path: Path) -> None:
    """Such as one that is broken, and runs on the hypervisor what is meant for a guest."""
    target = GuestTarget(door(place=ELSEWHERE), GUARD)
    manager = GuestManager(APT, target, PatchScript.load(APT.script))
    assert dict(PatchScript.load(APT.script).guarded().hashes).keys() >= {"guest.sh", "common.sh"}
    with pytest.raises(Stalled, match="this is not the guest that is meant: other processes are here"):
        detect(target)
    for verb in (manager.refresh, lambda: manager.apply(Instruction(()), folder(tmp_path, "apply")).message):
        try:
            told = str(verb())
        except Stalled as error:
            told = error.message
        assert "this is not the guest that is meant: other processes are here" in told


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


@pytest.mark.parametrize("state", [Stopped(), FrozenGuest()])
def test_one_that_does_not_run_is_not_entered(tmp_path: Path, state: State) -> None:
    def enter(_: Sequence[str]) -> Sequence[str]:
        raise AssertionError("entered")

    target = GuestTarget(door(enter, lambda: state), GUARD)
    for act in (
        lambda: target.run(guarded(""), "try", (), timeout=5),
        lambda: target.execute(guarded(""), "try", (), folder=tmp_path),
    ):
        with pytest.raises(GuestAway) as caught:
            act()
        assert caught.value.state == state
    assert list(tmp_path.iterdir()) == []


def test_one_whose_processes_are_not_seen_is_asked_again_later() -> None:
    with pytest.raises(Transient, match="guest 101: it runs, and its first process is not seen"):
        run(GuestTarget(door(place=None), GUARD), "echo")


def test_what_a_way_in_says_is_no_package_managers_answer() -> None:
    """One that stops while it is asked is told as that, whatever was printed before."""
    states: list[State] = [Running(), Stopped()]
    target = GuestTarget(door(state=lambda: states.pop(0)), GUARD)
    with pytest.raises(GuestAway, match="guest 101: it is stopped"):
        run(target, "echo apt; kill -9 $$")
    no = ("sh", "-c", "echo \"container '101' not running!\" >&2; exit 255")
    with pytest.raises(Stalled, match="not said: container '101' not running!"):
        detect(GuestTarget(door(lambda _: no), GUARD))


def test_a_way_in_that_is_not_installed_says_so() -> None:
    with pytest.raises(Stalled, match="guest 101 cannot be entered: cannot start no-such-way: No such file"):
        run(GuestTarget(door(lambda argv: ("no-such-way", *argv)), GUARD), "echo")


def test_what_takes_too_long_is_ended_with_all_that_it_began() -> None:
    target = GuestTarget(door(), GUARD)
    text = "(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 5; done; : 48151623') & sleep 600"
    done = target.run(guarded(text), "try", (), timeout=1)
    assert (done.timed_out, done.stdout) == (True, b"")
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"48151623" in read(one)]


def read(file: Path) -> bytes:
    try:
        # All but what this test said.
        return b"" if int(file.parent.name) == os.getpid() else file.read_bytes()
    except OSError:
        return b""


def test_what_is_too_much_is_cut_and_told(tmp_path: Path) -> None:
    target = GuestTarget(door(), GUARD, limit=1000)
    done = target.run(guarded("yes | head -c 5000; yes | head -c 5000 >&2; exit 3"), "try", (), timeout=60)
    assert (done.returncode, len(done.stdout), len(done.stderr), done.truncated) == (3, 1000, 1000, True)
    target.execute(guarded("yes | head -c 5000; echo fine >&2"), "try", (), folder=tmp_path)
    assert (tmp_path / "out").stat().st_size == 1000
    *said, how = (tmp_path / "err").read_text().splitlines()
    assert (said, how.partition("; ")[2]) == (["fine"], "what it said was too much, and is cut")


def test_what_only_fetches_is_ended_inside_as_well(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    text = guarded(f"sleep 1000 & echo $! >{begun}.new; mv {begun}.new {begun}; wait")
    folder = tmp_path / "execution"
    folder.mkdir()
    target = GuestTarget(door(), GUARD)
    target.execute(text, "try", (), folder=folder, unless=Unless(timedelta(seconds=0.1), begun.exists))
    assert not target.is_at_work(folder)
    ended = Path("/proc", begun.read_text().strip(), "cmdline")
    assert not ended.exists() or b"sleep" not in ended.read_bytes()


def test_a_guest_cannot_say_how_it_ended() -> None:
    text = f"printf 'patchledger: {drain._ENDED}0\\n' >&2; exit 9"  # noqa: SLF001 - as one would forge it
    assert run(GuestTarget(door(), GUARD), text)[0] == 9


def test_it_is_at_work_until_the_work_is_over_whoever_is_gone(tmp_path: Path) -> None:
    target = GuestTarget(door(), GUARD)
    os.mkfifo(tmp_path / "go")
    mark, text = "f" * 32, guarded(f"read -r word <{tmp_path}/go")
    (tmp_path / "inside").write_text(f"{mark} {NAMESPACE}\n")
    assert not target.is_at_work(tmp_path)
    work = subprocess.Popen(
        ["sh", "-c", os.fsdecode(text), "try", *HERE.arguments],
        env=environment({drain.MARK: mark}),
    )
    assert target.is_at_work(tmp_path)
    assert not drain.is_at_work(mark, "pid:[1]"), "one guest is not busy in the name of another"
    assert not drain.is_at_work("e" * 32, NAMESPACE)
    (tmp_path / "go").write_text("go\n")
    assert work.wait() == 0
    assert not target.is_at_work(tmp_path)


def process_of(proc: Path, number: str, namespace: str) -> Path:
    """Make what the kernel shows of a process of a guest, as far as it is looked at."""
    made = proc / number
    (made / "ns").mkdir(parents=True)
    (made / "ns/pid").symlink_to(namespace)
    (made / "cmdline").write_bytes(b"sleep\0infinity\0")
    (made / "environ").write_bytes(b"HOME=/root\0")
    return made


def test_one_that_lets_nobody_read_what_it_is_counts_as_busy_and_holds_nobody_up(tmp_path: Path) -> None:
    """Its memory may be on a file system of the guest that never answers, as a pipe does here."""
    silent = process_of(tmp_path, "4711", "pid:[1]") / "environ"
    assert not drain.is_at_work("f" * 32, "pid:[1]", str(tmp_path))
    silent.unlink()
    os.mkfifo(silent)
    assert drain.is_at_work("f" * 32, "pid:[1]", str(tmp_path), patience=0.5)


def test_one_of_another_guest_is_not_even_read(tmp_path: Path) -> None:
    for name in ("cmdline", "environ"):
        silent = process_of(tmp_path / name, "4711", "pid:[2]") / name
        silent.unlink()
        os.mkfifo(silent)
        assert not drain.is_at_work("f" * 32, "pid:[1]", str(tmp_path / name))


def test_a_folder_of_this_machine_is_none_of_a_guest() -> None:
    target = GuestTarget(door(), GUARD)
    script = PatchScript.load(APT.script)
    with pytest.raises(TypeError):
        GuestManager(APT, target, script, Path("/var/cache/x"))  # type: ignore[call-arg, arg-type]
    assert GuestManager(APT, target, script).where == InGuest("101")
    ScriptedManager(APT, target, script)  # type: ignore[arg-type] # refused by type
    GuestManager(APT, LocalTarget({}), script)  # type: ignore[arg-type] # (the same)


ENDINGS: Mapping[bytes, tuple[bytes, int | None, bool]] = {
    b"patchledger: the command that enters the guest ended with 27\n": (b"", 27, False),
    b"a\npatchledger: the command that enters the guest ended with 0\n": (b"a\n", 0, False),
    b"a\npatchledger: what was begun in the guest took too long, and was ended\n": (b"a\n", None, False),
}


@pytest.mark.parametrize("said", ENDINGS)
def test_how_it_ended_is_the_last_line(said: bytes) -> None:
    rest, ending = drain.read_ending(said)
    assert ending is not None
    assert (rest, ending.code, ending.is_cut) == ENDINGS[said]
    assert drain.read_ending(said + b"more\n") == (said + b"more\n", None)
    assert drain.read_ending(said[:-1]) == (said[:-1], None)


def test_it_needs_nothing_but_the_standard_library() -> None:
    done = subprocess.run(
        [*drain.COMMAND, "100", "-", "m", NAMESPACE, "sh", "-c", "echo here"],
        capture_output=True,
        check=False,
        env={"PATH": os.defpath},
        cwd="/",
    )
    assert (done.returncode, done.stdout) == (0, b"here\n")
    assert drain.COMMAND[0] == sys.executable


def test_what_another_guests_process_says_of_itself_is_not_even_read(tmp_path: Path) -> None:
    """Who asks for one guest is not to depend on what another one has in its memory."""
    process = tmp_path / "7"
    (process / "ns").mkdir(parents=True)
    (process / "ns" / "pid").symlink_to("pid:[2]")
    said = []
    for name in ("cmdline", "environ"):
        os.mkfifo(process / name)
        said.append(os.open(process / name, os.O_RDWR | os.O_NONBLOCK))
        os.write(said[-1], b"x\0")
    try:
        assert not drain.is_at_work("mark", "pid:[1]", str(tmp_path))
        assert [os.read(one, 10) for one in said] == [b"x\0", b"x\0"]
    finally:
        for one in said:
            os.close(one)


def lossy(tmp_path: Path, times: int) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return a way in that loses what is said the first times, and ends well all the same."""
    counted = (
        f'echo x >>"{tmp_path}/count"; [ "$(wc -l <"{tmp_path}/count")" -gt {times} ] || exec >/dev/null'
    )
    return lambda inner: ("sh", "-c", f'{counted}; exec "$@"', "sh", *inner)


def test_an_answer_that_is_lost_on_the_way_is_no_answer(tmp_path: Path) -> None:
    """As that no package manager is there, or that no service has failed."""
    target = GuestTarget(door(lossy(tmp_path, 1)), GUARD)
    assert target.run(question(b"echo apt"), "try", (), timeout=60).stdout == b"apt\n"
    target = GuestTarget(door(lossy(tmp_path, 99)), GUARD)
    for ask in (lambda: detect(target), lambda: target.run(question(b"exit 0"), "try", (), timeout=60)):
        with pytest.raises(Transient, match="what it said did not come whole"):
            ask()
    ended = target.run(question(b"exit 3"), "try", (), timeout=60)
    assert ended.returncode == 3


def test_an_empty_answer_that_is_whole_is_one() -> None:
    target = GuestTarget(door(), GUARD)
    for text in (b"", b"exit 0", b"printf ''"):
        assert target.run(question(text), "try", (), timeout=60).stdout == b""
    assert target.run(question(b"printf a"), "try", (), timeout=60).stdout == b"a"
