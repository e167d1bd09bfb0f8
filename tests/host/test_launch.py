"""What may not be stopped begins once, only for somebody who waits, and is found at work by others."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler import launch
from reconciler.errors import Stalled
from reconciler.process import environment
from reconciler.targets.local import LocalTarget
from reconciler.targets.service import as_service, starter, unit_name

SCRIPT = b'echo "$0 $1"; cat; echo err >&2; exit 7'


def begin(order: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(launch.COMMAND, input=order, capture_output=True, check=False)


def test_it_runs_to_its_end_with_its_output_in_files(tmp_path: Path) -> None:
    target = LocalTarget({})
    target.execute(SCRIPT, "name", ["argument"], folder=tmp_path)
    assert (tmp_path / "out").read_bytes() == b"name argument\n"
    assert (tmp_path / "err").read_bytes() == b"err\n"
    assert not target.is_at_work(tmp_path)


def test_a_transaction_of_many_thousands_has_more_arguments_than_usual(tmp_path: Path) -> None:
    many = ["x" * 100_000] * 30
    target = LocalTarget({})
    assert target.run(b'echo "$#"', "name", many, timeout=60).stdout == b"30\n"
    # What it starts is given as many.
    target.execute(b'env true "$@" && echo "$#"', "name", many, folder=tmp_path)
    assert (tmp_path / "out").read_bytes() == b"30\n"


@pytest.mark.lab
def test_the_very_bytes_run_whatever_they_are(tmp_path: Path) -> None:
    script = b"printf '%s|' '\xff\xfe' \"$1\" '$HOME' '%n' '\xc3\xa4'; # \x01\x7f\n\n\n"
    LocalTarget({}, ("busybox", "sh")).execute(script, "name", ["\udcff"], folder=tmp_path)
    assert (tmp_path / "out").read_bytes() == b"\xff\xfe|\xff|$HOME|%n|\xc3\xa4|"


def test_the_environment_is_the_fixed_one_and_what_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    LocalTarget({"http_proxy": "http://a=b@c\nd"}).execute(b"env -0", "name", [], folder=tmp_path)
    lines = (tmp_path / "out").read_text().removesuffix("\0").split("\0")
    seen = dict(line.split("=", 1) for line in lines)
    assert {key: seen[key] for key in seen.keys() - {"_", "PWD", "SHLVL", "OLDPWD"}} == {
        **environment(),
        "http_proxy": "http://a=b@c\nd",
    }


@pytest.mark.parametrize("ignored", [(), (signal.SIGINT, signal.SIGQUIT), (signal.SIGHUP,)], ids=str)
def test_it_has_the_signals_of_a_shell(tmp_path: Path, ignored: tuple[signal.Signals, ...]) -> None:
    """Python, shells that start in the background and nohup ignore some, and no script can undo that."""
    with contextlib.ExitStack() as after:
        for number in ignored:
            after.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))
        after.callback(
            signal.pthread_sigmask,
            signal.SIG_SETMASK,
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1}),
        )
        LocalTarget({}).execute(b"grep -E 'Sig(Ign|Blk)' /proc/self/status", "name", [], folder=tmp_path)
    assert (tmp_path / "out").read_text().split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


@pytest.mark.parametrize(
    ("environment", "shell", "words"),
    [
        ({}, "no-such-shell", "cannot start no-such-shell: No such file"),
        ({"A=B": "c"}, "sh", "cannot start sh: illegal environment variable name"),
        ({"A": "b\0c"}, "sh", "cannot start sh: embedded null byte"),
        ({"A": "\ud800"}, "sh", "cannot start sh: "),
        ({"A": "x" * 200_000}, "sh", "cannot start sh: Argument list too long"),
    ],
)
def test_what_cannot_begin_is_told(
    tmp_path: Path, environment: dict[str, str], shell: str, words: str
) -> None:
    target = LocalTarget(environment, (shell,))
    with pytest.raises(Stalled, match=words):
        target.execute(SCRIPT, "name", [], folder=tmp_path)
    assert not target.is_at_work(tmp_path)


def test_a_starter_that_does_not_start_is_told_in_its_words(tmp_path: Path) -> None:
    def no_bus(_argv: object, _folder: Path) -> list[str]:
        return ["sh", "-c", "echo Failed to connect to bus >&2; exit 1"]

    with pytest.raises(Stalled, match="Failed to connect to bus"):
        LocalTarget({}, starter=no_bus).execute(SCRIPT, "name", [], folder=tmp_path)
    order = launch.order(["sh", "-c", "echo late"], {}, tmp_path)
    assert (begin(order).stdout, begin(order).returncode) == (b"", 127), "withdrawn, it never begins"


def test_a_starter_that_goes_away_is_not_the_end(tmp_path: Path) -> None:
    """As ``systemd-run`` does when the message bus is restarted."""

    def leaves(argv: object, _folder: Path) -> list[str]:
        assert isinstance(argv, tuple)
        begun = f"i=0; until test -s {tmp_path}/process || [ $((i += 1)) -gt 200000 ]; do :; done"
        return ["sh", "-c", f'exec 3<&0; "$@" <&3 & {begun}; exit 1', "sh", *argv]

    script = b"sleep 0.5; echo end; exit 3"
    LocalTarget({}, starter=leaves).execute(script, "name", [], folder=tmp_path)
    assert (tmp_path / "out").read_bytes() == b"end\n"


def test_nothing_runs_twice_in_one_folder(tmp_path: Path) -> None:
    order = launch.order(["sh", "-c", "echo once"], environment(), tmp_path)
    assert begin(order).stdout == b"once\n"
    again = begin(order)
    assert (again.stdout, again.returncode) == (b"", 127)
    assert b"process: File exists" in again.stderr


ORDERING = """
import sys; from pathlib import Path; from reconciler import launch
folder = Path(sys.argv[1])
sys.stdout.buffer.write(launch.order(["sh", "-c", "echo began"], {"PATH": "/bin:/usr/bin"}, folder))
"""


def test_what_nobody_waits_for_does_not_begin(tmp_path: Path) -> None:
    """Otherwise it could begin after another run found nothing at work."""
    order = subprocess.check_output([sys.executable, "-c", ORDERING, str(tmp_path)])
    done = begin(order)
    assert (done.stdout, done.stderr) == (b"", b"cannot start who ordered it has ended\n")
    assert not launch.is_at_work(tmp_path)
    assert launch.withdraw(tmp_path)


EXECUTING = """
import sys; from pathlib import Path; from reconciler.targets.local import LocalTarget
LocalTarget({}).execute(sys.argv[2].encode(), "name", [], folder=Path(sys.argv[1]))
"""


def test_killing_the_caller_leaves_it_at_work_and_found(tmp_path: Path) -> None:
    """The fifo holds it where the test wants it; no clock is waited for."""
    folder = tmp_path / "run"
    folder.mkdir()
    os.mkfifo(tmp_path / "ready")
    os.mkfifo(tmp_path / "go")
    script = f"echo >{tmp_path}/ready; read -r word <{tmp_path}/go; echo $word"
    caller = subprocess.Popen([sys.executable, "-c", EXECUTING, str(folder), script])
    (tmp_path / "ready").read_text()
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    assert LocalTarget({}).is_at_work(folder)
    (tmp_path / "go").write_text("done\n")
    launch.wait(folder)
    assert not launch.is_at_work(folder)
    assert (folder / "out").read_text() == "done\n"


@pytest.mark.parametrize("content", ["", "1", "x y", "{here} 1@other-boot"])
def test_a_claim_of_another_boot_or_form_is_nobody_at_work(tmp_path: Path, content: str) -> None:
    (tmp_path / "process").write_text(content.format(here=os.getpid()))
    assert not launch.is_at_work(tmp_path)


def test_nobody_is_at_work_where_nothing_was_ordered(tmp_path: Path) -> None:
    assert not launch.is_at_work(tmp_path)


@pytest.mark.root
def test_systemd_starts_it_only_where_it_runs(tmp_path: Path) -> None:
    assert starter(tmp_path) is as_service
    assert starter(tmp_path / "missing") is not as_service


def test_a_service_is_named_by_its_folder() -> None:
    name = unit_name(Path("/var/lib/patchledger/runs/20261122T120000Z-0123abcd/step 2"))
    assert name.startswith("patchledger-20261122T120000Z-0123abcd-step-2-")
    assert name == unit_name(Path("/var/lib/patchledger/runs/20261122T120000Z-0123abcd/step 2"))
    assert name != unit_name(Path("/var/lib/patchledger/runs/20261122T120000Z-0123abcd/step_2"))
    assert name != unit_name(Path("/srv/other/runs/20261122T120000Z-0123abcd/step 2"))
    assert len(unit_name(Path("/" + "x" * 250 + "/" + "y" * 250))) < 256
