"""The policy commands as people call them: what they print, where, and with which exit code."""

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from reconciler.cli import main
from reconciler.cli.arguments import build_parser
from reconciler.cli.dispatch import perform
from reconciler.cli.verbs.policy.commands import EXAMPLES as EXAMPLE_NAMES
from reconciler.errors import Misuse
from reconciler.process import run
from tests.e2e.site import git
from tests.policy.trees import MIDNIGHT

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "policies"

Printed = pytest.CaptureFixture[str]


def call(*arguments: str) -> int:
    return perform(build_parser().parse_args(["policy", *arguments]))


def plant(folder: Path, tree: dict[str, str | bytes]) -> Path:
    for name, text in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


GOOD: dict[str, str | bytes] = {
    "policies/p.yaml": "kind: Policy\nname: p\nschedule: night\n",
    "schedules/s.yaml": MIDNIGHT,
}

MISTAKES: dict[str, str | bytes] = {
    "approvals/a.yaml": "kind: Approval\nname: a\nexpires: 2026-12-31\n",
    "exceptions/e.yaml": "kind: Exception\nname: e\npackages: [nginx]\naction: hold\nreason: r\n",
    "exceptions/f.yaml": "kind: Exception\nname: f\npackages: [a b]\nversions: '1.2'\n"
    "action: hold\nreason: r\nexpires: soon\n",
    "freezes/f.yaml": "kind: Freeze\nname: f\nfrom: 2026-12-20\nuntil: 2026-12-01\n"
    "timezone: UTC\nreason: r\n",
    "hosts/h.yaml": "kind: Host\nname: Web\nlabels: {tier: 1}\n",
    "hosts/i.yaml": "kind: Host\nname: &x web\n",
    "policies/a.yaml": "kind: Policy\nname: a\nupdates: securty\nbudget: 30\nactoin: plan\n",
    "policies/b.yaml": "kind: Policy\nname: b\nname: b\n",
    "policies/c.yaml": "kind: Polcy\nname: c\n",
    "policies/d.yaml": "kind: Policy\n\tname: d\n",
    "policies/e.yml": "kind: Policy\nname: e\n",
    "policies/f.yaml": "kind: Policy\nname: f\nschedule: nigth\nrollout: {name: weekly, ring: canry}\n",
    "policies/g.yaml": b"kind: Policy\nname: g\ndescription: \xff\n",
    "policies/h.yaml": "kind: Policy\nname: h\n---\nkind: Policy\nname: h\n",
    "policies/i.yaml": "kind: Host\nname: i\n",
    "policies/j.yaml": "",
    "policies/k.yaml": "kind: Policy\nname: k\nmatch: {manager: pacman}\nupdates: security\n",
    "policies/l.yaml": "kind: Policy\nname: l\nnotify: [{to: ops, on: aplied}]\nreboot:\n",
    "rollouts/r.yaml": "kind: Rollout\nname: weekly\nrings: [{name: canary}, {name: rest}]\n",
    "schedules/n.yaml": MIDNIGHT.replace("3h", "40m"),
    "schedules/o.yaml": (
        "kind: Schedule\nname: o\ntimezone: Berlin\nwindows:\n"
        '- {rrule: "FREQ=DAILY", duration: 3h}\n- {at: "1:00"}\n'
    ),
    "schedules/p.yaml": "kind: Schedule\nname: p\ntimezone: UTC\nwindows:\n- {ics: calendars/no.ics}\n",
    "trust/keys": "x",
}

TOLD = (Path(__file__).parent / "golden" / "mistakes.txt").read_text(encoding="utf-8")


def mistaken(folder: Path) -> Path:
    plant(folder, MISTAKES)
    (folder / "policies" / "link.yaml").symlink_to("a.yaml")
    return folder


def test_thirty_different_mistakes_are_all_told_with_their_places(tmp_path: Path, capsys: Printed) -> None:
    code = call("check", str(mistaken(tmp_path)))
    printed = capsys.readouterr()

    assert printed.out == TOLD
    assert printed.err == "32 problems in 23 files\n"
    assert code == 3


def test_a_good_folder_prints_nothing_but_a_count(tmp_path: Path, capsys: Printed) -> None:
    assert call("check", str(plant(tmp_path, GOOD))) == 0

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "no problem in 2 documents\n"


def test_warnings_do_not_reject(tmp_path: Path, capsys: Printed) -> None:
    assert call("check", str(plant(tmp_path, {"README.md": ""}))) == 0

    assert capsys.readouterr().err.startswith("warning: policies:1: holds no Policy")


IDLE: dict[str, str | bytes] = {**GOOD, "policies/q.yaml": "kind: Policy\nname: q\nsnapshot: required\n"}
SENTENCE = (
    "snapshot: keeps everything from being applied in this version, which takes no snapshots"
    " (leave it out; `on_failure: rollback` goes back to earlier packages)"
)


def test_what_has_no_effect_is_told_by_its_name_and_does_not_reject(tmp_path: Path, capsys: Printed) -> None:
    assert call("check", str(plant(tmp_path, IDLE))) == 0

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"warning: policies/q.yaml:3: {SENTENCE} [unfollowed]\nno problem in 3 documents, 1 warning\n"
    )


def test_forges_and_programs_get_warnings_with_their_names(tmp_path: Path, capsys: Printed) -> None:
    folder = str(plant(tmp_path, IDLE))
    told = {}
    for form in ("json", "sarif", "github", "gitlab"):
        assert call("check", folder, "--format", form) == 0
        told[form] = capsys.readouterr().out

    (warning,) = json.loads(told["json"])["warnings"]
    (result,) = json.loads(told["sarif"])["runs"][0]["results"]
    (issue,) = json.loads(told["gitlab"])
    assert (warning["rule"], warning["line"]) == ("unfollowed", 3)
    assert (result["ruleId"], result["level"]) == ("unfollowed", "warning")
    assert {"id": "unfollowed"} in json.loads(told["sarif"])["runs"][0]["tool"]["driver"]["rules"]
    assert (issue["check_name"], issue["severity"], issue["description"]) == ("unfollowed", "minor", SENTENCE)
    assert told["github"] == f"::warning file={folder}/policies/q.yaml,line=3::{SENTENCE}\n"


def test_json_holds_the_same_problems(tmp_path: Path, capsys: Printed) -> None:
    code = call("check", str(mistaken(tmp_path)), "--format", "json")
    found = json.loads(capsys.readouterr().out)

    assert code == 3
    assert len(found["problems"]) == len(TOLD.splitlines()) == 32
    assert found["problems"][6] == {
        "file": "hosts/h.yaml",
        "line": 2,
        "path": "name",
        "message": '"Web" is not a host id',
        "hint": "use small letters, digits, '.' and '-', at most 63; a guest is HOST/GUEST",
        "rule": "",
    }


def test_sarif_has_a_result_for_each_problem(tmp_path: Path, capsys: Printed) -> None:
    call("check", str(mistaken(tmp_path)), "--format", "sarif")
    log = json.loads(capsys.readouterr().out)
    results = log["runs"][0]["results"]

    assert log["version"] == "2.1.0"
    assert len(results) == len(TOLD.splitlines())
    assert results[0]["level"] == "error"
    place = results[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("/approvals/a.yaml")
    assert place["region"] == {"startLine": 1}


def test_junit_has_a_failing_case_for_each_file_or_one_that_passes(tmp_path: Path, capsys: Printed) -> None:
    call("check", str(mistaken(tmp_path / "bad")), "--format", "junit")
    bad = ET.fromstring(capsys.readouterr().out)  # noqa: S314 - our own output
    call("check", str(plant(tmp_path / "good", GOOD)), "--format", "junit")
    good = ET.fromstring(capsys.readouterr().out)  # noqa: S314 - our own output

    assert (bad.get("tests"), bad.get("failures")) == ("23", "23")
    assert len(bad.findall("testcase/failure")) == len(TOLD.splitlines())
    assert (good.get("tests"), good.get("failures")) == ("1", "0")


def test_github_annotations_are_one_line_each_and_lead_to_the_file(tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a,b%.yaml").write_text("kind: Policy\nname: a\nbudget: 5\n")
    call("check", str(tmp_path), "--format", "github")

    folder = str(tmp_path).replace("%", "%25")
    assert capsys.readouterr().out == (
        f"::error file={folder}/policies/a%2Cb%25.yaml,line=3::budget: has no unit"
        " (write 5m for minutes, 5h for hours or 5d for days)\n"
    )


def code_quality(folder: Path, capsys: Printed) -> list[dict[str, Any]]:
    call("check", str(folder), "--format", "gitlab")
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_gitlab_has_an_issue_for_each_problem_and_none_where_all_is_well(
    tmp_path: Path, capsys: Printed
) -> None:
    bad = code_quality(mistaken(tmp_path / "bad"), capsys)
    assert len(bad) == len(TOLD.splitlines())
    assert bad[0]["severity"] == "blocker"
    assert bad[0]["location"] == {"path": f"{tmp_path}/bad/approvals/a.yaml", "lines": {"begin": 1}}
    assert code_quality(plant(tmp_path / "good", GOOD), capsys) == []


def test_a_gitlab_issue_keeps_its_fingerprint_where_its_line_moves_and_shares_it_with_none(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alike = "kind: Policy\nname: a\nbudget: 5\n---\nkind: Policy\nname: b\nbudget: 5\n"
    before = code_quality(plant(tmp_path, {"policies/a b.yaml": alike}).relative_to(tmp_path), capsys)
    plant(tmp_path, {"policies/a b.yaml": f"# why\n{alike}"})
    after = code_quality(Path(), capsys)

    assert [issue["location"] for issue in after] == [
        {"path": "policies/a b.yaml", "lines": {"begin": line}} for line in (4, 8)
    ]
    assert [issue["fingerprint"] for issue in before] == [issue["fingerprint"] for issue in after]
    assert len({issue["fingerprint"] for issue in after}) == len(after) == 2
    assert {issue["description"] for issue in after} == {
        "budget: has no unit (write 5m for minutes, 5h for hours or 5d for days)"
    }


def test_a_warning_is_a_minor_issue_of_gitlab(tmp_path: Path, capsys: Printed) -> None:
    (issue,) = code_quality(plant(tmp_path, {"README.md": ""}), capsys)
    assert issue["severity"] == "minor"


def test_a_github_annotation_holds_no_other_command(tmp_path: Path, capsys: Printed) -> None:
    """The runner takes ``##[`` for the start of a command wherever it stands in a line."""
    text = "kind: Policy\nname: a\n'##[add-path]x': 1\n"
    call("check", str(plant(tmp_path, {"policies/a.yaml": text})), "--format", "github")
    assert "##[" not in capsys.readouterr().out


def test_nothing_that_a_policy_holds_moves_the_cursor(tmp_path: Path, capsys: Printed) -> None:
    call("check", str(plant(tmp_path, {"policies/a.yaml": 'kind: Policy\nname: "\\e[31m\\n::error::"\n'})))

    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "\x1b" not in printed
    assert "\\u{1b}[31m\\u{a}" in printed


def commit(folder: Path, message: str) -> None:
    who = {"GIT_CONFIG_GLOBAL": "/dev/null"}
    for step in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", message],
    ):
        assert run(["git", *step], cwd=str(folder), env=who).returncode == 0


def test_a_revision_is_read_from_git_and_not_from_the_files(tmp_path: Path, capsys: Printed) -> None:
    commit(plant(tmp_path, GOOD), "good")
    plant(tmp_path, {"policies/p.yaml": "broken: ["})

    assert call("check", str(tmp_path), "--rev", "main") == 0
    assert call("check", str(tmp_path)) == 3
    with pytest.raises(Misuse, match="no-such-branch"):
        call("check", str(tmp_path), "--rev", "no-such-branch")
    assert "policies/p.yaml" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_the_caller_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is not a folder"):
        call("check", str(tmp_path / "absent"))


def test_a_repository_for_a_newer_version_says_so(tmp_path: Path, capsys: Printed) -> None:
    assert call("check", str(plant(tmp_path, {"patchledger.yaml": 'requires: ">=99"\n'}))) == 3

    assert "asks for patchledger >=99" in capsys.readouterr().out


def test_show_says_every_setting_with_where_it_is_written(capsys: Printed) -> None:
    folder = str(EXAMPLES / "production")
    code = call("show", "web-01", folder, "--os", "debian-12", "--manager", "apt")
    printed = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in printed.out.splitlines() if line}

    assert code == 0
    assert rows["updates"] == ["security", "policies/10-baseline.yaml:7"]
    assert rows["health.settle"] == ["30s", "policies/60-web.yaml:11"]
    assert rows["snapshot"] == ["none", "default"]
    assert rows["labels:"] == ["env=production", "role=web", "site=berlin"]
    assert "  year-end (freezes/year-end.yaml:2)" in printed.out.splitlines()
    assert printed.err == ""


def test_show_as_json_and_from_a_commit(tmp_path: Path, capsys: Printed) -> None:
    commit(plant(tmp_path, GOOD), "good")
    code = call("show", "a", str(tmp_path), "--rev", "HEAD", "--label", "env=x", "--format", "json")
    printed = capsys.readouterr()
    found = json.loads(printed.out)

    assert code == 0
    assert len(found["policy_commit"]) == 40
    assert found["labels"] == {"env": "x"}
    assert found["settings"]["schedule"] == ["night"]
    assert found["origins"] == {"schedule": f"policies/p.yaml:3@{found['policy_commit'][:12]}"}
    assert printed.err == ""


def test_show_says_what_of_a_host_is_not_known_where_documents_ask_for_it(
    tmp_path: Path, capsys: Printed
) -> None:
    hosts: dict[str, str | bytes] = {
        "hosts/web-01.yaml": "kind: Host\nname: web-01\n",
        "policies/os.yaml": "kind: Policy\nname: os\nupdates: none\nmatch: {not: {os: debian-12}}\n",
    }
    folder = str(plant(tmp_path, {**GOOD, **hosts}))
    call("show", "web-1", folder)

    assert capsys.readouterr().err.splitlines() == [
        'patchledger: there is no Host document "web-1"; did you mean web-01?',
        "patchledger: documents that match on os are left out unless --os says it",
    ]
    call("show", "web-1", folder, "--os", "debian-12", "--label", "role=web")
    assert capsys.readouterr().err == ""


def test_show_marks_what_keeps_a_host_from_applying(tmp_path: Path, capsys: Printed) -> None:
    text = "kind: Policy\nname: a\nsnapshot: required\nautoremove: kernels\n"
    call("show", "x", str(plant(tmp_path, {"policies/p.yaml": text})))

    shown = capsys.readouterr().out
    assert "NOTHING IS APPLIED snapshot: keeps everything from being applied in this version" in shown
    assert "NO EFFECT" not in shown


def test_show_names_ambiguous_settings(tmp_path: Path, capsys: Printed) -> None:
    text = "kind: Policy\nname: a\nupdates: none\n---\nkind: Policy\nname: b\nupdates: security\n"
    call("show", "x", str(plant(tmp_path, {"policies/p.yaml": text})))

    assert (
        "AMBIGUOUS updates: Policy a (policies/p.yaml:3) and Policy b (policies/p.yaml:7)"
        in capsys.readouterr().out
    )


def test_show_all_is_a_table_of_hosts_and_settings(capsys: Printed) -> None:
    folder = str(EXAMPLES / "production")
    assert call("show", "--all", folder) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "HOST", "ACTION", "UPDATES", "SCHEDULE", "APPROVAL", "REBOOT.WHEN", "POLICIES", "REMARKS"
    ]  # fmt: skip
    assert [line.split()[:3] for line in lines[1:]] == [
        ["db-01", "download", "security"],
        ["stage-01", "apply", "all"],
        ["web-01", "apply", "security"],
        ["web-02", "apply", "security"],
    ]
    assert "patch-tuesday-plus-4, change-board" in lines[3]
    assert "web, production, baseline" in lines[3]
    assert "frozen at times by year-end" in lines[3]


def test_show_all_takes_columns_and_marks_hosts_that_never_apply(tmp_path: Path, capsys: Printed) -> None:
    tree: dict[str, str | bytes] = {
        **GOOD,
        "policies/q.yaml": "kind: Policy\nname: q\npriority: 9\naction: apply\n"
        "schedule: []\nmatch: {name: b}\n",
        "policies/r.yaml": "kind: Policy\nname: r\nsnapshot: required\nmatch: {name: c}\n",
        "hosts/h.yaml": "kind: Host\nname: a\n---\nkind: Host\nname: b\n---\nkind: Host\nname: c\n",
    }
    folder = str(plant(tmp_path, tree))
    assert call("show", "--all", folder, "--setting", "budget", "--setting", "snapshot") == 0

    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "HOST  BUDGET  SNAPSHOT  POLICIES  REMARKS",
        "a     30m     none      p         -",
        "b     30m     none      q, p      no schedule, so nothing is applied",
        "c     30m     required  p, r      snapshot keeps everything from being applied",
    ]
    assert call("show", "--all", folder, "--format", "json") == 0
    assert [one["host"] for one in json.loads(capsys.readouterr().out)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs a host"),
        (("a", "FOLDER", "--all"), "--all and a host"),
        (("--all", "FOLDER", "--label", "a=b"), "describe one host"),
        (("--all", "FOLDER", "--setting", "budgte"), "no setting"),
    ],
)
def test_show_all_refuses_what_does_not_go_together(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    folder = str(plant(tmp_path, GOOD))
    with pytest.raises(Misuse, match=said):
        call("show", *(folder if word == "FOLDER" else word for word in arguments))


GUESTS: dict[str, str | bytes] = {
    "policies/p.yaml": "kind: Policy\nname: all\n---\nkind: Policy\nname: webs\npriority: 5\n"
    "match: {guest_of: pve1, name: 'web-*'}\nupdates: none\n",
    "hosts/h.yaml": "kind: Host\nname: pve1\n---\nkind: Host\nname: pve1/101\nlabels: {env: prod}\n",
}


def test_show_takes_a_guest_by_its_id_and_by_what_it_is_called(tmp_path: Path, capsys: Printed) -> None:
    folder = str(plant(tmp_path, GUESTS))
    assert call("show", "pve1/101", folder, "--guest-name", "web-01", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["host"], found["labels"], found["settings"]["updates"]) == (
        "pve1/101",
        {"env": "prod"},
        "none",
    )
    assert call("show", "101", folder, "--guest-of", "pve1") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("pve1/101\nlabels: env=prod\npolicies, strongest first: all ")
    assert "unless --guest-name says it" in printed.err
    assert call("show", "--all", folder) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["pve1", "pve1/101"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pve1/101/2",), "neither a host nor a guest"),
        (("/101",), "neither a host nor a guest"),
        (("pve1/101", "--guest-of", "pve2"), "is a guest of pve1, not of pve2"),
        (("pve1", "--guest-name", "web"), "--guest-name is about a guest"),
    ],
)
def test_show_refuses_what_is_no_guest(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(Misuse, match=said):
        call("show", arguments[0], str(plant(tmp_path, GUESTS)), *arguments[1:])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("match: {guest_of: pve1}\nsnapshot: auto", "policies/q.yaml:4: snapshot: is not in this version"),
        ("match: {labels: {guest: lxc}}\nsnapshot: required", "this is about guests"),
        ("match: {labels: {env: prod}}\nsnapshot: auto", "this is about pve1/101"),
        ("on_failure: restore", "policies/q.yaml:3: on_failure: restore is not in this version"),
    ],
)
def test_a_snapshot_is_not_promised_to_guests(tmp_path: Path, capsys: Printed, text: str, said: str) -> None:
    tree = GUESTS | {"policies/q.yaml": f"kind: Policy\nname: q\n{text}\n"}
    assert call("check", str(plant(tmp_path, tree))) == 3
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("text", ["snapshot: auto", "match: {guest_of: pve1}\nsnapshot: none"])
def test_what_promises_guests_no_snapshot_is_no_mistake(tmp_path: Path, capsys: Printed, text: str) -> None:
    tree = GUESTS | {"policies/q.yaml": f"kind: Policy\nname: q\n{text}\n"}
    assert call("check", str(plant(tmp_path, tree))) == 0
    assert capsys.readouterr().out == ""


def test_show_all_without_hosts_says_what_to_do(tmp_path: Path, capsys: Printed) -> None:
    assert call("show", "--all", str(plant(tmp_path, GOOD))) == 0

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "there is no Host document" in printed.err


def test_show_refuses_a_bad_label_and_a_bad_repository(tmp_path: Path, capsys: Printed) -> None:
    with pytest.raises(Misuse, match="is not KEY=VALUE"):
        call("show", "a", str(plant(tmp_path, GOOD)), "--label", "env")
    assert call("show", "a", str(plant(tmp_path, {"policies/p.yaml": "x: ["}))) == 3

    assert "policies/p.yaml:" in capsys.readouterr().err


def test_schema_prints_one_or_writes_all(tmp_path: Path, capsys: Printed) -> None:
    assert call("schema") == 0
    assert json.loads(capsys.readouterr().out)["properties"]["kind"]["enum"][0] == "Policy"
    assert call("schema", "kinds/host") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Host of patchledger"
    with pytest.raises(Misuse, match="there is no schema kinds/hots"):
        call("schema", "kinds/hots")
    assert call("schema", "--write", str(tmp_path)) == 0

    written = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.json")}
    shipped = ROOT / "schemas"
    assert {"policy.schema.json", "report.schema.json", "kinds/host.schema.json"} < set(written)
    assert written == {str(path.relative_to(shipped)): path.read_bytes() for path in shipped.rglob("*.json")}


@pytest.mark.parametrize("example", EXAMPLE_NAMES)
def test_init_makes_a_repository_that_is_good_and_committed(
    tmp_path: Path, capsys: Printed, example: str
) -> None:
    folder = tmp_path / "new"

    assert call("init", str(folder), "--example", example) == 0
    assert call("check", str(folder), "--rev", "main") == 0
    assert call("check", str(folder)) == 0
    status = run(["git", "status", "--porcelain"], cwd=str(folder))
    assert (status.returncode, status.stdout) == (0, b"")
    for path in folder.rglob("*.yaml"):
        line = path.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / line).resolve().is_relative_to(folder)
        assert (path.parent / line).is_file()
    assert capsys.readouterr().out == f"{folder}\n"


def test_init_touches_no_folder_that_holds_something(tmp_path: Path) -> None:
    plant(tmp_path, {"mine.txt": "x"})

    with pytest.raises(Misuse, match="is not an empty folder"):
        call("init", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_registering_the_commands_imports_nothing_heavy() -> None:
    script = (
        "import sys, reconciler.cli.dispatch;"
        " from reconciler.cli.arguments import build_parser; build_parser();"
        " print(sorted({'pydantic', 'yaml', 'git'} & set(sys.modules)))"
    )

    done = run([sys.executable, "-c", script], cwd=str(ROOT))

    assert (done.returncode, done.stdout) == (0, b"[]\n")


def test_init_tells_programs_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "ops"
    assert main(["policy", "init", str(folder), "--format", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["folder"], made["example"], len(made["commit"])) == (str(folder), "minimal", 40)


def test_policy_in_a_place_that_is_not_read_is_an_error(tmp_path: Path, capsys: Printed) -> None:
    plant(tmp_path, {**GOOD, "policy/q.yaml": "kind: Policy\nname: q\n", "README.md": "ours\n"})
    assert call("check", str(tmp_path)) == 3
    printed = capsys.readouterr()
    told = "policy/q.yaml:1: kind: is a document of kind Policy in a place that is not read"
    assert printed.out == f"{told} (move it to policies/q.yaml)\n"
    assert printed.err == "1 problem in 1 file\n"


EXPECTED: dict[str, str | bytes] = {
    **GOOD,
    "hosts/h.yaml": "kind: Host\nname: web-1\n---\nkind: Host\nname: web-2\n",
    "expectations/e.yaml": (
        "kind: Expectation\nname: planned\nexpect: {action: plan}\n---\n"
        "kind: Expectation\nname: approved\nat: 2020-12-24\nexpect: {approval: required}\n"
    ),
}


def test_expectations_that_fail_are_told_with_their_hosts_and_end_with_1(
    tmp_path: Path, capsys: Printed
) -> None:
    assert call("test", str(plant(tmp_path, EXPECTED))) == 1
    printed = capsys.readouterr()
    assert printed.out == (
        "FAILED  approved (expectations/e.yaml:5)\n"
        "  web-1, web-2: approval: is none (default), expected required\n"
        "ok      planned (expectations/e.yaml:1): 2 hosts\n"
    )
    assert printed.err == (
        "warning: expectations/e.yaml:5: all of its time has passed; it says nothing of what comes\n"
        "2 expectations, 1 failed\n"
    )


def test_expectations_are_read_from_a_commit_too(tmp_path: Path, capsys: Printed) -> None:
    folder = tmp_path / "ops"
    assert call("init", str(folder), "--example", "production") == 0
    (folder / "expectations" / "databases-are-patched-by-hand.yaml").write_text("kind: nonsense\n")
    capsys.readouterr()

    assert call("test", str(folder), "--rev", "main", "--format", "json") == 0
    printed = json.loads(capsys.readouterr().out)
    origins = [one["origin"] for one in printed["expectations"]]
    assert [origin.rpartition("@")[0] for origin in origins] == [
        "expectations/databases-are-patched-by-hand.yaml:2",
        "expectations/nothing-over-the-holidays.yaml:2",
        "expectations/web-servers-have-a-window-each-month.yaml:2",
    ]
    assert [len(one["hosts"]) for one in printed["expectations"]] == [2, 3, 2]


def test_what_is_wrong_with_policy_or_expectations_comes_first(tmp_path: Path, capsys: Printed) -> None:
    wrong = {
        "policies/q.yaml": "kind: Policy\nname: q\naction: aply\n",
        "expectations/f.yaml": "kind: Freeze\n",
    }
    assert call("test", str(plant(tmp_path, {**EXPECTED, **wrong}))) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.partition(": ")[0] for line in printed.err.splitlines()] == [
        "expectations/f.yaml:1",
        "expectations/f.yaml:1",
        "policies/q.yaml:3",
    ]


def test_no_expectation_at_all_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="holds no Expectation"):
        call("test", str(plant(tmp_path, GOOD)))


def test_junit_of_expectations_has_a_case_for_each(tmp_path: Path, capsys: Printed) -> None:
    call("test", str(plant(tmp_path, EXPECTED)), "--format", "junit")
    suite = ET.fromstring(capsys.readouterr().out)  # noqa: S314 - our own output
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (failure,) = suite.findall("testcase/failure")
    assert failure.get("message") == "approval: is none (default), expected required"


APPROVED: dict[str, str | bytes] = {
    "approvals/a.yaml": "kind: Approval\nname: a\nplan: sha256:" + "a" * 64 + "\nexpires: 2026-12-31\n"
    "reason: r\n"
}


def branched(folder: Path, changes: dict[str, str | bytes], below: str = "") -> Path:
    """Return a repository whose branch ``change`` is checked out, and whose ``main`` has gone on."""
    plant(folder / below, GOOD)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "begin")
    git(folder, "checkout", "-q", "-b", "change")
    plant(folder, changes)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "change")
    git(folder, "checkout", "-q", "main")
    plant(folder, {"later.md": "words"})
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "later")
    git(folder, "checkout", "-q", "change")
    return folder


ONLY = ("--rev", "change", "--only", "approvals", "--base", "main")


def test_a_branch_that_changes_approvals_alone_passes_whatever_main_did_since(
    tmp_path: Path, capsys: Printed
) -> None:
    assert call("check", str(branched(tmp_path, APPROVED)), *ONLY) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("policies/p.yaml", "kind: Policy\nname: p\n"),
        ("approvals.md", "words"),
        (".github/workflows/policy.yml", "name: x"),
    ],
)
def test_a_branch_for_approvals_that_changes_anything_else_is_refused(
    tmp_path: Path, capsys: Printed, name: str, text: str
) -> None:
    folder = branched(tmp_path, {**APPROVED, name: text})
    assert call("check", str(folder), *ONLY) == 3
    assert f"{name}:1: is changed since main, and only approvals/ may be" in capsys.readouterr().out


def test_what_is_removed_or_moved_into_approvals_is_a_change_where_it_was(
    tmp_path: Path, capsys: Printed
) -> None:
    folder = branched(tmp_path, APPROVED)
    git(folder, "rm", "-q", "schedules/s.yaml")
    git(folder, "commit", "-q", "-m", "remove")
    assert call("check", str(folder), *ONLY) == 3
    assert "schedules/s.yaml:1: is changed since main" in capsys.readouterr().out


def test_what_lies_beside_the_folder_of_the_policy_counts_too(tmp_path: Path, capsys: Printed) -> None:
    changes = {f"ops/{name}": text for name, text in APPROVED.items()}
    folder = branched(tmp_path / "one", changes, "ops")
    assert call("check", str(folder / "ops"), *ONLY) == 0
    folder = branched(tmp_path / "two", {**changes, "approvals/b.yaml": "x"}, "ops")
    assert call("check", str(folder / "ops"), *ONLY, "--format", "github") == 3
    assert f"::error file={folder}/approvals/b.yaml,line=1::is changed since main" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "approvals"], "go together"),
        (["--base", "main"], "go together"),
        (["--only", "approvals", "--base", "main"], "go together"),
        (["--rev", "change", "--only", "approvals", "--base", "gone"], "there is no commit 'gone'"),
        (["--rev", "change", "--only", "approvals", "--base", "other"], "they share no commit"),
        ([*ONLY, "--watch"], "do not go together"),
    ],
)
def test_what_cannot_be_compared_is_a_mistake(tmp_path: Path, arguments: list[str], words: str) -> None:
    folder = branched(tmp_path, APPROVED)
    git(folder, "checkout", "-q", "--orphan", "other")
    git(folder, "commit", "-q", "-m", "another beginning")
    with pytest.raises(Misuse, match=words):
        call("check", str(folder), *arguments)


@pytest.mark.parametrize("form", ["text", "json", "sarif", "junit", "github", "gitlab"])
def test_no_password_of_an_address_is_echoed_whatever_is_wrong_with_it(
    tmp_path: Path, capsys: Printed, form: str
) -> None:
    address = "https://bot:hunter2@git.example.org/p.git?token=hunter3"
    places = (
        "action: {}",
        "schedule: [{}]",
        "reboot: {{when: {}}}",
        "notify: [{{to: {}, on: failed}}]",
        "health: {{http: [{}]}}",
        "packages: {{hold: {}}}",
        '"{}": x',
        'match: {{"{}": x}}',
        "description: [{}]",
        "description: >- {}",
        "min_age: {{security: {}}}",
        "exclude: *{}",
        "- {}",
    )
    quoted = (f'"{address}"', f"'{address}'", address)
    plant(
        tmp_path,
        {
            f"policies/p{number}-{which}.yaml": f"kind: Policy\nname: p{number}-{which}\n"
            f"{place.format(text)}\n"
            for number, place in enumerate(places)
            for which, text in enumerate(quoted)
        },
    )
    assert call("check", "--format", form, str(tmp_path)) == 3
    out, err = capsys.readouterr()
    assert "p12-2.yaml" in out + err
    assert "hunter" not in out + err


def test_show_has_a_line_for_each_route_of_messages(tmp_path: Path, capsys: Printed) -> None:
    notify = "notify: [{to: ops, on: [failed, recovered]}, {to: board, on: [needs-approval]}]\n"
    plant(tmp_path, {"policies/p.yaml": f"kind: Policy\nname: p\n{notify}"})
    assert call("show", "a", str(tmp_path)) == 0
    lines = capsys.readouterr().out.split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith("notify "))
    assert "to ops: failed, recovered" in lines[first]
    assert lines[first].split()[-1].startswith("policies/p.yaml:3")
    assert lines[first + 1].strip() == "to board: needs-approval"


def test_old_kernels_are_refused_of_a_manager_that_keeps_none(tmp_path: Path, capsys: Printed) -> None:
    text = "kind: Policy\nname: a\nmatch: {manager: [apt, pacman]}\nautoremove: kernels\n"
    assert call("check", str(plant(tmp_path, {"policies/p.yaml": text}))) != 0
    told = capsys.readouterr()
    assert (
        "policies/p.yaml:4: autoremove: is about old kernels, and pacman keeps one version"
        in told.out + told.err
    )
    text = text.replace("kernels", "new-unused")
    assert call("check", str(plant(tmp_path / "other", {"policies/p.yaml": text}))) == 0
