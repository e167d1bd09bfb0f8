"""A fleet read back from real repositories: each row as it should be, and nothing unverified published."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Misuse, PolicyRejected, Stalled, Transient
from reconciler.fleet.cache import ReportCache, Shaped
from reconciler.fleet.gathering import portions
from reconciler.fleet.reading import last_gathered
from reconciler.fleet.verified_policy import SignedPolicy
from reconciler.gitops.commit_tree import commit_tree
from reconciler.gitops.git import Git
from reconciler.host.state.folder import StateFolder
from reconciler.planning.facts.observation import ClockState, Reboot, RebootNeed
from reconciler.planning.fleet.changes import changes, notice
from reconciler.planning.fleet.rows import Row, TargetState
from reconciler.planning.fleet.summary import Line, read_summary
from reconciler.planning.reporting.document import OutsideMove
from reconciler.planning.text import canonical
from reconciler.policy.signers import Revocation
from tests.edge.gitops.bench import git
from tests.labs.fleet import NOW, Entry, FleetWorld
from tests.labs.signing import Key, Keys
from tests.report_samples import report_of

HAND = OutsideMove("install", "nano", "amd64", None, "1", "installed")


@pytest.fixture
def world(tmp_path: Path, keys: Keys, ada: Key) -> FleetWorld:
    return FleetWorld.create(tmp_path, keys, ada, "web-01", "web-02", "db-01")


def reported(world: FleetWorld, *hosts: str) -> None:
    for host in hosts or ("web-01", "web-02", "db-01"):
        world.report(host)


def test_a_fleet_of_every_kind(tmp_path: Path, keys: Keys, ada: Key, eve: Key) -> None:
    hosts = ["fine", "other", "rewound", "silent", "retired", "hand", "reboot", "never", "unsigned"]
    world = FleetWorld.create(tmp_path, keys, ada, *hosts)
    sample = report_of(now=NOW)
    world.report("silent", at=NOW)
    good = {host: world.report(host) for host in ("fine", "other", "rewound", "retired", "unsigned")}
    older = good["rewound"]
    good["rewound"] = world.report("rewound", report_of(target="rewound", now=NOW))
    world.rows()
    world.later(days=3)
    git(world.policy.path, "rm", "-q", "hosts/retired.yaml")
    world.policy.commit({}, ada)
    good["fine"] = world.report("fine")
    world.report("stranger", key=eve)
    world.report("other", key=eve)
    world.report("unsigned", is_signed=False)
    world.report("hand", replace(sample, target="hand", changed_outside=(HAND,)))
    reboot = Reboot(RebootNeed.REQUIRED, ("a kernel",))
    world.report("reboot", replace(sample, target="reboot", reboot=reboot))
    git(world.reports, "update-ref", "refs/heads/hosts/rewound", older)

    rows = world.rows()
    assert {name: row.state for name, row in rows.items()} == {
        "other": TargetState.UNVERIFIED,
        "rewound": TargetState.UNVERIFIED,
        "stranger": TargetState.UNVERIFIED,
        "unsigned": TargetState.UNVERIFIED,
        "silent": TargetState.SILENT,
        "never": TargetState.SILENT,
        "reboot": TargetState.REBOOT_PENDING,
        "hand": TargetState.CHANGED_OUTSIDE,
        "fine": TargetState.FINE,
        "retired": TargetState.RETIRED,
    }
    assert eve.fingerprint in rows["other"].reason
    assert "rewritten" in rows["rewound"].reason
    assert rows["stranger"].reason == "the policy names no key of it"
    assert "not signed" in rows["unsigned"].reason
    kept = world.targets()
    for host, commit in good.items():
        assert kept[host] == world.tree_of(commit), host
    assert set(kept) == {*hosts} - {"never"}
    heads = git(world.reports, "show", "fleet:heads.txt").splitlines()
    assert f"{good['rewound']} hosts/rewound" in heads
    assert f"{world.tip('fine')} hosts/fine" in heads


def test_nothing_new_makes_no_commit_but_says_every_six_hours_that_it_is_read(world: FleetWorld) -> None:
    reported(world)
    first = world.read()
    commit = first.published[f"file://{world.reports}"]
    assert commit.is_new
    world.later(hours=5)
    assert not world.read().published[f"file://{world.reports}"].is_new
    world.later(hours=1, seconds=1)
    assert world.read().published[f"file://{world.reports}"].is_new
    assert git(world.reports, "rev-parse", "fleet^{tree}", "fleet~1^{tree}").split("\n")[0] == world.tree_of(
        commit.commit
    )
    assert git(world.reports, "rev-list", "--count", "fleet") == "2"


def test_what_is_published_is_signed_and_names_its_branch(world: FleetWorld, tmp_path: Path) -> None:
    reported(world)
    world.rows()
    signers = tmp_path / "publishers"
    signers.write_text(world.publisher.line(), encoding="utf-8")
    for branch in ("fleet", "fleet-rings"):
        git(
            *(world.reports, "-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}"),
            *("verify-commit", branch),
        )
        assert f"Fleet-Branch: {branch}" in git(world.reports, "log", "-1", "--format=%B", branch)


def test_the_branch_for_rings_is_small(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    assert set(world.published("fleet-rings")) == {"fleet.json"}
    told = json.loads(git(world.reports, "show", "fleet-rings:fleet.json"))
    assert told["fleet"] == git(world.reports, "rev-parse", "fleet")
    assert told["states"] == {"fine": 3}


def test_a_heartbeat_is_heard_and_reads_nothing_again(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    world.later(days=1)
    tree = {"report.json": ("100644", git(world.reports, "rev-parse", "hosts/web-01:report.json"))}
    files = {**tree, "report.md": ("100644", git(world.reports, "rev-parse", "hosts/web-01:report.md"))}
    commit = world.report("web-01", files=files)
    row = world.rows()["web-01"]
    assert (row.head, row.heard, row.state) == (commit, world.now, TargetState.FINE)


def test_a_silent_target_that_comes_back_is_as_its_report_says(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    world.later(days=3)
    assert {row.state for row in world.rows().values()} == {TargetState.SILENT}
    files = {
        name: ("100644", git(world.reports, "rev-parse", f"hosts/web-01:{name}"))
        for name in ("report.json", "report.md")
    }
    world.report("web-01", files=files)
    rows = world.rows()
    assert (rows["web-01"].state, rows["db-01"].state) == (TargetState.FINE, TargetState.SILENT)
    assert not rows["web-01"].reason.startswith("nothing was heard")


def test_who_is_silent_is_so_by_the_span_and_the_clock_of_today(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    heard = world.now
    for days, span, state in (
        (3, timedelta(days=2), TargetState.SILENT),
        (3, timedelta(days=7), TargetState.FINE),
        (3, timedelta(days=2), TargetState.SILENT),
        (1, timedelta(days=2), TargetState.FINE),
    ):
        world.now = heard + timedelta(days=days)
        assert {row.state for row in world.rows(silent_after=span).values()} == {state}


def test_a_report_of_the_future_is_heard_when_it_is_seen(world: FleetWorld) -> None:
    world.report("web-01", at=NOW.replace(year=2099))
    assert world.rows()["web-01"].heard == NOW
    world.later(days=3)
    assert world.rows()["web-01"].state is TargetState.SILENT


def test_a_new_key_is_taken_over_and_what_the_old_one_signed_before_stays(
    world: FleetWorld, ada: Key, ben: Key
) -> None:
    old = world.policy.head()
    reported(world)
    world.rows()
    world.policy.commit({"hosts/web-01.yaml": world.document("web-01", ben)}, ada)
    assert world.rows()["web-01"].state is TargetState.FINE
    world.report("web-01")
    assert world.rows()["web-01"].state is TargetState.UNVERIFIED
    good = world.report("web-01", key=ben)
    assert world.rows()["web-01"].head == good
    world.report("web-01", policy=old)
    row = world.rows()["web-01"]
    assert (row.state, row.head) == (TargetState.UNVERIFIED, good)


def test_an_old_key_cannot_go_back_where_all_that_was_known_is_lost(
    world: FleetWorld, ada: Key, ben: Key
) -> None:
    old = world.policy.head()
    reported(world)
    world.policy.commit({"hosts/web-01.yaml": world.document("web-01", ben)}, ada)
    good = world.report("web-01", key=ben)
    world.report("web-01", policy=old)
    row = world.rows()["web-01"]
    assert (row.state, row.head) == (TargetState.UNVERIFIED, good)
    assert world.targets()["web-01"] == world.tree_of(good)


@pytest.mark.parametrize("names", ["nothing", "old"])
def test_an_old_key_cannot_go_back_where_the_last_report_names_no_newer_policy(
    world: FleetWorld, ada: Key, ben: Key, names: str
) -> None:
    old = world.policy.head()
    reported(world)
    world.rows()
    new = world.policy.commit({"hosts/web-01.yaml": world.document("web-01", ben)}, ada)
    world.report("web-01", key=ben)
    world.rows()
    good = world.report("web-01", key=ben, policy=old if names == "old" else "")
    row = world.rows()["web-01"]
    assert (row.head, row.policy_commit) == (good, new)
    world.report("web-01", policy=old)
    row = world.rows()["web-01"]
    assert (row.state, row.head) == (TargetState.UNVERIFIED, good)
    world.policy.commit({"hosts/web-03.yaml": world.document("web-03", None)}, ada)
    git(world.reports, "update-ref", "refs/heads/hosts/web-01", good)
    assert world.rows(accepted=frozenset({"hosts/web-01"}))["web-01"].state is TargetState.FINE


def test_a_reinstalled_host_with_a_new_key_begins_anew(world: FleetWorld, ada: Key, ben: Key) -> None:
    reported(world)
    world.rows()
    world.report("web-01", parent="", at=NOW.replace(hour=9))
    world.later(hours=2)
    assert "rewritten" in world.rows()["web-01"].reason
    world.policy.commit({"hosts/web-01.yaml": world.document("web-01", ben)}, ada)
    good = world.report("web-01", parent="", key=ben)
    assert world.rows()["web-01"].head == good


def test_a_report_of_the_future_that_is_seen_again_is_not_heard_again(world: FleetWorld, ada: Key) -> None:
    world.report("web-01", at=world.now + timedelta(days=400))
    world.rows()
    heard = world.now
    git(world.policy.path, "rm", "-q", "hosts/web-01.yaml")
    world.policy.commit({}, ada)
    assert world.rows()["web-01"].state is TargetState.RETIRED
    world.later(days=3)
    world.enrol(ada, "web-01")
    row = world.rows()["web-01"]
    assert row.heard == heard
    assert row.state is TargetState.SILENT


def test_who_was_retired_while_reports_were_away_is_so_afterwards(world: FleetWorld, ada: Key) -> None:
    reported(world)
    world.rows()
    git(world.policy.path, "rm", "-q", "hosts/web-01.yaml")
    world.policy.commit({}, ada)
    away = world.folder / "away.git"
    world.reports.rename(away)
    assert world.read().problems
    away.rename(world.reports)
    assert world.rows()["web-01"].state is TargetState.RETIRED


def test_a_person_accepts_a_branch_that_was_rewritten(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    world.later(hours=1)
    good = world.report("web-01", parent="")
    assert world.rows()["web-01"].state is TargetState.UNVERIFIED
    assert world.rows(accepted=frozenset({"hosts/web-01"}))["web-01"].head == good
    assert world.rows()["web-01"].state is TargetState.FINE


def test_each_change_is_told_with_the_reading_before_it(world: FleetWorld) -> None:
    """A branch that is rewritten again is another incident than the first one, at the very same commit."""
    older = world.report("web-01")
    good = world.report("web-01")
    world.rows()
    told: list[tuple[str, str]] = []

    def kept(before: Sequence[Row], after: Sequence[Row], since: str) -> None:
        found = notice(changes(before, after), "fleet", world.now, since)
        told.extend([(found.event, found.occasion)] if found is not None else [])

    for tip in (older, older, good, older):
        git(world.reports, "update-ref", "refs/heads/hosts/web-01", tip)
        world.later(minutes=5)
        world.rows(changed=kept)
    assert [event for event, _ in told] == ["failed", "recovered", "failed"]
    assert len({occasion for _, occasion in told}) == 3


def test_a_branch_that_is_gone_is_missed(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    git(world.reports, "update-ref", "-d", "refs/heads/hosts/web-01")
    row = world.rows()["web-01"]
    assert (row.state, row.reason) == (
        TargetState.UNVERIFIED,
        "its branch is gone from the report repository",
    )
    assert "web-01" in world.targets()


@pytest.mark.parametrize(
    "kind", ["link", "submodule", "program", "file", "no-report", "many", "name", "large"]
)
def test_a_tree_of_another_shape_keeps_the_last_one(world: FleetWorld, kind: str) -> None:
    reported(world)
    kept = world.rows()["web-01"].tree
    blob = git(world.reports, "rev-parse", "hosts/web-01:report.md")
    tree = git(world.reports, "rev-parse", "hosts/web-01^{tree}")
    files: dict[str, dict[str, bytes | Entry]] = {
        "link": {"report.md": ("120000", blob)},
        "submodule": {"runs/x": ("160000", world.tip("web-01"))},
        "program": {"report.md": ("100755", blob)},
        "file": {"etc": b"passwd"},
        "no-report": {"report.json": ("40000", tree)},
        "many": {f"runs/{number}.json": ("100644", blob) for number in range(60_000)},
        "name": {"runs/$(id)": ("100644", blob)},
        "large": {"report.json": b" " * (5 * 2**20)},
    }
    world.report("web-01", files=files[kind])
    row = world.rows()["web-01"]
    assert (row.state, row.tree) == (TargetState.UNVERIFIED, kept)
    assert world.targets()["web-01"] == kept
    good = world.report("web-01")
    assert world.rows()["web-01"].head == good


@pytest.mark.parametrize("kind", ["twice", "both", "order", "below"])
def test_a_tree_that_git_would_not_write_keeps_the_last_one(world: FleetWorld, kind: str) -> None:
    """Of two entries of one name each reader sees another, and one out of order is seen by some alone."""
    reported(world)
    kept = world.rows()["web-01"].tree
    good, other = (
        git(world.reports, "rev-parse", f"hosts/{host}:report.json") for host in ("web-01", "db-01")
    )
    runs = world.raw_tree(("100644", "1.json", good), ("100644", "1.json", other))
    one = ("100644", "report.json", good)
    rows = {
        "twice": (one, ("100644", "report.json", other)),
        "both": (("100644", "report.json", good), ("40000", "report.json", runs)),
        "order": (("100644", "report.md", good), one),
        "below": (one, ("40000", "runs", runs)),
    }
    world.report("web-01", tree=world.raw_tree(*rows[kind]))
    row = world.rows()["web-01"]
    assert (row.state, row.tree) == (TargetState.UNVERIFIED, kept)
    assert world.targets()["web-01"] == kept


HALF = canonical.to_bytes(canonical.plain(report_of(target="web-01", now=NOW))).replace(b"debian", b"\\ud800")
"""A report with half a character: as JSON it can be read, and as text not be written again."""


@pytest.mark.parametrize("text", [b"", b"{}", b"[" * 100_000, b"\xff\xfe", HALF])
def test_a_report_that_cannot_be_read_keeps_the_last_one(world: FleetWorld, text: bytes) -> None:
    reported(world)
    kept = world.rows()["web-01"].tree
    world.report("web-01", files={"report.json": text or b"x"})
    row = world.rows()["web-01"]
    assert (row.state, row.tree) == (TargetState.UNVERIFIED, kept)
    assert "cannot be read" in row.reason


def test_a_run_of_a_newer_release_keeps_no_other_target_from_being_read(world: FleetWorld) -> None:
    golden = Path(__file__).parents[2] / "golden" / "v1"
    (sample,) = (golden / "apt" / "applied" / "runs").glob("*.json")
    newer = json.loads(sample.read_bytes()) | {"outcome": "postponed"}
    world.report("web-01", files={f"runs/{sample.name}": json.dumps(newer).encode()})
    reported(world, "web-02", "db-01")
    rows = world.rows()
    assert {row.state for row in rows.values()} == {TargetState.FINE}
    assert rows["web-01"].last_run is not None
    assert rows["web-01"].last_run.headline.startswith("postponed, ")


def test_a_report_that_says_what_none_does_keeps_no_other_target_from_being_read(world: FleetWorld) -> None:
    """Of the right layout throughout, with an update for which there is no reason."""
    odd = canonical.plain(report_of(target="web-01"))
    for update in odd["plan"]["updates"]:
        update["reasons"] = []
    world.report("web-01", files={"report.json": canonical.to_bytes(odd)})
    reported(world, "web-02", "db-01")
    assert {row.state for row in world.rows().values()} == {TargetState.FINE}


def test_a_report_of_a_newer_release_is_said_to_be_that(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    newer = canonical.plain(report_of()) | {"schema": 99}
    world.report("web-01", files={"report.json": canonical.to_bytes(newer)})
    assert "newer patchledger" in world.rows()["web-01"].reason


def test_a_report_of_another_target_is_nobodys(world: FleetWorld) -> None:
    world.report("web-01", report_of(target="web-02"))
    assert world.rows()["web-01"].reason == "its report tells of another target"
    world.report("web-02", trailer="web-01")
    assert "does not say Host: web-02" in world.rows()["web-02"].reason


@pytest.mark.parametrize(
    ("sizes", "held"), [([], []), ([9, 9], [2]), ([60, 40, 1], [2, 1]), ([200, 1, 200], [1, 1, 1])]
)
def test_few_large_reports_are_held_in_memory(sizes: list[int], held: list[int]) -> None:
    shapes = {f"guests/a/{number}": Shaped("", "", size) for number, size in enumerate(sizes)}
    found = list(portions(shapes, 100))
    assert [len(some) for some in found] == held
    assert [branch for some in found for branch in some] == [*shapes]


def test_a_guest_is_reported_by_its_host(world: FleetWorld) -> None:
    world.report("web-01/101")
    row = world.rows()["web-01/101"]
    assert (row.state, row.branch) == (TargetState.FINE, "guests/web-01/101")


def test_foreign_branches_and_hostile_names_are_not_looked_at(world: FleetWorld) -> None:
    reported(world)
    for name in ("main", "hosts/Web_01", "hosts/a/b", "guests/a", "hosts/$(id)", "fleet-x/y"):
        git(world.reports, "update-ref", f"refs/heads/{name}", world.tip("web-01"))
    assert set(world.rows()) == {"web-01", "web-02", "db-01"}


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085"])
def test_no_branch_passes_for_another_one_by_an_end_of_line_in_its_name(world: FleetWorld, end: str) -> None:
    old = world.report("web-01")
    world.report("web-01", at=world.now + timedelta(minutes=1))
    git(world.reports, "update-ref", f"refs/heads/hosts/web-01{end}x", old)
    assert set(world.rows()) == {"web-01", "web-02", "db-01"}
    assert world.rows()["web-01"].tip == world.tip("web-01")


@pytest.mark.parametrize("hosts", [(), ("web-01",)])
def test_a_fleet_of_no_hosts_and_of_one(tmp_path: Path, keys: Keys, ada: Key, hosts: tuple[str, ...]) -> None:
    world = FleetWorld.create(tmp_path, keys, ada, *hosts)
    assert {row.state for row in world.rows().values()} <= {TargetState.SILENT}
    assert set(world.published()) == {"heads.txt", "summary.json", "STATUS.md"}
    for host in hosts:
        world.report(host)
    assert {row.state for row in world.rows().values()} <= {TargetState.FINE}


@pytest.mark.parametrize("what", ["packs", "ref", "all", "head", "unsynced"])
def test_a_damaged_copy_is_made_anew_and_that_is_said(world: FleetWorld, what: str) -> None:
    reported(world)
    before = world.rows()
    (copy,) = (world.folder / "state" / "fleet").glob("*.git")
    world.report("web-02")
    match what:
        case "packs":
            for path in (copy / "objects").rglob("*"):
                if path.is_file():
                    path.chmod(0o600)
                    path.write_bytes(b"damaged")
        case "ref":
            shutil.rmtree(copy / "refs" / "remotes")
            (copy / "refs" / "remotes" / "reports" / "hosts").mkdir(parents=True)
            (copy / "refs" / "remotes" / "reports" / "hosts" / "web-01").write_text("damaged")
            (copy / "packed-refs").unlink(missing_ok=True)
        case "all":
            shutil.rmtree(copy / "objects")
        case "unsynced":  # what a power cut leaves of files that are there by name alone
            for path in (*(copy / "objects").rglob("*"), *(copy / "refs").rglob("*")):
                if path.is_file():
                    path.chmod(0o600)
                    path.write_bytes(b"")
        case _:
            (copy / "HEAD").write_bytes(b"")
    found = world.read()
    assert found.problems == ()
    assert any("was damaged; it is fetched anew" in notice for notice in found.notices)
    rows = {row.target: row for row in found.fleet.rows}
    assert rows["web-01"] == before["web-01"]
    assert rows["web-02"].head == world.tip("web-02")


def test_a_copy_whose_fetch_was_killed_half_way_goes_on(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    (copy,) = (world.folder / "state" / "fleet").glob("*.git")
    refs = copy / "refs" / "remotes" / "reports" / "hosts"
    refs.mkdir(parents=True, exist_ok=True)
    for path in (refs / "web-02.lock", copy / "packed-refs.lock", copy / "objects" / "pack" / "tmp_pack_1"):
        path.write_bytes(b"half")
    good = world.report("web-02")
    assert world.rows()["web-02"].head == good
    assert not [*copy.rglob("*.lock")]


def test_without_what_was_remembered_all_is_as_before_and_a_rewound_branch_is_seen(world: FleetWorld) -> None:
    older = world.report("web-01")
    reported(world)
    before = world.rows()
    shutil.rmtree(world.folder / "state")
    assert world.rows() == before
    assert git(world.reports, "rev-list", "--count", "fleet") == "1"
    shutil.rmtree(world.folder / "state")
    git(world.reports, "update-ref", "refs/heads/hosts/web-01", older)
    row = world.rows()["web-01"]
    assert "rewritten" in row.reason
    assert world.targets()["web-01"] == before["web-01"].tree


def test_a_summary_here_that_is_damaged_is_made_anew(world: FleetWorld) -> None:
    reported(world)
    before = world.rows()
    folder = world.folder / "state" / "fleet"
    for path in folder.glob("*.json"):
        path.write_bytes(b"damaged")
    with pytest.raises(Misuse, match="cannot be read"):
        last_gathered(folder)
    found = world.read()
    assert any("made anew" in notice for notice in found.notices)
    assert {row.target: row for row in found.fleet.rows} == before


def test_what_nobody_signed_on_the_branch_is_continued_and_not_believed(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    shutil.rmtree(world.folder / "state")
    tree = world.tree({"summary.json": b"lies"})
    forged = git(world.reports, "commit-tree", "-p", "fleet", "-m", "lies\n\nFleet-Branch: fleet", tree)
    git(world.reports, "update-ref", "refs/heads/fleet", forged)
    found = world.read()
    assert any("by no publisher" in notice for notice in found.notices)
    assert git(world.reports, "rev-parse", "fleet~1") == forged
    head, lines = read_summary((git(world.reports, "show", "fleet:summary.json") + "\n").encode())
    assert (head.policy_is_verified, len(lines)) == (True, 3)


def test_a_policy_that_nobody_signed_is_not_used(world: FleetWorld, eve: Key) -> None:
    reported(world)
    before = world.rows()
    world.policy.commit({"hosts/web-01.yaml": world.document("web-01", eve)}, eve)
    found = world.read()
    assert any("a newer policy is not used" in problem.message for problem in found.problems)
    assert {row.target: row for row in found.fleet.rows} == before
    shutil.rmtree(world.folder / "state")
    with pytest.raises(PolicyRejected):
        world.read()


def test_no_key_of_the_policy_is_judged_by_a_clock_that_is_wrong(world: FleetWorld, ada: Key) -> None:
    """Set back, an ended key would count again, and what it signed be accepted for good."""
    reported(world)
    before = world.rows()
    world.policy.commit({"hosts/web-02.yaml": world.document("web-02", None)}, ada)
    signed = world.sources().signed
    assert signed is not None
    wrong = replace(signed, clock=lambda: ClockState.UNSYNCHRONISED)
    world.now -= timedelta(days=2000)
    found = world.read(signed=wrong)
    (problem,) = found.problems
    assert "a newer policy is not used" in problem.message
    assert "clock" in problem.message
    assert {row.target: row.head for row in found.fleet.rows} == {
        target: row.head for target, row in before.items()
    }


def without(world: FleetWorld, *keys: Key) -> SignedPolicy:
    """Return what the policy must show where these keys are revoked."""
    signed = world.sources().signed
    assert signed is not None
    return replace(signed, revoked=Revocation(frozenset(key.fingerprint for key in keys)))


def test_what_a_revoked_key_of_a_host_signed_counts_no_more(world: FleetWorld, ada: Key, ben: Key) -> None:
    """Whoever stole it dates its reports as they like; what was seen before is kept, and told as doubtful."""
    old = world.policy.head()
    reported(world)
    before = world.rows()
    stolen = without(world, world.key("web-01"))
    rows = world.rows(signed=stolen)
    assert (rows["web-01"].state, rows["web-01"].head) == (TargetState.UNVERIFIED, before["web-01"].head)
    said = f"{world.key('web-01').fingerprint}, which is revoked (trust.revoked)"
    assert said in rows["web-01"].reason
    assert rows["web-02"] == before["web-02"]
    assert world.targets()["web-01"] == before["web-01"].tree
    assert world.rows(signed=stolen)["web-01"] == rows["web-01"], "and so it stays"
    world.report("web-01", at=NOW - timedelta(days=1), policy=old)
    row = world.rows(signed=stolen)["web-01"]
    assert (row.state, row.head) == (TargetState.UNVERIFIED, before["web-01"].head)
    assert said in row.reason
    # The host gets another key.
    world.policy.commit({"hosts/web-01.yaml": world.document("web-01", ben)}, ada)
    good = world.report("web-01", key=ben)
    row = world.rows(signed=stolen)["web-01"]
    assert (row.state, row.head) == (TargetState.FINE, good)


def test_a_revoked_key_of_a_host_proves_nothing_to_who_sees_it_first(world: FleetWorld) -> None:
    reported(world)
    row = world.rows(signed=without(world, world.key("web-01")))["web-01"]
    assert (row.state, row.is_known) == (TargetState.UNVERIFIED, False)
    assert "web-01" not in world.targets()


def test_a_key_that_is_revoked_no_more_counts_again(world: FleetWorld) -> None:
    reported(world)
    before = world.rows()
    world.rows(signed=without(world, world.key("web-01")))
    assert world.rows()["web-01"] == before["web-01"]


@pytest.mark.parametrize("certified", [False, True])
def test_what_a_revoked_publisher_left_is_continued_and_not_believed(
    world: FleetWorld, keys: Keys, ada: Key, ben: Key, *, certified: bool
) -> None:
    signs = keys.certified("second", ben, "second") if certified else ben
    line = ben.line("cert-authority", "second") if certified else ben.line()
    world.policy.commit({"trust/publishers": world.publisher.line() + line}, ada)
    reported(world)
    world.rows()
    lies = commit_tree(
        Git(world.reports),
        git(world.reports, "rev-parse", "fleet^{tree}"),
        [git(world.reports, "rev-parse", "fleet")],
        b"lies\n\nFleet-Branch: fleet\n",
        who=("lies", "lies@example.org"),
        when=NOW,
        key=signs.settings["user.signingkey"],
        doing="",
    )
    git(world.reports, "update-ref", "refs/heads/fleet", lies)
    believed = world.read(publish=False)
    assert not any("by no publisher" in notice for notice in believed.notices)
    for revoked in (ben, signs):
        shutil.rmtree(world.folder / "state")
        found = world.read(publish=False, signed=without(world, revoked))
        assert any("by no publisher" in notice for notice in found.notices)
    assert any("trust/publishers:2: " in notice for notice in found.notices) is not certified


def test_nobody_publishes_with_a_key_that_is_revoked(world: FleetWorld) -> None:
    reported(world)
    with pytest.raises(Misuse, match="is revoked"):
        world.read(signed=without(world, world.publisher))
    assert world.read(publish=False, signed=without(world, world.publisher)).problems == ()


@pytest.mark.parametrize("role", ["host", "publisher", "former"])
def test_a_policy_that_a_key_of_another_role_signed_is_not_used(
    world: FleetWorld, ada: Key, ben: Key, role: str
) -> None:
    """The key stands in the own list as well, of which whoever wrote the policy knows nothing."""
    reported(world)
    before = world.rows()
    key = world.publisher if role == "publisher" else world.key("web-01")
    (world.folder / "signers").write_text(ada.line() + key.line(), encoding="utf-8")
    new = {"hosts/web-01.yaml": world.document("web-01", ben)} if role == "former" else {}
    world.policy.commit({**new, "hosts/web-02.yaml": world.document("web-02", None)}, key)
    found = world.read()
    (problem,) = found.problems
    assert "a newer policy is not used" in problem.message
    assert key.fingerprint in problem.message
    assert {row.target: row for row in found.fleet.rows} == before


@pytest.mark.parametrize(
    "text", ["requires: '>=99'\nrepository: example\n", "repository: [\n", "colour: red\n"]
)
def test_a_policy_that_cannot_be_read_here_keeps_no_reports_from_being_read(
    world: FleetWorld, ada: Key, text: str
) -> None:
    reported(world)
    world.rows()
    followed = world.policy.head()
    world.policy.commit({"patchledger.yaml": text}, ada)
    good = world.report("web-01", policy=followed)
    found = world.read()
    assert any("a newer policy is not used" in problem.message for problem in found.problems)
    rows = {row.target: row for row in found.fleet.rows}
    assert (rows["web-01"].head, rows["web-02"].state) == (good, TargetState.FINE)


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"patchledger.yaml": "requires: '>=99'\nrepository: example\n"}, "asks for patchledger >=99"),
        ({"policies/base.yaml": "kind: Policy\nname: base\nupdates: some\n"}, "policies/base.yaml:3"),
        ({"freezes/year-end.txt": "kind: Freeze\n"}, "freezes/year-end.txt"),
        ({"hosts/web-01.yaml": "kind: Host\nname: web-01\nkey: x\n"}, "hosts/web-01.yaml:3"),
    ],
)
def test_who_is_enrolled_is_what_hosts_follow_too(
    world: FleetWorld, ada: Key, files: dict[str, str], said: str, *, is_signed: bool
) -> None:
    """A revision that hosts refuse retires nobody: they do not know of it either."""
    values: dict[str, Any] = {} if is_signed else {"signed": None}
    reported(world)
    followed = world.policy.head()
    before = world.rows(**values)
    git(world.policy.path, "rm", "-q", "hosts/web-02.yaml")
    world.policy.commit(files, ada)
    found = world.read(**values)
    (problem,) = found.problems
    assert isinstance(problem, PolicyRejected)
    assert said in problem.message
    assert {row.target: row for row in found.fleet.rows} == before
    assert found.fleet.head.policy_commit == followed
    (world.folder / "state").rename(world.folder / "lost")
    with pytest.raises(PolicyRejected):
        world.read(**values)


def test_a_policy_that_cannot_be_reached_is_no_success(world: FleetWorld) -> None:
    reported(world)
    before = world.rows()
    world.policy.path.rename(world.folder / "away")
    found = world.read()
    (problem,) = found.problems
    assert isinstance(problem, Stalled | Transient)
    assert "as it was fetched last" in problem.message
    assert {row.target: row for row in found.fleet.rows} == before


def test_the_policy_of_another_repository_is_not_used(world: FleetWorld) -> None:
    signed = world.sources().signed
    assert signed is not None
    with pytest.raises(PolicyRejected, match='"example"'):
        world.read(signed=replace(signed, repository="other"))


def test_a_remote_that_cannot_be_reached_keeps_what_was_known(
    world: FleetWorld,
) -> None:
    reported(world)
    git(world.folder, "clone", "-q", "--bare", "reports.git", "second.git")
    git(world.folder / "second.git", "update-ref", "-d", "refs/heads/hosts/web-02")
    both = (f"file://{world.reports}", f"file://{world.folder}/second.git")
    assert len(world.rows(remotes=both)) == 3
    world.reports.rename(world.folder / "away.git")
    found = world.read(remotes=both)
    assert len(found.problems) == 1
    assert [row.target for row in found.fleet.rows] == ["db-01", "web-01", "web-02"]


def another(world: FleetWorld) -> FleetWorld:
    """Return the same world with another report repository."""
    second = replace(world, folder=world.folder / "second")
    second.folder.mkdir()
    git(second.folder, "init", "--quiet", "--bare", "reports.git")
    (second.folder / "policy").symlink_to(world.policy.path)
    return second


@pytest.mark.parametrize("is_first", [True, False])
def test_a_key_of_before_says_nothing_in_another_repository(
    world: FleetWorld, ada: Key, ben: Key, *, is_first: bool
) -> None:
    old = world.policy.head()
    reported(world)
    world.rows()
    world.policy.commit({"hosts/web-01.yaml": world.document("web-01", ben)}, ada)
    good = world.report("web-01", key=ben)
    second = another(world)
    world.later(hours=1)
    second.report("web-01", parent="", policy=old, at=world.now)
    remotes = [f"file://{world.reports}", f"file://{second.reports}"]
    rows = world.rows(remotes=tuple(remotes if is_first else reversed(remotes)))
    assert (rows["web-01"].state, rows["web-01"].head) == (TargetState.FINE, good)
    left = last_gathered(world.folder / "state" / "fleet")
    assert left is not None
    assert {row.target: row.head for row in left.rows}["web-01"] == good
    assert {line.row.target: line.row for line in summary(world)}["web-01"].state is TargetState.FINE
    assert {line.row.state for line in summary(second)} <= {TargetState.RETIRED}


def test_one_repository_by_two_addresses_is_read_once(world: FleetWorld) -> None:
    reported(world, "web-01", "web-02")
    both = (f"file://{world.reports}", f"file://{world.reports}/")
    found = world.read(remotes=both)
    assert any("is the same repository" in notice for notice in found.notices)
    assert len(found.published) == 1
    assert not world.read(remotes=both).published[both[0]].is_new


def test_a_target_that_moved_to_another_repository_is_not_silent_in_the_first(world: FleetWorld) -> None:
    reported(world)
    world.rows()
    second = another(world)
    both = (f"file://{world.reports}", f"file://{second.reports}")
    world.later(days=3)
    second.now = world.now
    good = second.report("web-01", parent="")
    for host in ("web-02", "db-01"):
        world.report(host)

    rows = world.rows(remotes=both)

    assert {row.state for row in rows.values()} == {TargetState.FINE}
    assert rows["web-01"].head == good
    left = {line.row.target: line.row for line in summary(world)}
    assert (left["web-01"].state, left["web-01"].reason) == (
        TargetState.RETIRED,
        f"it reports to {both[1]} now",
    )
    assert "web-01" in world.targets()
    back = world.report("web-01", at=world.now + timedelta(seconds=5))
    world.later(minutes=1)
    assert world.rows(remotes=both)["web-01"].head == back
    assert {line.row.target: line.row for line in summary(world)}["web-01"].state is TargetState.FINE


def test_a_repository_that_is_named_no_more_is_told_of_by_whose_reports_are_there(
    world: FleetWorld, ada: Key
) -> None:
    reported(world, "web-01", "web-02")
    world.enrol(ada, "app-01")
    second = another(world)
    both = (f"file://{world.reports}", f"file://{second.reports}")
    world.rows(remotes=both)
    world.later(hours=1)
    second.now = world.now
    second.report("web-01", parent="")  # it moved
    for host in ("db-01", "db-01/101"):
        second.report(host)
    assert {row.state for row in world.rows(remotes=both).values()} == {TargetState.FINE, TargetState.SILENT}
    said = f"it reported to {both[1]} last, which is not read any more"
    for _ in range(2):
        world.later(hours=1)
        rows = world.rows()
        assert {target for target, row in rows.items() if row.reason == said} == {
            *("web-01", "db-01", "db-01/101")
        }
        assert {row.state for row in rows.values() if row.reason == said} == {TargetState.SILENT}
        assert rows["web-02"].state is TargetState.FINE
        assert "not reported yet" in rows["app-01"].reason
    world.report("web-01", at=world.now)
    git(world.policy.path, "rm", "-q", "hosts/db-01.yaml")
    world.policy.commit({}, ada)
    assert set(world.rows()) == {"web-01", "web-02", "app-01"}
    assert world.rows()["web-01"].state is TargetState.FINE
    assert world.rows(remotes=both)["db-01"].state is TargetState.RETIRED


def summary(world: FleetWorld) -> list[Line]:
    return read_summary((git(world.reports, "show", "fleet:summary.json") + "\n").encode())[1]


def test_a_key_that_is_not_listed_is_said(world: FleetWorld, ada: Key) -> None:
    world.policy.commit({"trust/publishers": ""}, ada)
    assert any("does not list" in notice for notice in world.read().notices)


def test_who_is_at_work_is_alone(world: FleetWorld) -> None:
    folder = StateFolder(world.folder / "state" / "fleet")
    world.sources()
    folder.prepare()
    with folder.locked(), pytest.raises(Transient, match="at work"):
        world.read()


@pytest.mark.parametrize("address", ["none.git", "policy"])
def test_a_first_fetch_that_is_watched_fails_in_the_same_words(tmp_path: Path, address: str) -> None:
    (tmp_path / "policy").mkdir()
    said: list[tuple[str, str]] = []
    for tell in (None, lambda _done, _of: None):
        cache = ReportCache(tmp_path / f"{len(said)}.git", str(tmp_path / address), tell=tell)
        with pytest.raises(Stalled) as caught:
            cache.fetch(60)
        said.append((caught.value.message, caught.value.hint))

    assert said[0] == said[1]
