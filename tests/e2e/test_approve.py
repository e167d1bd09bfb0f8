"""``approve`` as people call it: in a clone of a signed policy, for a fleet that reported."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.host.machine.clock import SystemClock
from reconciler.planning.reporting.document import Report
from reconciler.planning.resolving.approval import digest_of
from reconciler.policy.load import Revision, load
from reconciler.policy.match import HostFacts, selects
from reconciler.policy.windows import Occurrence
from tests.e2e.test_fleet import configure
from tests.edge.gitops.bench import git
from tests.labs.fleet import FleetWorld
from tests.labs.pages import to_follow
from tests.labs.signing import Key, Keys
from tests.policy.trees import files
from tests.report_samples import APPROVAL, INPUTS, USUAL, report_of

NEEDS = replace(INPUTS, settings=replace(INPUTS.settings, approval="required"))
PLAN = replace(USUAL, digest=digest_of(USUAL.transaction))
SHORT = PLAN.digest[7:19]


def waits(target: str, world: FleetWorld) -> Report:
    return report_of(PLAN, NEEDS, target=target, now=world.now)


@pytest.fixture
def world(tmp_path: Path, keys: Keys, ada: Key) -> FleetWorld:
    """Two web servers that wait, one host that does not, and ada's clone of the policy."""
    world = FleetWorld.create(tmp_path, keys, ada, "web-01", "web-02", "db-01")
    world.now = SystemClock().now().replace(microsecond=0)
    world.policy.commit({"policies/p.yaml": "kind: Policy\nname: p\n"}, ada)
    configure(world)
    for host in ("web-01", "web-02"):
        world.report(host, waits(host, world))
    world.report("db-01")
    git(world.folder, "clone", "--quiet", f"file://{world.policy.path}/.git", "clone")
    for key, value in {**ada.settings, "user.name": "Ada", "user.email": "ada@example.org"}.items():
        git(world.folder / "clone", "config", key, value)
    return world


def call(world: FleetWorld, *arguments: str) -> int:
    clone = ("--folder", f"{world.folder}/clone", "--fetch")
    return main(["--config", f"{world.folder}/config.yaml", "approve", *arguments, *clone])


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    document = json.loads(capsys.readouterr().out)
    validator = Draft202012Validator(schema("approve"), format_checker=Draft202012Validator.FORMAT_CHECKER)
    validator.validate(document)
    return document


def test_what_waits_is_listed(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(world, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Plan", "Changes", "First", "window", "Targets"]
    assert lines[1].startswith(f"{SHORT}  2 changes (1 security)  ")
    assert lines[1].endswith("2: web-01, web-02")
    assert len(lines) == 2
    assert call(world, "--list", "--format", "json") == 0
    (plan,) = told(capsys)
    assert (plan["plan"], plan["targets"]) == (PLAN.digest, ["web-01", "web-02"])


def test_a_branch_is_pushed_that_approves_and_nothing_that_is_checked_out_is_touched(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = world.folder / "clone"
    (clone / "mine.txt").write_text("work in progress")
    git(clone, "add", "mine.txt")
    before = git(clone, "status", "--porcelain"), git(clone, "rev-parse", "HEAD")

    assert call(world, "web-01", "--expires", "30d", "--reason", "CHG-7") == 0

    printed = capsys.readouterr()
    assert printed.out.startswith(f"Approve {SHORT} on web-01\n\n### 2 changes (1 security) on 1 target\n")
    assert f"pushed approve/plan-{SHORT} to origin; merging it approves" in printed.err
    assert [line.split()[1] for line in printed.err.splitlines()[-3:]] == ["gh", "glab", "tea"]
    assert (git(clone, "status", "--porcelain"), git(clone, "rev-parse", "HEAD")) == before
    branch = f"approve/plan-{SHORT}"
    assert git(world.policy.path, "diff", "--name-only", "main", branch) == f"approvals/plan-{SHORT}.yaml"
    assert git(world.policy.path, "rev-parse", f"{branch}^") == world.policy.head()
    text = git(world.policy.path, "show", f"{branch}:approvals/plan-{SHORT}.yaml")
    found = load(files({"approvals/a.yaml": text, "policies/p.yaml": "kind: Policy\nname: p\n"}))
    assert isinstance(found, Revision)
    assert found.approvals[0].value.plan == PLAN.digest
    assert found.approvals[0].value.match.name == ("web-01",)
    assert git(world.policy.path, "log", "-1", "--format=%s", branch) == f"Approve {SHORT} on web-01"


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16"])
def test_a_commit_is_written_in_utf8_whatever_the_clone_says_of_others(
    world: FleetWorld, encoding: str
) -> None:
    git(world.folder / "clone", "config", "i18n.commitEncoding", encoding)
    assert call(world, "web-01", "--expires", "30d", "--reason", "CHG-7: für → Köln") == 0
    raw = git(world.policy.path, "cat-file", "commit", f"approve/plan-{SHORT}")
    assert "CHG-7: für → Köln" in raw
    assert "\nencoding " not in raw


@pytest.mark.parametrize(
    ("text", "length", "rounded"),
    [
        ("30m", timedelta(minutes=30), timedelta(minutes=1)),
        ("25h", timedelta(hours=25), timedelta(minutes=1)),
        ("45s", timedelta(seconds=45), timedelta(minutes=1)),
        ("1d", timedelta(days=1), timedelta(days=1)),
    ],
)
def test_a_duration_ends_when_it_says(
    world: FleetWorld, capsys: pytest.CaptureFixture[str], text: str, length: timedelta, rounded: timedelta
) -> None:
    """Half an hour lasted to the end of the day."""
    began = SystemClock().now()
    options = ("--expires", text, "--timezone", "Asia/Tokyo", "--dry-run", "--format", "json")
    assert call(world, "web-01", *options) == 0
    (document,) = told(capsys)["documents"].values()
    found = load(files({"approvals/a.yaml": document, "policies/p.yaml": "kind: Policy\nname: p\n"}))
    assert isinstance(found, Revision)
    ends = found.approvals[0].value.ends()
    assert began + length <= ends <= SystemClock().now() + length + rounded


def test_a_clone_that_holds_only_a_part_is_told_with_what_to_do(
    world: FleetWorld, ada: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    git(world.policy.path, "config", "uploadpack.allowFilter", "true")
    clone = world.folder / "clone"
    shutil.rmtree(clone)
    git(world.folder, "clone", "-q", "--filter=blob:none", f"file://{world.policy.path}", str(clone))
    world.policy.commit({"policies/q.yaml": "kind: Policy\nname: q\nmatch: {labels: {role: db}}\n"}, ada)
    assert call(world, "web-01", "--expires", "30d") == 2
    said = capsys.readouterr().err
    assert "this clone holds only a part of the files" in said
    assert "hint: run `git fetch --refetch --no-filter` in it, or clone it anew without --filter" in said
    git(clone, "fetch", "--quiet", "--refetch", "--no-filter")
    assert call(world, "web-01", "--expires", "30d") == 0


@pytest.mark.parametrize("more", [(), ("--versions",)])
def test_a_guest_that_bears_the_name_of_a_host_is_not_approved_with_it(
    world: FleetWorld, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    told = waits("web-01", world)
    world.report("db-01/web-01", replace(told, host=replace(told.host, guest_of="db-01")))

    def approved(target: str) -> list[str]:
        assert call(world, target, "--expires", "30d", "--dry-run", "--format", "json", *more) == 0
        (text,) = json.loads(capsys.readouterr().out)["documents"].values()
        found = load(files({"approvals/a.yaml": text, "policies/p.yaml": "kind: Policy\nname: p\n"}))
        assert isinstance(found, Revision)
        every = (HostFacts("web-01", {}, "", "", "", home) for home in (None, "db-01", "web-02"))
        match = found.approvals[0].value.match
        return [f"{one.guest_of or ''}/{one.name}" for one in every if selects(match, one, {})]

    assert approved("web-01") == ["/web-01"]
    assert approved("db-01/web-01") == ["db-01/web-01"]


def test_the_commit_is_signed_where_git_is_told_to_sign(world: FleetWorld, ada: Key) -> None:
    git(world.folder / "clone", "config", "commit.gpgsign", "true")
    assert call(world, "--plan", SHORT, "--expires", "7d") == 0
    commit = git(world.policy.path, "cat-file", "commit", f"approve/plan-{SHORT}")
    assert "BEGIN SSH SIGNATURE" in commit
    assert ada.settings["user.signingkey"]


def test_a_branch_that_is_there_is_never_overwritten(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(world, "--group", "env=production", "--expires", "7d") == 0
    first = git(world.policy.path, "rev-parse", f"approve/plan-{SHORT}")
    capsys.readouterr()
    assert call(world, "web-01", "--expires", "7d") == 2
    assert f"origin has a branch approve/plan-{SHORT} already" in capsys.readouterr().err
    assert git(world.policy.path, "rev-parse", f"approve/plan-{SHORT}") == first


def test_a_dry_run_pushes_nothing(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        call(world, "web-01", "--versions", "--expires", "2036-01-01", "--dry-run", "--format", "json") == 0
    )
    found = told(capsys)
    assert found["commit"] is None
    (document,) = found["documents"].values()
    assert "versions:\n  bash: " in document
    assert git(world.policy.path, "branch", "--list", "approve/*") == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "approve what?"),
        (("web-01",), "an approval needs an end"),
        (("web-01", "--expires", "2020-01-01"), "--expires 2020-01-01 has passed"),
        (("web-01", "--expires", "soon"), "--expires soon is no date and no duration"),
        (("web-01", "--expires", "2036-02-31"), "--expires 2036-02-31: "),
        (("web-01", "--expires", "7d", "--timezone", "Mars"), "--timezone: "),
        (("db-01", "--expires", "7d"), "db-01 waits for no approval; it is fine: "),
        (("--group", "env=prod*", "--expires", "7d"), "--group env=prod* is a pattern"),
        (("web-9", "--expires", "7d"), "there is no target web-9"),
        (("--plan", "0" * 12, "--expires", "7d"), "no target reports plan 000000000000 any more"),
        (("web-01", "--expires", "7d", "--base", "nowhere"), "origin has no branch 'nowhere'"),
        (("web-01", "--expires", "7d", "--remote", "there"), "has no remote 'there'"),
    ],
)
def test_what_cannot_be_approved_is_said(
    world: FleetWorld, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert call(world, *arguments) == 2
    assert said in capsys.readouterr().err
    assert git(world.policy.path, "branch", "--list", "approve/*") == ""


def test_no_branch_of_the_clone_is_made_or_moved(
    world: FleetWorld, capsys: pytest.CaptureFixture[str], ada: Key
) -> None:
    clone = world.folder / "clone"
    git(clone, "branch", "mine")
    world.policy.commit({"docs/x": "1"}, ada)
    before = git(clone, "for-each-ref", "refs/heads")
    for base in ("main:refs/heads/mine", "main:refs/heads/new"):
        assert call(world, "web-01", "--expires", "7d", "--base", base) == 2
        assert "is no name of a branch" in capsys.readouterr().err
    assert call(world, "web-01", "--expires", "7d", "--base", "main") == 0
    assert git(clone, "for-each-ref", "refs/heads") == before


def test_a_clone_of_something_else_is_no_place_for_an_approval(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    other = world.folder / "other"
    git(world.folder, "init", "--quiet", "--initial-branch=main", "other")
    subprocess.run(["git", "-C", other, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)
    git(world.folder / "clone", "remote", "add", "else", str(other))
    assert call(world, "web-01", "--expires", "7d", "--remote", "else") == 2
    assert "by which the fleet was read" in capsys.readouterr().err


def used_up(world: FleetWorld, host: str) -> None:
    """Have a host wait for a plan that it applied once, by an approval that stands."""
    approval = replace(APPROVAL, plan=PLAN.digest, expires=world.now + timedelta(days=9))
    inputs = replace(NEEDS, approvals=(approval,), used=(PLAN.digest,))
    world.report(host, report_of(PLAN, inputs, target=host, now=world.now))


def test_a_digest_that_was_used_up_is_not_proposed_again(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    used_up(world, "web-01")
    assert call(world, "web-01", "--expires", "7d") == 2
    said = f"plan {SHORT} was approved and applied on web-01"
    err = capsys.readouterr().err
    assert f"{said}: its digest approves no second run there" in err
    assert "--versions" in err
    assert git(world.policy.path, "branch", "--list", "approve/*") == ""
    assert call(world, "--plan", SHORT, "--expires", "7d", "--dry-run") == 0
    assert f"{said}: there its digest approves no second run" in capsys.readouterr().err
    assert call(world, "web-01", "--versions", "--expires", "7d") == 0


def test_an_approval_that_ends_before_any_window_says_so(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    later = Occurrence(world.now + timedelta(days=20), world.now + timedelta(days=21), "monthly", 0)
    inputs = replace(NEEDS, windows=replace(NEEDS.windows, spans=(later,), opening=later.start))
    world.report("web-01", report_of(PLAN, inputs, target="web-01", now=world.now))
    assert call(world, "web-01", "--expires", "7d", "--dry-run") == 0
    printed = capsys.readouterr()
    when = f"{later.start:%Y-%m-%d %H:%M} UTC"
    assert f"can meet no window before {when}, when this has ended" in printed.err
    assert f"meet: {when}\n- **This approval ends before that.**\n" in printed.out
    assert call(world, "web-01", "--expires", "30d", "--dry-run") == 0
    printed = capsys.readouterr()
    assert "ended" not in printed.err
    assert "ends before" not in printed.out


def test_what_hosts_would_refuse_is_not_proposed(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    told = waits("web-02", world)
    labels = {**told.host.labels, "site": "New York"}
    world.report("web-02", replace(told, host=replace(told.host, labels=labels)))
    assert call(world, "--group", "site=New York", "--expires", "7d") == 2
    assert "with these documents hosts would refuse the policy: approvals/plan-" in capsys.readouterr().err
    assert git(world.policy.path, "branch", "--list", "approve/*") == ""


def test_what_was_read_before_says_when(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(world, "--list") == 0
    assert "reports as they were read" not in capsys.readouterr().err
    assert main(["--config", f"{world.folder}/config.yaml", "approve", "--list"]) == 0
    printed = capsys.readouterr()
    assert SHORT in printed.out
    assert "by the reports as they were read 20" in printed.err
    assert "--fetch reads them anew" in printed.err


def test_who_reports_the_files_of_another_one_takes_it_out_of_no_list(
    world: FleetWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.report("web-02/web-01", waits("web-01", world))
    assert call(world, "--list", "--format", "json") == 0
    assert {"web-01", "web-02"} <= {one for plan in told(capsys) for one in plan["targets"]}
    world.report("db-01/web-01", waits("web-01", world))
    assert call(world, "web-01", "--expires", "7d") == 0


@contextmanager
def small(folder: Path) -> Iterator[None]:
    """Put a small file system there."""
    options = "size=4m,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until there is no room left."""
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


@pytest.mark.parametrize("arguments", [("--list",), ("web-01", "--expires", "7d")])
def test_a_full_disk_is_no_defect(
    world: FleetWorld, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    state = world.folder / "state"
    state.mkdir()
    with small(state):
        assert call(world, "--list") == 0
        world.report("web-01", waits("web-01", world))
        fill(state / "filler")
        assert call(world, *arguments) == 1
        said = capsys.readouterr().err
        assert "No space left on device" in said
        assert "Traceback" not in said
        (state / "filler").unlink()
        assert call(world, *arguments) == 0


def test_no_room_for_temporary_files_is_no_defect(
    world: FleetWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    assert call(world, "--list") == 0
    with small(temporary):
        fill(temporary / "filler")
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        assert call(world, "web-01", "--expires", "7d") == 1
        monkeypatch.undo()
    said = capsys.readouterr().err
    assert "disk is full" in said
    assert "Traceback" not in said
    assert git(world.policy.path, "branch", "--list", "approve/*") == ""


def test_the_page_is_followed_as_it_is_printed(world: FleetWorld) -> None:
    for host in ("web-01", "web-02"):
        report = waits(host, world)
        world.report(host, replace(report, host=replace(report.host, labels={"role": "web"})))
    clone = world.folder / "clone"
    (world.folder / "config.yaml").rename(world.folder / "console.yaml")
    commands = to_follow("approve-a-plan.md")
    own = {"6b86b273ff34": SHORT, "2026-12-19": str((world.now + timedelta(days=19)).date())}
    assert all(any(shown in one.text for one in commands) for shown in own)
    said = {}
    for one in commands:
        text = one.text
        for shown, real in own.items():
            text = text.replace(shown, real)
        if one.section == "Approve":
            # Each is another way to approve the same.
            for branch in git(
                world.policy.path, "branch", "--list", "approve/*", "--format=%(refname:short)"
            ).split():
                git(world.policy.path, "branch", "-q", "-D", branch)
        elif one.section.startswith("Let"):
            git(clone, "fetch", "-q", "--prune")
            git(
                clone,
                "checkout",
                "-q",
                "--detach",
                git(clone, "for-each-ref", "--format=%(refname)", "refs/remotes/origin/approve/"),
            )
        env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": "/nonexistent"}
        done = subprocess.run(
            ["sh", "-ec", text], cwd=clone, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        said[one.text.partition(" approve ")[2].partition(" --expires")[0]] = done.stdout
    assert SHORT in said["--list --fetch"]
    for words, targets in {
        "web-01": "1 target",
        "--group role=web": "2 targets",
        "web-01 web-02 --versions": "2 targets",
    }.items():
        assert targets in said[words]
