"""What an audit makes of repositories that are cut, rewritten, huge or newer: a word, and no crash."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Misuse, Stalled
from reconciler.fleet.auditing import AuditAsked, FleetAudit, audit_fleet
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.planning.audit.audit import CHECKS
from reconciler.planning.audit.verdicts import TargetAudit, Verdict
from reconciler.planning.facts.inventory import Previous
from reconciler.planning.text import canonical
from tests.audits import audited_all, refuted
from tests.edge.gitops.bench import git
from tests.labs.fleet import NOW, FleetWorld
from tests.labs.signing import Key, Keys
from tests.report_samples import report_of

DAY = timedelta(days=1)
GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def world(tmp_path: Path, keys: Keys, ada: Key) -> FleetWorld:
    return FleetWorld.create(tmp_path, keys, ada, "web-01")


def audited(world: FleetWorld, *targets: str, without: str = "") -> FleetAudit:
    checks = tuple(one for one in CHECKS if one.name != without)
    asked = AuditAsked(NOW - DAY, NOW + DAY, targets, {}, checks)
    found = audit_fleet(world.sources(), asked, NOW + DAY)
    return replace(found, targets=tuple(found.targets))


def of(world: FleetWorld, target: str, without: str = "") -> TargetAudit:
    return next(one for one in audited(world, without=without).targets if one.target == target)


def told(world: FleetWorld, target: str = "web-01") -> dict[str, str]:
    return {one.check: f"{one.verdict}: {one.reason}" for one in of(world, target).against}


def assert_seen_by_one_check_alone(world: FleetWorld, target: str, check: str) -> None:
    """What this check says is all that there is against a target, and nobody would miss it without."""
    assert set(told(world, target)) == {check}
    assert of(world, target, without=check).verdict is Verdict.PROVED


def following(world: FleetWorld, at: Any = NOW) -> Any:
    return replace(
        report_of(target="web-01", now=at), previous=Previous(world.tip("web-01"), report_of().inventory)
    )


def test_reports_without_runs_are_proved_and_the_policy_is_verified(world: FleetWorld) -> None:
    world.report("web-01")
    world.report("web-01", following(world))
    found = audited(world)
    assert found.policy_is_verified
    assert [(one.target, one.verdict, one.reports) for one in found.targets] == [
        ("web-01", Verdict.PROVED, 2)
    ]


def test_a_host_that_never_reported_is_unproved(world: FleetWorld) -> None:
    assert told(world) == {"whole": "unproved: it has no report"}
    assert_seen_by_one_check_alone(world, "web-01", "whole")


def test_a_key_that_two_hosts_have_is_seen_by_nothing_else(world: FleetWorld, ada: Key) -> None:
    world.report("web-01")
    world.enrol(ada, files={"hosts/web-02.yaml": world.document("web-02", world.key("web-01"))})
    world.enrol(ada, files={"hosts/web-01.yaml": "kind: Host\nname: web-01\n"})
    assert told(world) == {"own-key": "unproved: its key is that of web-02 as well: either may have signed"}
    assert_seen_by_one_check_alone(world, "web-01", "own-key")


def test_a_host_that_never_reported_to_any_of_several_repositories_is_unproved(
    world: FleetWorld, ada: Key
) -> None:
    world.enrol(ada, "web-02", "web-03")
    git(world.folder, "init", "--quiet", "--bare", "more.git")
    world.report("web-01")
    tip = world.report("web-02")
    git(world.reports, "push", "-q", str(world.folder / "more.git"), f"{tip}:refs/heads/hosts/web-02")
    git(world.reports, "update-ref", "-d", "refs/heads/hosts/web-02")
    remotes = (f"file://{world.reports}", f"file://{world.folder}/more.git")
    asked = AuditAsked(NOW - DAY, NOW + DAY, (), {})
    found = audit_fleet(world.sources(*remotes), asked, NOW + DAY)
    assert [(one.target, one.remote, one.verdict) for one in found.targets] == [
        ("web-01", remotes[0], Verdict.PROVED),
        ("web-02", remotes[1], Verdict.PROVED),
        ("web-03", "", Verdict.UNPROVED),
    ]
    assert [one.reason for one in found.targets[2].against] == ["it has no report"]
    asked = replace(asked, targets=("web-03",))
    assert [one.target for one in audit_fleet(world.sources(*remotes), asked, NOW + DAY).targets] == [
        "web-03"
    ]
    # In one that cannot be read it may have.
    gone = audit_fleet(world.sources(remotes[0], f"file://{world.folder}/gone.git"), asked, NOW + DAY)
    assert (len(gone.targets), len(gone.problems)) == (0, 1)


def test_a_branch_that_is_gone_and_was_seen_is_refuted(world: FleetWorld) -> None:
    world.report("web-01")
    world.read()
    git(world.reports, "update-ref", "-d", "refs/heads/hosts/web-01")
    assert told(world)["seen-before"].startswith("refuted: the branch was rewritten")


@pytest.mark.parametrize("is_squashed", [False, True])
def test_a_branch_that_was_rewound_or_squashed_is_known_by_what_publishers_saw(
    world: FleetWorld, *, is_squashed: bool
) -> None:
    first = world.report("web-01")
    last = world.report("web-01", following(world))
    world.read()
    if is_squashed:
        git(world.reports, "update-ref", "-d", "refs/heads/hosts/web-01")
        world.report("web-01", tree=world.tree_of(last))
    else:
        git(world.reports, "update-ref", "refs/heads/hosts/web-01", first)
    assert told(world)["seen-before"].startswith(
        f"refuted: the branch was rewritten: it does not hold {last[:12]}, which was seen at"
    )


def test_a_history_of_which_commits_are_missing_is_said(world: FleetWorld) -> None:
    line = [world.report("web-01") for _ in range(3)]
    world.read(publish=False)
    (copy,) = (world.folder / world.state / "fleet").glob("*.git")
    for pack in copy.glob("objects/pack/*.pack"):
        aside = world.folder / pack.name
        pack.rename(aside)
        with aside.open("rb") as packed:
            subprocess.run(["git", "unpack-objects", "-q"], cwd=copy, stdin=packed, check=True)
    (copy / "objects" / line[1][:2] / line[1][2:]).unlink()
    assert told(world) == {"whole": "unproved: its branch cannot be read: commits of it are missing"}


ADDS = """
import resource, sys
from pathlib import Path
from reconciler.fleet.answers import Findings
from reconciler.planning.audit.verdicts import TargetAudit, Verdict
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
held = Findings(Path(sys.argv[1]))
try:
    for number in range(100):
        held.add(TargetAudit(f"web-{number}", "", "", "", 0, Verdict.PROVED, (), ()))
    held.of(())
except OSError as error:
    print(error.strerror)
"""


def test_a_file_system_that_takes_no_more_is_said_once(tmp_path: Path) -> None:
    asked = [sys.executable, "-c", ADDS, str(tmp_path)]
    made = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert (made.stdout, made.stderr) == ("File too large\n", "")


def test_progress_is_told_for_each_target(world: FleetWorld, ada: Key) -> None:
    world.enrol(ada, "web-02")
    for host in ("web-01", "web-02"):
        world.report(host)
    done: list[tuple[int, int]] = []
    asked = AuditAsked(NOW - DAY, NOW + DAY, (), {})
    audit_fleet(world.sources(tell=lambda number, of: done.append((number, of))), asked, NOW + DAY)
    assert done == [(1, 2), (2, 2)]


def test_a_shallow_report_repository_is_said_to_be_cut_off(world: FleetWorld) -> None:
    for _ in range(3):
        world.report("web-01")
    world.read(publish=False)
    (copy,) = (world.folder / world.state / "fleet").glob("*.git")
    (copy / "shallow").write_text(f"{world.tip('web-01')}\n")
    assert (
        told(world)["whole"] == "unproved: its history is cut off: the report repository is a shallow clone"
    )
    assert_seen_by_one_check_alone(world, "web-01", "whole")


def test_a_remote_that_is_a_shallow_clone_is_a_problem_and_no_silence(world: FleetWorld) -> None:
    for _ in range(3):
        world.report("web-01")
    clone = world.folder / "clone.git"
    git(world.folder, "clone", "-q", "--bare", "--depth=1", f"file://{world.reports}", str(clone))
    git(clone, "fetch", "-q", "--depth=1", "origin", "+refs/heads/*:refs/heads/*")
    asked = AuditAsked(NOW - DAY, NOW + DAY, (), {})
    found = audit_fleet(world.sources(f"file://{clone}"), asked, NOW + DAY)
    (problem,) = found.problems
    assert problem.message.endswith("what is there is a shallow clone")
    assert not found.targets


def test_a_policy_that_is_a_shallow_clone_is_said(world: FleetWorld, ada: Key) -> None:
    world.report("web-01")
    world.policy.commit({"policies/other.yaml": "kind: Policy\nname: other\n"}, ada)
    clone = world.folder / "cut.git"
    git(world.folder, "clone", "-q", "--bare", "--depth=1", f"file://{world.policy.path}", str(clone))
    sources = world.sources()
    mirror = PolicyMirror(world.folder / "cut-mirror.git", f"file://{clone}", "main")
    asked = AuditAsked(NOW - DAY, NOW + DAY, (), {})
    with pytest.raises(Stalled, match="shallow clone"):
        audit_fleet(replace(sources, mirror=mirror, signed=None), asked, NOW + DAY)


def test_sixty_thousand_files_are_not_read(world: FleetWorld) -> None:
    world.report("web-01")
    blob = canonical.to_bytes({})
    world.report("web-01", files={f"runs/{number}.json": blob for number in range(3500)})
    assert told(world)["whole"] == "unproved: its branch holds more files than any report has"
    assert_seen_by_one_check_alone(world, "web-01", "whole")


def test_of_records_no_more_is_read_than_can_be_held(world: FleetWorld) -> None:
    large = b" " * (4 * 2**20 - 9)
    files = {f"runs/{number:02}.json": b"{%d}%s" % (number, large) for number in range(10, 28)}
    world.report("web-01", files=files)
    reasons = [one.reason for one in of(world, "web-01").against if one.check == "readable"]
    assert sum(one.startswith("it cannot be read: ") for one in reasons) == 16
    assert reasons.count("with the records before it, it is more than is read of a branch") == 2


def test_a_report_of_a_newer_release_is_named_with_what_it_needs(world: FleetWorld) -> None:
    world.report("web-01")
    newer = canonical.to_bytes({"schema": 99, "program": "patchledger 9.9"})
    world.report("web-01", files={"report.json": newer})
    assert told(world) == {"readable": "unproved: not replayable here: needs patchledger 9.9"}


@pytest.mark.parametrize("data", [b"[" * 100_000, b"{}", b"\xff", b'{"schema": 3, "program": 7}'])
def test_what_is_no_report_is_said(world: FleetWorld, data: bytes) -> None:
    world.report("web-01", files={"report.json": data, "runs/20261122T000000Z-0123456789ab.json": data})
    assert told(world)["readable"].startswith("unproved: it cannot be read: ")


def test_a_word_that_nobody_knows_is_told_as_it_is_and_ends_no_audit(world: FleetWorld) -> None:
    """Of a host of a newer release, or of one that would have nobody audited."""
    (kept,) = (GOLDEN / "v1" / "apt" / "applied" / "runs").glob("*.json")
    record = kept.read_text().replace('"action": "upgrade"', '"action": "swap"')
    assert "swap" in record
    world.report("web-01", files={f"runs/{kept.name}": record.encode()})
    (run,) = of(world, "web-01").changes
    assert {str(one.action) for one in run.changes} == {"swap"}
    assert run.verdict is Verdict.UNPROVED


def test_a_policy_that_was_rewritten_is_a_problem_and_the_one_of_before_counts(
    world: FleetWorld, ada: Key
) -> None:
    world.report("web-01")
    assert not audited(world).problems
    git(world.policy.path, "checkout", "-q", "--orphan", "anew")
    world.policy.commit({"policies/other.yaml": "kind: Policy\nname: other\n"}, ada)
    git(world.policy.path, "branch", "-qM", "anew", "main")
    found = audited(world)
    assert "not on the first-parent line" in found.problems[0].message
    assert found.targets[0].verdict is Verdict.PROVED


def test_a_report_that_names_a_policy_that_there_is_not_counts_for_nothing(world: FleetWorld) -> None:
    world.report("web-01", policy="0" * 40)
    assert told(world)["own-reports"].endswith("does not count: unknown-policy")


def test_a_target_that_there_is_not_is_said(world: FleetWorld) -> None:
    world.report("web-01")
    with pytest.raises(Misuse, match="there is no target web-99"):
        audited(world, "web-99")


def test_an_audit_that_is_made_again_reads_no_report(world: FleetWorld) -> None:
    world.report("web-01")
    first = audited(world)
    (answer,) = (world.folder / world.state / "fleet" / "audit").glob("*.json")
    before = answer.stat().st_mtime_ns
    assert audited(world) == first
    assert answer.stat().st_mtime_ns == before
    answer.write_bytes(b"damaged")
    assert audited(world) == first
    world.report("web-01", following(world))
    assert audited(world) != first
    assert len(list(answer.parent.iterdir())) == 1


def broken(world: FleetWorld) -> dict[str, str]:
    """Return an environment in which no signature can be checked."""
    program = world.folder / "bin" / "ssh-keygen"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def test_signatures_of_all_are_remembered_whoever_is_asked_for_meanwhile(world: FleetWorld, ada: Key) -> None:
    world.enrol(ada, "web-02")
    for host in ("web-01", "web-02"):
        world.report(host)
    audited(world)
    audited(world, "web-01")
    asked = AuditAsked(NOW - 2 * DAY, NOW + DAY, (), {})
    found = audit_fleet(world.sources(environment=broken(world)), asked, NOW + DAY)
    assert [one.verdict for one in found.targets] == [Verdict.PROVED] * 2


def test_what_could_not_be_checked_is_asked_again_once_it_can(world: FleetWorld) -> None:
    """The period is over, so that an answer would be kept: but no answer that rests on a broken machine."""
    world.report("web-01")
    world.state = "publisher"  # on another machine: what it found out is not known here
    world.read()
    world.state = "state"
    asked, now = AuditAsked(NOW - DAY, NOW + DAY, (), {}), NOW + 2 * DAY
    found = audit_fleet(world.sources(environment=broken(world)), asked, now)
    assert found.targets[0].verdict is Verdict.UNPROVED
    assert any("could not be checked" in one for one in found.notices)
    found = audit_fleet(world.sources(), asked, now)
    assert found.targets[0].verdict is Verdict.PROVED
    assert found.notices == ()
    # What publishers saw is known again as well.
    git(world.reports, "update-ref", "-d", "refs/heads/hosts/web-01")
    assert audit_fleet(world.sources(), asked, now).targets[0].against[0].check == "seen-before"


def test_a_copy_that_was_cut_off_and_is_mended_is_asked_again(world: FleetWorld) -> None:
    for _ in range(3):
        world.report("web-01")
    asked, now = AuditAsked(NOW - DAY, NOW + DAY, (), {}), NOW + 2 * DAY
    world.read(publish=False)
    (copy,) = (world.folder / world.state / "fleet").glob("*.git")
    (copy / "shallow").write_text(f"{world.tip('web-01')}\n")
    assert audit_fleet(world.sources(), asked, now).targets[0].against[0].check == "whole"
    (copy / "shallow").unlink()
    assert "whole" not in {one.check for one in audit_fleet(world.sources(), asked, now).targets[0].against}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_an_earlier_release_wrote_is_unproved_and_not_refuted(version: str, tmp_path: Path) -> None:
    kept = GOLDEN / version / "apt"
    git(tmp_path, "clone", "-q", "--mirror", f"{kept}/reports.bundle", "reports.git")
    git(tmp_path, "clone", "-q", f"{kept}/policy.bundle", "policy")
    (found,) = audited_all(tmp_path / "reports.git", tmp_path / "policy").targets
    assert [one.verdict for one in found.changes if one.kind == "run"] == [Verdict.UNPROVED]
    assert refuted(found) == []
    (run,) = (one for one in found.changes if one.kind == "run")
    assert "its record names no report that announced it" in {one.reason for one in run.against}
