"""Hook scripts, for real: which run, in which order, with what; and that none can hang, flood or fool us."""

import os
import select
import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from reconciler.errors import Stalled
from reconciler.host.machine.hooks import OUTPUT_LIMIT, HookFolder
from reconciler.planning.runs.hooks_and_health import HookOutcome, HookResult, HookStage
from reconciler.process import BASE_PATH

NOBODY = 65534
MINUTE = timedelta(minutes=1)


def put(
    folder: Path, name: str, body: str = "exit 0", *, mode: int = 0o755, stage: HookStage = "pre"
) -> Path:
    """Write a hook as a shell script."""
    script = folder / f"{stage}.d" / name
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    script.chmod(mode)
    return script


def run(
    folder: Path,
    stage: HookStage = "pre",
    *,
    stdin: bytes = b"{}",
    facts: Mapping[str, str] | None = None,
    timeout: timedelta = MINUTE,
) -> tuple[HookResult, ...]:
    return HookFolder(folder, {}).run(stage, stdin=stdin, facts=facts or {}, timeout=timeout)


def outcomes(results: tuple[HookResult, ...]) -> list[tuple[str, HookOutcome]]:
    return [(result.name, result.outcome) for result in results]


def test_without_a_folder_there_are_no_hooks(tmp_path: Path) -> None:
    hooks = HookFolder(tmp_path / "nowhere", {})
    assert (hooks.names("pre"), hooks.ignored("pre")) == ((), ())
    assert run(tmp_path / "nowhere") == ()


def test_hooks_run_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    for name in ("b", "a", "B", "10-x", "9-x", "_z"):
        put(tmp_path, name, f"echo {name} >>{tmp_path}/order", stage="post")
    assert HookFolder(tmp_path, {}).names("post") == ("10-x", "9-x", "B", "_z", "a", "b")
    assert [name for name, _ in outcomes(run(tmp_path, "post"))] == ["10-x", "9-x", "B", "_z", "a", "b"]
    assert (tmp_path / "order").read_text().split() == ["10-x", "9-x", "B", "_z", "a", "b"]


def test_each_stage_has_its_own_folder(tmp_path: Path) -> None:
    stages: tuple[HookStage, ...] = ("pre", "post", "pre-reboot", "health")
    for stage in stages:
        put(tmp_path, f"for-{stage}", 'echo "$PATCHLEDGER_STAGE"', stage=stage)
    for stage in stages:
        (result,) = run(tmp_path, stage)
        assert (result.stage, result.name, result.output) == (stage, f"for-{stage}", f"{stage}\n")


def test_what_a_hook_says_and_how_it_ends_comes_back(tmp_path: Path) -> None:
    put(tmp_path, "say", "printf out; echo err >&2; exit 3")
    (result,) = run(tmp_path)
    assert (result.outcome, result.exit_code, result.output) == (HookOutcome.FAILED, 3, "out\nerr\n")
    assert result.reason == "exit code 3: err"


def test_a_hook_that_a_signal_ends_has_failed(tmp_path: Path) -> None:
    put(tmp_path, "die", "kill -TERM $$")
    (result,) = run(tmp_path)
    assert (result.outcome, result.exit_code) == (HookOutcome.FAILED, -signal.SIGTERM)
    assert result.reason == "signal 15"


def test_the_facts_come_on_standard_input_and_in_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    put(tmp_path, "show", "cat; echo; env")
    (result,) = run(tmp_path, stdin=b'{"plan": 1}', facts={"PATCHLEDGER_RUN": "a b\nc"})
    document, _, rest = result.output.partition("\n")
    seen = dict(line.partition("=")[::2] for line in rest.splitlines())
    assert document == '{"plan": 1}'
    assert seen.keys() - {"_", "PWD", "SHLVL", "OLDPWD"} == {
        *("PATH", "LC_ALL", "HOME", "PATCHLEDGER_STAGE", "PATCHLEDGER_RUN", "c")
    }
    assert (seen["PATH"], seen["PWD"]) == (BASE_PATH, "/")


def test_standard_input_that_nobody_reads_hurts_nothing(tmp_path: Path) -> None:
    put(tmp_path, "deaf", "exit 0")
    assert outcomes(run(tmp_path, stdin=b"x" * 10_000_000)) == [("deaf", HookOutcome.OK)]


def test_facts_can_set_no_other_variable(tmp_path: Path) -> None:
    put(tmp_path, "show", f"touch {tmp_path}/ran")
    with pytest.raises(ValueError, match="LD_PRELOAD"):
        run(tmp_path, facts={"LD_PRELOAD": "/evil.so"})
    assert not (tmp_path / "ran").exists()


# --- Which end a stage ----------------------------------------------------------------------------------


def test_the_first_failing_pre_hook_ends_the_stage(tmp_path: Path) -> None:
    put(tmp_path, "1-fine")
    put(tmp_path, "2-veto", "echo 'the shop is busy'; exit 1")
    put(tmp_path, "3-later", f"touch {tmp_path}/ran")
    results = run(tmp_path)
    assert outcomes(results) == [("1-fine", HookOutcome.OK), ("2-veto", HookOutcome.FAILED)]
    assert results[1].reason == "exit code 1: the shop is busy"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("stage", ["post", "pre-reboot", "health"])
def test_in_other_stages_all_hooks_run(tmp_path: Path, stage: HookStage) -> None:
    put(tmp_path, "1-bad", "exit 1", stage=stage)
    put(tmp_path, "2-open", mode=0o777, stage=stage)
    put(tmp_path, "3-slow", "sleep 300", stage=stage)
    put(tmp_path, "4-fine", stage=stage)
    assert [outcome for _, outcome in outcomes(run(tmp_path, stage, timeout=timedelta(seconds=1)))] == [
        HookOutcome.FAILED,
        HookOutcome.REFUSED,
        HookOutcome.TIMED_OUT,
        HookOutcome.OK,
    ]


# --- What is no hook ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *(
            ".hidden",
            "with space",
            "10-x~",
            "#10-x#",
            "naïve",
            "a,v",
            "10-x.bak",
            "10-x.dpkg-old",
            "10-x.DISABLED",
        ),
        *(
            "10-x.ucf-dist",
            "10-x.rpmsave",
            "10-x.rpmnew",
            "10-x.pacnew",
            "10-x.swp",
            "10-x.orig",
            "new\nline",
        ),
    ],
)
def test_a_name_that_is_no_hooks_never_runs(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, f"touch {tmp_path}/ran")
    assert run(tmp_path) == ()
    assert not (tmp_path / "ran").exists()
    assert HookFolder(tmp_path, {}).names("pre") == ()
    (ignored,) = HookFolder(tmp_path, {}).ignored("pre")
    assert ignored[0] == name
    assert ignored[1].startswith("its name ")


def test_a_name_in_no_encoding_is_told_readably(tmp_path: Path) -> None:
    (tmp_path / "pre.d").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/pre.d/\xff")).touch()
    ((name, _),) = HookFolder(tmp_path, {}).ignored("pre")
    assert name == "\\xff"


@pytest.mark.parametrize("name", ["10-db.sh", "x.d", "a.b.c", "UPPER_9", "-dash"])
def test_such_names_are_hooks(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert outcomes(run(tmp_path)) == [(name, HookOutcome.OK)]


def test_what_is_not_executable_or_no_file_is_no_hook(tmp_path: Path) -> None:
    put(tmp_path, "README", mode=0o644)
    (tmp_path / "pre.d" / "folder").mkdir()
    (tmp_path / "pre.d" / "masked").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pre.d" / "pipe", 0o700)
    assert run(tmp_path) == ()
    assert dict(HookFolder(tmp_path, {}).ignored("pre")) == {
        "README": "it is not executable",
        "folder": "it is no regular file",
        "masked": "it is no regular file",
        "pipe": "it is no regular file",
    }


# --- Who could have written it --------------------------------------------------------------------------


def refusal(folder: Path) -> str:
    """Return why the one hook was refused; it must not have run."""
    (result,) = run(folder)
    assert (result.outcome, result.exit_code) == (HookOutcome.REFUSED, None)
    assert not (folder / "ran").exists()
    return result.output


@pytest.mark.parametrize(
    ("mode", "who"), [(0o775, "its group"), (0o757, "others"), (0o777, "others"), (0o1777, "others")]
)
def test_a_hook_that_others_may_write_is_refused(tmp_path: Path, mode: int, who: str) -> None:
    script = put(tmp_path, "hook", f"touch {tmp_path}/ran", mode=mode)
    assert refusal(tmp_path) == f"{script} may be written to by {who}"


@pytest.mark.root
def test_a_hook_of_another_user_is_refused(tmp_path: Path) -> None:
    script = put(tmp_path, "hook", f"touch {tmp_path}/ran")
    os.chown(script, NOBODY, 0)
    assert refusal(tmp_path) == f"{script} belongs to user {NOBODY}"


@pytest.mark.root
def test_a_hook_in_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "hooks"
    folder.mkdir(parents=True)
    put(folder, "hook", f"touch {folder}/ran")
    for open_folder in (folder / "pre.d", folder, tmp_path / "etc"):
        open_folder.chmod(0o775)
        assert refusal(folder) == f"{open_folder} may be written to by its group"
        open_folder.chmod(0o755)
    os.chown(folder, NOBODY, 0)
    assert refusal(folder) == f"{folder} belongs to user {NOBODY}"
    os.chown(folder, 0, 0)
    assert outcomes(run(folder)) == [("hook", HookOutcome.OK)]


@pytest.mark.root
def test_a_link_runs_where_nobody_could_change_where_it_leads(tmp_path: Path) -> None:
    shared = tmp_path / "lib" / "shared"
    shared.parent.mkdir()
    shared.write_text("#!/bin/sh\necho linked\n", encoding="utf-8")
    shared.chmod(0o755)
    (tmp_path / "pre.d").mkdir()
    (tmp_path / "also").symlink_to("lib")
    (tmp_path / "pre.d" / "hook").symlink_to("../also/./shared")
    assert [result.output for result in run(tmp_path)] == ["linked\n"]

    (tmp_path / "lib").chmod(0o777)
    assert refusal(tmp_path) == f"{tmp_path}/lib may be written to by others"
    (tmp_path / "lib").chmod(0o755)
    os.chown(tmp_path / "also", NOBODY, 0, follow_symlinks=False)
    assert refusal(tmp_path) == f"{tmp_path}/also belongs to user {NOBODY}"


def test_a_folder_that_is_a_link_is_asked_at_both_ends(tmp_path: Path) -> None:
    real = tmp_path / "srv"
    real.mkdir()
    put(real, "hook", "echo linked")
    (tmp_path / "hooks").symlink_to(real)
    assert [result.output for result in run(tmp_path / "hooks")] == ["linked\n"]
    real.chmod(0o777)
    assert refusal(tmp_path / "hooks") == f"{real} may be written to by others"


@pytest.mark.parametrize("target", ["nowhere", "hook"])
def test_a_link_that_leads_to_nothing_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "pre.d").mkdir()
    (tmp_path / "pre.d" / "hook").symlink_to(target)
    assert refusal(tmp_path).startswith(f"{tmp_path}/pre.d/hook leads to nothing that could be run: ")


def test_a_folder_that_cannot_be_read_refuses_the_stage(tmp_path: Path) -> None:
    (tmp_path / "pre.d").write_text("a file")
    assert outcomes(run(tmp_path)) == [("pre.d", HookOutcome.REFUSED)]
    with pytest.raises(Stalled, match="Not a directory"):
        HookFolder(tmp_path, {}).names("pre")


# --- Hooks that misbehave -------------------------------------------------------------------------------


def test_a_script_that_cannot_start_has_failed(tmp_path: Path) -> None:
    script = put(tmp_path, "hook")
    script.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    (result,) = run(tmp_path)
    assert (result.outcome, result.exit_code) == (HookOutcome.FAILED, None)
    assert result.reason == f"cannot start {script}: No such file or directory"
    script.write_text("no interpreter at all\n", encoding="utf-8")
    assert run(tmp_path)[0].output.endswith("Exec format error")


def test_a_hook_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """Each of three children starts three more; all hold the pipe, and none may be left."""
    put(
        tmp_path,
        "bomb",
        f"echo before; for i in 1 2 3; do (for j in 1 2 3; do sleep 300 & echo $! >>{tmp_path}/pids; done;"
        f" wait) & echo $! >>{tmp_path}/pids; done; trap '' TERM INT; wait",
    )
    start = monotonic()
    (result,) = run(tmp_path, timeout=timedelta(seconds=2))
    assert monotonic() - start < 15
    assert (result.outcome, result.exit_code, result.output) == (HookOutcome.TIMED_OUT, None, "before\n")
    assert result.reason == "did not end in time"
    assert result.seconds >= 2
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 12
    assert [pid for pid in pids if not is_gone(pid)] == []


def test_a_child_that_left_its_group_cannot_hold_us(tmp_path: Path) -> None:
    put(tmp_path, "hook", f"setsid sleep 300 & echo $! >{tmp_path}/pid; sleep 300")
    start = monotonic()
    (result,) = run(tmp_path, timeout=timedelta(seconds=1))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert result.outcome is HookOutcome.TIMED_OUT
    assert monotonic() - start < 15


def test_a_background_child_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    """It may be a service that the hook started: it lives on."""
    put(tmp_path, "start", "sleep 300 & echo $!")
    start = monotonic()
    (result,) = run(tmp_path, timeout=timedelta(minutes=4))
    os.kill(int(result.output), signal.SIGKILL)
    assert result.outcome is HookOutcome.OK
    assert monotonic() - start < 20


def test_a_flood_is_drained_and_cut(tmp_path: Path) -> None:
    put(tmp_path, "flood", "head -c 50000000 /dev/zero | tr '\\0' x; echo the end >&2; exit 4")
    (result,) = run(tmp_path)
    assert (result.outcome, result.exit_code) == (HookOutcome.FAILED, 4)
    assert result.output == "x" * (OUTPUT_LIMIT // 2) + "\nthe end\n\n[the rest is not kept]"


def test_output_in_no_encoding_is_text_all_the_same(tmp_path: Path) -> None:
    put(tmp_path, "bytes", "printf '\\377\\000ok'")
    assert run(tmp_path)[0].output == "\ufffd\0ok"


def is_gone(pid: int) -> bool:
    """Tell whether a process ends; a killed one takes an instant."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor) as ended:
        return bool(select.select([ended], [], [], 10)[0])


def test_hooks_are_told_from_others(tmp_path: Path) -> None:
    hooks = HookFolder(tmp_path, {})
    assert hooks.digest("pre") == ""
    path = put(tmp_path, "10-one", "exit 1")
    seen = [hooks.digest("pre"), hooks.digest("pre")]
    assert seen[0] == seen[1] != ""
    path.chmod(0o757)  # and so it is refused
    seen.append(hooks.digest("pre"))
    path.chmod(0o755)
    path.write_text("#!/bin/sh\nexit 0\n")
    seen.append(hooks.digest("pre"))
    (tmp_path / "pre.d/20-two").symlink_to("nowhere")
    seen.append(hooks.digest("pre"))
    assert len(set(seen)) == 4
    (tmp_path / "pre.d/notes.txt.bak").write_text("no hook")
    assert hooks.digest("pre") == seen[-1]
