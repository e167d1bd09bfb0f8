"""``approve --propose``: a job that keeps pull requests on a forge, for a fleet that reports, on real git."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.host.machine.clock import SystemClock
from reconciler.host.state.own_folder import alone
from reconciler.planning.resolving.approval import digest_of
from reconciler.planning.resolving.dispositions import Plan
from tests.e2e.test_approve import NEEDS, PLAN, SHORT
from tests.e2e.test_fleet import configure
from tests.edge.gitops.bench import git
from tests.labs.fleet import FleetWorld
from tests.labs.forge import TOKEN, Fault, Forge, Kind, serving
from tests.labs.pages import to_follow
from tests.labs.signing import Key, Keys
from tests.report_samples import plan_of, report_of, update

POLICY = {"policies/p.yaml": "kind: Policy\nname: p\napproval: required\n"}
NEWER = plan_of(update("bash", candidate="1.0-3"))


def whole(plan: Plan) -> Plan:
    return replace(plan, digest=digest_of(plan.transaction))


@dataclass
class Job:
    """A fleet, a forge, and the job that proposes."""

    world: FleetWorld
    forge: Forge
    ada: Key
    capsys: pytest.CaptureFixture[str]

    @property
    def policy(self) -> Path:
        return self.world.policy.path

    def waits(self, *hosts: str, plan: Plan = PLAN, **values: Any) -> None:
        """Have hosts report that they wait for a plan."""
        for host in hosts:
            home, slash, name = host.rpartition("/")
            told = report_of(whole(plan), NEEDS, target=name, now=self.world.now, **values)
            told = replace(told, host=replace(told.host, guest_of=home if slash else None))
            self.world.report(host, told)

    def fine(self, *hosts: str) -> None:
        """Have hosts report that they wait for nothing."""
        for host in hosts:
            self.world.report(host)

    def run(self, *arguments: str) -> int:
        told = ("--config", f"{self.world.folder}/config.yaml", "approve", "--propose")
        return main([*told, *arguments])

    def steps(self, *arguments: str, code: int = 0) -> dict[str, str]:
        """Run the job, and return what became of each branch."""
        self.capsys.readouterr()
        assert self.run("--format", "json", *arguments) == code
        return {one["branch"]: one["step"] for one in self.told()["proposals"]}

    def told(self) -> Any:
        document = json.loads(self.capsys.readouterr().out)
        validator = Draft202012Validator(
            schema("approve-propose"), format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        validator.validate(document)
        self.last = document
        return document

    def branches(self) -> dict[str, str]:
        """Return the branches of proposals, and where they are."""
        listed = git(
            self.policy, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads/proposals"
        )
        return dict(line.split() for line in listed.splitlines())

    def documents(self, branch: str) -> dict[str, str]:
        """Return the files that a branch adds to the policy."""
        names = git(self.policy, "diff", "--name-only", f"main...{branch}").splitlines()
        return {name: git(self.policy, "show", f"{branch}:{name}") for name in names}

    def merge(self, branch: str) -> None:
        """Merge a pull request, signed as people do."""
        self.world.policy.commit(self.documents(branch), self.ada)
        self.forge.finish(branch, is_merged=True)


@pytest.fixture(params=get_args(Kind))
def job(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    keys: Keys,
    ada: Key,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Job]:
    world = FleetWorld.create(tmp_path, keys, ada, "web-01", "web-02", "db-01")
    world.now = SystemClock().now().replace(microsecond=0)
    world.policy.commit(POLICY, ada)
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    (tmp_path / "token").chmod(0o600)
    with serving(Forge(request.param, repository=world.policy.path)) as forge:
        configure(
            world,
            proposals={
                "forge": request.param,
                "api": forge.api,
                "repository": "ops/policy",
                "file": f"{tmp_path}/token",
            },
        )
        one = Job(world, forge, ada, capsys)
        one.fine("web-01", "web-02", "db-01")
        yield one


def test_each_plan_has_one_pull_request_until_it_is_merged_and_applied(job: Job) -> None:
    job.waits("web-01", "web-02")
    job.waits("db-01", plan=NEWER)
    assert job.steps() == {"proposals/web-01": "opened", "proposals/db-01": "opened"}
    standing = job.forge.standing()
    assert set(standing) == {"proposals/web-01", "proposals/db-01"}
    pull = standing["proposals/web-01"]
    assert pull["title"] == f"Approve {SHORT} on web-01, web-02"
    assert f"- Plan: `{PLAN.digest}`" in pull["body"]
    assert list(job.documents("proposals/web-01")) == [f"approvals/plan-{SHORT}.yaml"]

    before, writes = job.branches(), len(job.forge.pulls)
    assert set(job.steps().values()) == {"unchanged"}
    assert (job.branches(), len(job.forge.pulls)) == (before, writes)

    job.merge("proposals/web-01")  # and the hosts have yet to see it
    assert job.steps() == {"proposals/web-01": "closed", "proposals/db-01": "unchanged"}
    job.fine("web-01", "web-02")
    assert job.steps() == {"proposals/db-01": "unchanged"}
    job.fine("db-01")
    assert job.steps() == {"proposals/db-01": "closed"}
    assert (job.branches(), job.forge.standing()) == ({}, {})
    (comment,) = job.forge.comments
    assert comment["body"] == "Closed by patchledger: no target waits for this plan any more."


def test_a_pull_request_is_brought_up_to_date_when_the_plan_changes(job: Job) -> None:
    job.waits("web-01", "web-02")
    assert job.steps() == {"proposals/web-01": "opened"}
    first, tip = job.forge.standing()["proposals/web-01"], job.branches()
    job.waits("web-01", "web-02", plan=NEWER)
    assert job.steps() == {"proposals/web-01": "updated"}
    later = job.forge.standing()["proposals/web-01"]
    assert later["number"] == first["number"]
    assert f"- Plan: `{whole(NEWER).digest}`" in later["body"]
    assert whole(NEWER).digest in "".join(job.documents("proposals/web-01").values())
    assert job.branches() != tip
    (comment,) = job.forge.comments
    assert comment["body"] == (
        f"This is about another plan now: `{whole(NEWER).digest}` instead of `{PLAN.digest}`. "
        "Please review it anew."
    )
    # A target less changes what is said, and not what is approved.
    tip = job.branches()
    job.fine("web-02")
    assert job.steps() == {"proposals/web-01": "updated"}
    assert job.forge.standing()["proposals/web-01"]["title"].endswith(" on web-01")
    assert (job.branches(), len(job.forge.comments)) == (tip, 1)


def test_what_somebody_declined_stays_so_until_the_plan_is_another_one(job: Job) -> None:
    job.waits("web-01")
    job.steps()
    job.forge.finish("proposals/web-01", is_merged=False)
    job.waits("db-01", plan=NEWER)
    assert job.steps("--max-open", "1") == {"proposals/web-01": "declined", "proposals/db-01": "opened"}
    job.fine("db-01")
    assert job.steps() == {"proposals/web-01": "declined", "proposals/db-01": "closed"}
    assert "delete the branch to have it proposed again" in job.last["proposals"][0]["why"]
    assert job.forge.standing() == {}
    job.waits("web-01", plan=NEWER)
    assert job.steps() == {"proposals/web-01": "opened"}
    job.forge.finish("proposals/web-01", is_merged=False)
    assert job.steps() == {"proposals/web-01": "declined"}
    git(job.policy, "update-ref", "-d", "refs/heads/proposals/web-01")
    assert job.steps() == {"proposals/web-01": "opened"}


def test_a_branch_that_somebody_pushed_to_is_left_alone_and_told(job: Job) -> None:
    job.waits("web-01")
    job.waits("db-01", plan=NEWER)
    job.steps()
    tree = git(job.policy, "rev-parse", "proposals/web-01^{tree}")
    mine = git(job.policy, "commit-tree", "-p", "proposals/web-01", "-m", "shorter", tree)
    git(job.policy, "update-ref", "refs/heads/proposals/web-01", mine)
    body = job.forge.standing()["proposals/web-01"]["body"]
    assert job.steps() == {"proposals/web-01": "left-alone", "proposals/db-01": "unchanged"}
    assert job.last["proposals"][0]["why"] == "somebody else pushed to it"
    job.fine("web-01")
    assert job.steps() == {"proposals/web-01": "left-alone", "proposals/db-01": "unchanged"}
    assert job.branches()["proposals/web-01"] == mine
    assert job.forge.standing()["proposals/web-01"]["body"] == body
    assert (job.run(), job.forge.comments) == (0, [])
    assert "left-alone" in job.capsys.readouterr().out


_STEPS = {
    "github": ("POST /repos/ops/policy/pulls", "PATCH /repos/ops/policy/pulls"),
    "forgejo": ("POST /api/v1/repos/ops/policy/pulls", "PATCH /api/v1/repos/ops/policy/pulls"),
    "gitlab": ("POST /api/v4/projects/ops%2Fpolicy/merge", "PUT /api/v4/projects/ops%2Fpolicy/merge"),
}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(401), 1),
        (Fault(403), 1),
        (Fault(404), 1),
        (Fault(422), 1),
        (Fault(409), 1),
        (Fault(429), 5),
        (Fault(500), 5),
        (Fault(200, b"<html>"), 5),
        (Fault(302, headers={"Location": "https://elsewhere.example"}), 1),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else "",
)
def test_what_was_done_stays_where_the_forge_fails_and_the_next_run_goes_on(
    job: Job, fault: Fault, code: int
) -> None:
    job.waits("web-01", "web-02")
    job.waits("db-01", plan=NEWER)
    opens, changes = _STEPS[job.forge.kind]
    job.forge.faults[opens] = replace(fault, after=1)
    assert set(job.steps(code=code).values()) == {"opened"}
    assert len(job.forge.standing()) == 1
    (problem,) = job.last["problems"]
    assert f"the forge answers {fault.status}" in problem["message"] or "no JSON" in problem["message"]
    job.forge.faults.clear()
    assert sorted(job.steps().values()) == ["opened", "unchanged"]
    assert len(job.forge.standing()) == 2
    # And where nothing is waited for any more.
    job.fine("web-01", "web-02", "db-01")
    job.forge.faults[changes] = fault
    job.steps(code=code)
    job.forge.faults.clear()
    job.steps()
    assert (job.branches(), job.forge.standing()) == ({}, {})


only_github = pytest.mark.parametrize("job", ["github"], indirect=True)


@only_github
def test_a_dry_run_says_what_would_be_done_and_does_nothing(job: Job) -> None:
    job.waits("web-01")
    assert job.run("--dry-run") == 0
    assert "would be opened  proposals/web-01" in job.capsys.readouterr().out
    assert job.steps("--dry-run") == {"proposals/web-01": "opened"}
    assert job.last["is_dry"]
    assert "kind: Approval" in job.last["proposals"][0]["document"]
    assert (job.branches(), job.forge.pulls) == ({}, [])
    job.steps()
    before, pulls = job.branches(), job.forge.standing()
    job.waits("web-01", plan=NEWER)
    assert job.steps("--dry-run") == {"proposals/web-01": "updated"}
    job.fine("web-01")
    assert job.steps("--dry-run") == {"proposals/web-01": "closed"}
    assert (job.branches(), job.forge.standing()) == (before, pulls)


@only_github
def test_a_host_that_floods_plans_takes_no_place_from_others(job: Job) -> None:
    for number in range(12):
        job.waits(f"db-01/g{number:02}", plan=plan_of(update(f"flood{number}", security=True)))
    assert list(job.steps("--max-open", "4").values()) == ["opened"] * 4
    assert all(branch.startswith("proposals/db-01_g") for branch in job.forge.standing())
    assert len(job.last["later"]) == 8
    job.waits("web-01", "web-02")
    assert job.steps("--max-open", "4")["proposals/web-01"] == "opened"
    assert len(job.forge.standing()) == 4
    job.run("--max-open", "4")
    said = job.capsys.readouterr().err
    assert "9 plans more wait for their turn (--max-open):" in said
    assert said.count(" of db-01/g") == 9


@only_github
def test_what_expired_before_it_was_applied_is_proposed_again(job: Job) -> None:
    job.waits("web-01")
    over = f"kind: Approval\nname: plan-{SHORT}\nplan: {PLAN.digest}\nexpires: 2020-01-01\n"
    job.world.policy.commit({f"approvals/plan-{SHORT}.yaml": over}, job.ada)
    assert job.steps() == {"proposals/web-01": "opened"}
    assert list(job.documents("proposals/web-01")) == [f"approvals/plan-{SHORT}-2.yaml"]


@only_github
def test_what_a_person_approved_meanwhile_is_proposed_no_longer(job: Job) -> None:
    job.waits("web-01")
    job.steps()
    mine = f"kind: Approval\nname: mine\nplan: {PLAN.digest}\nexpires: 2036-01-01\n"
    job.world.policy.commit({"approvals/mine.yaml": mine}, job.ada)
    assert job.steps() == {"proposals/web-01": "closed"}
    why = "this plan is approved, or needs no approval any more"
    assert job.last["proposals"][0]["why"] == why
    assert [one["body"] for one in job.forge.comments] == [f"Closed by patchledger: {why}."]


@only_github
def test_only_what_is_proved_is_proposed_and_by_the_digest_of_its_changes(job: Job, eve: Key) -> None:
    job.world.report("web-01", report_of(PLAN, NEEDS, target="web-01", now=job.world.now), key=eve)
    forged = replace(PLAN, digest="sha256:" + "0" * 64)
    job.waits("db-01", plan=NEWER)
    job.world.report("web-02", report_of(forged, NEEDS, target="web-02", now=job.world.now))
    assert job.steps() == {"proposals/db-01": "opened"}
    job.run()
    said = job.capsys.readouterr().err
    assert "web-02 cannot be approved: its report names another digest than its changes have" in said


@only_github
def test_the_branch_passes_the_gate_for_branches_that_approve(job: Job) -> None:
    job.waits("web-01")
    job.steps()
    folder = str(job.policy)
    told = ("policy", "check", folder, "--rev", "proposals/web-01", "--only", "approvals", "--base", "main")
    assert main(told) == 0


@only_github
def test_the_token_is_told_to_the_forge_alone(job: Job) -> None:
    job.waits("web-01")
    job.forge.faults["POST"] = Fault(422, b'{"message": "%s is no good"}' % TOKEN.encode(), after=1)
    job.waits("db-01", plan=NEWER)
    assert job.run() == 1
    printed = job.capsys.readouterr()
    assert "the forge answers 422: *** is no good" in printed.err
    assert TOKEN not in printed.out + printed.err
    state = job.world.folder / "state"
    assert TOKEN.encode() not in b"".join(one.read_bytes() for one in state.rglob("*") if one.is_file())
    assert TOKEN not in git(job.policy, "log", "-p", "--all")


@only_github
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--list",), "--propose is about all that waits, and not about --list"),
        (("web-01",), "--propose is about all that waits, and not about TARGET"),
        (("--max-open", "0"), "--max-open 0 is not between 1 and 200"),
        (("--expires", "2036-01-01"), "--expires 2036-01-01 is no duration"),
        (("--expires", "0d"), "--expires 0d is no duration"),
    ],
)
def test_what_cannot_be_proposed_is_said(job: Job, arguments: tuple[str, ...], said: str) -> None:
    assert job.run(*arguments) == 2
    assert said in job.capsys.readouterr().err
    assert job.forge.asked == []


@only_github
@pytest.mark.parametrize(
    ("token", "mode", "said"),
    [
        ("a b\n", 0o600, "proposals: what is kept there is no token"),
        ("", 0o600, "proposals: what is kept there is no token"),
        ("x" * 5000, 0o600, "proposals: what is kept there is no token"),
        (TOKEN, 0o644, "can be read by others"),
    ],
)
def test_a_token_must_be_one_and_kept_from_others(job: Job, token: str, mode: int, said: str) -> None:
    (job.world.folder / "token").write_text(token, encoding="utf-8")
    (job.world.folder / "token").chmod(mode)
    assert job.run() == 2
    printed = job.capsys.readouterr().err
    assert said in printed
    assert token == "" or token.strip() not in printed
    assert job.forge.asked == []


@only_github
def test_without_a_forge_it_says_what_to_configure(job: Job) -> None:
    configure(job.world)
    assert job.run() == 2
    assert "the configuration names no forge to propose on" in job.capsys.readouterr().err
    told = ("--config", f"{job.world.folder}/config.yaml", "approve", "--list", "--max-open", "3", "--fetch")
    assert main(told) == 2


@only_github
def test_two_at_once_do_not_meet(job: Job) -> None:
    job.waits("web-01")
    assert job.run("--dry-run") == 0
    with alone(job.world.folder / "state" / "fleet" / "lock", "the other one"):
        assert job.run() == 5
    assert "another patchledger run is at work" in job.capsys.readouterr().err
    assert job.forge.pulls == []


@only_github
def test_the_page_is_followed_as_it_is_printed(job: Job) -> None:
    job.waits("web-01")
    block = "\n".join(one.text for one in to_follow("propose-approvals.md"))
    (job.world.folder / "config.yaml").rename(job.world.folder / "console.yaml")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", block],
        cwd=job.world.folder,
        env={"PATH": path, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["What", "would", "What", "opened"]
    assert list(job.forge.standing()) == ["proposals/web-01"]


@only_github
def test_reports_that_cannot_be_read_close_nothing(job: Job) -> None:
    job.waits("web-01")
    job.steps()
    before = job.branches()
    job.world.reports.rename(job.world.folder / "away")
    assert job.run() != 0
    assert job.branches() == before
    assert list(job.forge.standing()) == ["proposals/web-01"]


@only_github
def test_a_pull_request_whose_branch_is_gone_is_closed_where_it_is_ours(job: Job) -> None:
    job.waits("web-01")
    job.steps()
    git(job.policy, "update-ref", "-d", "refs/heads/proposals/web-01")
    job.fine("web-01")
    job.forge.pulls[0]["head"]["repo"] = {"id": 7, "full_name": "ops/Policy"}  # kept open, as GitLab does
    job.forge.open("proposals/mine", "by hand", "no mark")
    job.forge.pulls[1]["head"]["repo"] = {"id": 7, "full_name": "ops/Policy"}
    assert job.steps() == {"proposals/web-01": "closed"}
    assert [one["state"] for one in job.forge.pulls] == ["closed", "open"]


@pytest.mark.parametrize("role", ["signers of the host", "signers of the policy", "publisher", "host"])
def test_a_key_that_has_another_role_signs_no_proposal(job: Job, role: str, ben: Key) -> None:
    """Merged by a forge that only moves a branch forward, its commit would be policy."""
    job.waits("web-01")
    key = {"signers of the host": job.ada, "publisher": job.world.publisher, "host": job.world.key("db-01")}
    chosen = key.get(role, ben)
    if chosen is ben:
        job.world.policy.commit({"trust/allowed_signers": ben.line()}, job.ada)
    config = job.world.folder / "config.yaml"
    told = json.loads(config.read_text(encoding="utf-8"))
    told["proposals"]["signing_key"] = chosen.settings["user.signingkey"]
    config.write_text(json.dumps(told), encoding="utf-8")
    assert job.run() == 2
    said = job.capsys.readouterr().err
    assert f"proposals.signing_key: {chosen.fingerprint} is " in said
    assert "people sign" in said
    assert job.branches() == {}
