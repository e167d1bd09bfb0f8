"""``policy impact`` as people call it: what it prints, and with which exit code."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.planning.fleet.rows import Heard, Row, never_heard, row_of
from reconciler.planning.fleet.summary import Head, Line, write_summary
from reconciler.planning.impact.effect import Peril
from reconciler.planning.text import canonical
from tests.e2e.site import git
from tests.report_samples import NOW, report_of

AT = "2026-11-22T08:00Z"
HOSTILE = "@team <img src=x> [a](http://evil.example) \x1b[31m"
POLICIES = """\
kind: Policy
name: base
action: apply
schedule: [night]
---
kind: Policy
name: production
priority: 10
match: {labels: {env: production}}
updates: security
"""
SCHEDULE = """\
kind: Schedule
name: night
timezone: UTC
windows:
  - {start: "Sun 02:00", duration: 3h}
"""
CHANGE = {
    "policies/base.yaml": POLICIES.replace("updates: security", "updates: all"),
    "schedules/night.yaml": SCHEDULE.replace("Sun 02:00", "Sun 04:00"),
    "exceptions/openssl.yaml": (
        "kind: Exception\nname: no-openssl\npackages: [openssl]\naction: hold\n"
        f"reason: {json.dumps(HOSTILE)}\nexpires: 2026-12-31\n"
    ),
    "freezes/db.yaml": (
        "kind: Freeze\nname: quiet\nmatch: {labels: {role: db}}\nfrom: 2026-11-20\nuntil: 2027-01-03\n"
        "timezone: UTC\nreason: year end\n"
    ),
    "policies/nobody.yaml": "kind: Policy\nname: nobody\nmatch: {labels: {env: prodction}}\nupdates: none\n",
}

NOBODY = "no Host document names a report_key, so that nobody can tell whose a report is"
Printed = pytest.CaptureFixture[str]


def row(target: str, **labels: str) -> Row:
    heard = Heard("c" * 40, "d" * 40, "SHA256:key", "e" * 40, NOW - timedelta(hours=1))
    found = row_of(f"hosts/{target}", report_of(target=target), None, heard)
    return replace(found, labels=labels, own_labels=labels, resolution="sha256:1")


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a policy with a branch ``change``, the folder beside which the tests run."""
    folder = tmp_path / "policy"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write(folder, {"policies/base.yaml": POLICIES, "schedules/night.yaml": SCHEDULE})
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "begin")
    git(folder, "checkout", "-q", "-b", "change")
    write(folder, CHANGE)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "change")
    git(folder, "checkout", "-q", "main")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def summary(tmp_path: Path) -> Path:
    """Return the summary of a small fleet."""
    rows = [row(f"web-{number:02}", env="test") for number in range(12)]
    rows += [
        row("shop-01", env="production"),
        row("db-01", env="production", role="db"),
        never_heard("db-02"),
    ]
    path = tmp_path / "summary.json"
    path.write_bytes(write_summary(Head("e" * 40, policy_is_verified=True), [Line.of(one) for one in rows]))
    return path


def test_policy_check_names_the_hosts_that_would_refuse(tmp_path: Path, capsys: Printed) -> None:
    rows = [replace(row("web-01", env="test"), program="patchledger 0.0.9"), row("web-02", env="test")]
    path = tmp_path / "summary.json"
    path.write_bytes(write_summary(Head("e" * 40, policy_is_verified=True), [Line.of(one) for one in rows]))
    policy = tmp_path / "later"
    (policy / "policies").mkdir(parents=True)
    (policy / "policies" / "p.yaml").write_text("kind: Policy\nname: p\nbudget: 1h\n")
    (policy / "patchledger.yaml").write_text('requires: ">=0.1"\n')

    assert main(["policy", "check", str(policy), "--summary", str(path)]) == 0
    warning, count = capsys.readouterr().err.splitlines()
    assert "is not what these hosts run, which refuse the revision: web-01 (0.0.9) (upgrade them" in warning
    assert warning.endswith("[refused]")
    assert count == "no problem in 1 document, 1 warning"


def call(*more: str) -> int:
    facts = () if {"--summary", "--reports"} & {*more} else ("--summary", "summary.json")
    return main(["policy", "impact", "policy", "--base", "main", *facts, "--at", AT, *more])


@pytest.mark.usefixtures("policy", "summary")
def test_text_says_the_verdict_first_and_what_must_not_be_missed_next(
    capsys: Printed, golden: Callable[[str, bytes], None]
) -> None:
    assert call("--head", "change") == 0
    told = capsys.readouterr().out
    golden("cli/impact.txt", told.encode())
    assert "\x1b" not in told


@pytest.mark.usefixtures("policy", "summary")
def test_markdown_is_a_comment_for_a_pull_request(
    capsys: Printed, golden: Callable[[str, bytes], None]
) -> None:
    assert call("--head", "change", "--format", "markdown") == 0
    golden("cli/impact.md", capsys.readouterr().out.encode())


@pytest.mark.usefixtures("policy", "summary")
def test_all_forms_are_written_beside_one_another(tmp_path: Path, capsys: Printed) -> None:
    assert call("--head", "change", "--output", "made/here", "--format", "json") == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "made/here"
    assert {path.name for path in folder.iterdir()} == {"impact.json", "impact.md", "impact.html"}
    assert (folder / "impact.json").read_text(encoding="utf-8") == printed
    assert (folder / "impact.md").read_text(encoding="utf-8").startswith("<!-- patchledger impact -->")
    assert "14 of 14 hosts change" in (folder / "impact.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("policy")
def test_a_folder_that_cannot_be_made_is_said(summary: Path, capsys: Printed) -> None:
    assert call("--head", "change", "--output", f"{summary}/inside") == 1
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.usefixtures("policy", "summary")
def test_json_is_as_its_schema_says(capsys: Printed) -> None:
    assert call("--head", "change", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("policy-impact")).validate(found)
    assert (found["hosts"], found["changed"], found["lost_windows"]) == (14, 14, 1)


@pytest.mark.usefixtures("summary")
def test_the_exit_code_says_whether_a_host_changes_where_that_is_asked(policy: Path) -> None:
    assert call("--head", "change", "--exit-code") == 4
    assert call("--head", "main", "--exit-code") == 0
    assert call("--exit-code") == 0  # the files are those of main
    write(policy, CHANGE)
    assert call("--exit-code") == 4


@pytest.mark.usefixtures("policy", "summary")
def test_what_is_forbidden_is_said_with_its_hosts_and_fails(capsys: Printed) -> None:
    assert call("--head", "change", "--forbid", "lost-windows, removals", "--forbid", "reboots") == 1
    assert capsys.readouterr().err == (
        "patchledger: forbidden: lost-windows: they lose every window of the time that was looked at; the "
        "next one opens 2027-01-10 04:00 UTC (db-01)\n"
    )
    assert call("--head", "change", "--forbid", "removals,reboots") == 0
    assert call("--head", "change", "--forbid", "removals,reboots", "--exit-code") == 4
    assert call("--head", "change", "--forbid", "lost-windows", "--exit-code") == 1


@pytest.mark.usefixtures("policy", "summary")
@pytest.mark.parametrize("words", ["lost-window", "", "reboots,", "all"])
def test_a_word_that_nothing_is_called_is_a_mistake_and_no_gate_that_stays_open(
    words: str, capsys: Printed
) -> None:
    assert call("--head", "change", "--forbid", words) == 2
    said = capsys.readouterr().err
    assert "--forbid knows no" in said
    assert all(word in said for word in Peril)


@pytest.mark.parametrize("peril", Peril)
def test_each_word_that_can_be_forbidden_is_in_the_reference(peril: Peril) -> None:
    reference = Path(__file__).parents[2] / "docs" / "reference" / "impact.md"
    assert f"`{peril}`" in reference.read_text(encoding="utf-8")


@pytest.mark.usefixtures("summary")
def test_a_head_that_is_no_policy_tells_its_problems_and_the_impact_of_the_rest(
    policy: Path, capsys: Printed
) -> None:
    write(policy, {**CHANGE, "exceptions/bad.yaml": "kind: Exception\nname: bad\n"})
    assert call("--exit-code") == 3
    told = capsys.readouterr().out
    assert "exceptions/bad.yaml:1: packages" in told
    assert told.startswith("every host refuses the head, which has 4 problems; ")
    assert "14 of 14 hosts change" in told


@pytest.mark.usefixtures("summary")
def test_the_head_may_be_another_folder(policy: Path, tmp_path: Path, capsys: Printed) -> None:
    shutil.copytree(policy, tmp_path / "other", ignore=shutil.ignore_patterns(".git"))
    write(tmp_path / "other", CHANGE)
    assert call("--head", "other", "--exit-code") == 4
    assert "the files of other against main" in capsys.readouterr().out


@pytest.mark.usefixtures("policy", "summary")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--base", "gone"], "there is no commit 'gone'"),
        (["--head", "gone"], "there is no commit 'gone'"),
        (["--head", "\x1b[31mgone"], "[31mgone'"),
        (["--base=--upload-pack=touch evil"], "there is no commit '--upload-pack=touch evil'"),
        (["--summary", "/nowhere/summary.json"], "cannot fetch the branch fleet from /nowhere/summary.json"),
        (["--summary", "policy/policies/base.yaml"], "base.yaml is no summary of a fleet: it is not JSON"),
        (["--at", "tomorrow"], "--at tomorrow"),
        (["--at", "2026-11-22T08:00"], "has no offset"),
        (["--at", "0001-01-01T00:00+14:00"], "windows are told for the years"),
        (["--at", "9999-12-31T23:00Z"], "windows are told for the years"),
    ],
)
def test_what_cannot_be_had_is_said(arguments: list[str], words: str, capsys: Printed) -> None:
    assert call(*arguments) in (1, 2, 5)
    said = capsys.readouterr().err
    assert words in said
    assert "\x1b" not in said


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{}", "it holds no 'schema'"),
        (b'{"schema": 1}', "it holds no 'silent_after'"),
        (b"[1]", "a value in it is not what stands there"),
        (b"[" * 100_000, "it is nested without end"),
        (b"\xff", "it is not text in UTF-8"),
        (b'"\\ud800"', "it is not text in UTF-8"),
        (b"", "it is not JSON, as its line 1 shows"),
    ],
)
def test_another_file_than_a_summary_is_named_with_what_to_give(
    text: bytes, words: str, tmp_path: Path, capsys: Printed
) -> None:
    (tmp_path / "other.json").write_bytes(text)
    assert call("--summary", "other.json") == 2
    said = capsys.readouterr().err
    assert f"other.json is no summary of a fleet: {words}" in said
    assert "give summary.json of `patchledger fleet publish`" in said


def test_a_folder_that_is_no_repository_is_a_mistake(
    tmp_path: Path, summary: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    (tmp_path / "policy").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("--summary", str(summary)) == 2
    assert "is in no git repository" in capsys.readouterr().err


def reports(folder: Path, target: str, **files: bytes) -> str:
    """Return a report repository in which one host has reported."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", f"hosts/{target}")
    report = canonical.to_bytes(canonical.plain(replace(report_of(target=target), resolution=target)))
    for name, data in {"report": report, **files}.items():
        (folder / f"{name}.json").write_bytes(data)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "report")
    return str(folder)


@pytest.mark.usefixtures("policy")
def test_a_recording_that_cannot_be_read_is_said_and_its_host_judged_by_numbers(
    tmp_path: Path, capsys: Printed
) -> None:
    where = reports(tmp_path / "reports", "web-01", observation=b"{}")
    assert call("--head", "change", "--reports", where, "--exit-code") == 4
    said = capsys.readouterr()
    assert "web-01 is judged by numbers alone: observation.json" in said.err
    assert "1 host by the reports" in said.out
    assert "openssl 3.0.15-1, security" in said.out


@pytest.mark.usefixtures("policy")
def test_of_recordings_that_cannot_be_read_the_first_is_named_and_json_has_all(
    tmp_path: Path, capsys: Printed
) -> None:
    where = [reports(tmp_path / name, name, observation=b"{}") for name in ("web-01", "web-02")]
    sources = [word for one in where for word in ("--reports", one)]
    assert call("--head", "change", *sources, "--format", "json") == 0
    said = capsys.readouterr()
    told = [line for line in said.err.splitlines() if "by numbers alone" in line]
    assert len(told) == 1
    assert "web-01 is judged by numbers alone: observation.json" in told[0]
    assert told[0].endswith(", and so 1 other host")
    assert [one["target"] for one in json.loads(said.out)["unread"]] == ["web-01", "web-02"]


@pytest.mark.usefixtures("policy")
def test_a_recording_that_nobody_needs_is_not_read(tmp_path: Path, capsys: Printed) -> None:
    where = reports(tmp_path / "reports", "web-01", observation=b"{}")
    assert call("--head", "main", "--reports", where) == 0
    said = capsys.readouterr()
    assert said.err == f"patchledger: {NOBODY}\n"
    assert said.out.startswith("0 of 1 host changes")


@pytest.mark.usefixtures("policy")
def test_a_host_of_a_newer_program_is_named_and_keeps_nobody_else_from_being_judged(
    tmp_path: Path, capsys: Printed
) -> None:
    older = reports(tmp_path / "reports", "web-01")
    newer = canonical.to_bytes({**canonical.plain(report_of(target="web-02")), "schema": 99})
    other = reports(tmp_path / "newer", "web-02", report=newer)
    where = ("--head", "change", "--reports", older, "--reports", other)
    assert call(*where) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 of 1 host changes; ")
    assert "1 cannot be judged" in said
    assert "newer patchledger" in said
    assert call(*where, "--forbid", "unjudged") == 1
    assert "(web-02)" in capsys.readouterr().err


@pytest.mark.usefixtures("policy")
def test_reports_by_an_older_policy_than_the_base_are_judged_and_counted(
    tmp_path: Path, capsys: Printed
) -> None:
    where = reports(tmp_path / "reports", "web-01")
    assert call("--head", "change", "--reports", where) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 of 1 host changes")
    assert "1 of them was made by another policy than the base" in said


@pytest.mark.usefixtures("policy")
def test_a_repository_without_reports_is_a_mistake(tmp_path: Path, capsys: Printed) -> None:
    git(tmp_path, "init", "-q", "--bare", "empty.git")
    assert call("--reports", "empty.git") == 2
    assert "there is no report" in capsys.readouterr().err


@pytest.mark.usefixtures("policy")
def test_the_summary_of_a_report_repository_is_read_from_its_branch(
    tmp_path: Path, summary: Path, capsys: Printed
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "fleet")
    shutil.copy(summary, folder)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "publish")
    assert call("--head", "change", "--summary", str(folder)) == 0
    by_branch = capsys.readouterr().out
    assert call("--head", "change") == 0
    assert capsys.readouterr().out == by_branch
