"""What ``fleet audit`` shows of what was found, whatever text hosts put into it."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.cli.showing.audit import COLUMNS, as_csv, as_json, lines, page
from reconciler.cli.showing.interfaces import AuditShown
from reconciler.cli.showing.terminal import json_text
from reconciler.cli.verbs.fleet_audit import Chosen, only
from reconciler.planning.audit.audit import HOSTS_WORD
from reconciler.planning.audit.verdicts import (
    Against,
    Bracket,
    Changed,
    ChangeSet,
    TargetAudit,
    Verdict,
)
from reconciler.planning.facts.package import Mention
from reconciler.planning.gates.types import BreakGlass
from reconciler.planning.text.canonical import plain

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
NIGHT = ChangeSet(
    "run",
    "20261122T030000Z-5c5c5c5c5c5c",
    "c" * 40,
    "b" * 40,
    "a" * 40,
    AT,
    AT,
    "applied",
    "sha256:" + "5c" * 32,
    "november approvals/november.yaml:1@aaaaaaaaaaaa",
    None,
    Bracket(AT, AT, "f" * 40),
    Verdict.PROVED,
    (
        Changed("upgrade", "nginx", "amd64", "1.0", "1.1"),
        Changed("install", "new", "all", None, "2", ("CVE-2026-1", "RHSA-1")),
    ),
    (),
)
TARGET = TargetAudit(
    "web-01", "file:///reports.git", "hosts/web-01", "d" * 40, 3, Verdict.PROVED, (NIGHT,), ()
)
TOLD = AuditShown(
    "patchledger 1.0",
    AT,
    AT,
    "a" * 40,
    True,
    Verdict.PROVED,
    {"proved": 1, "unproved": 0, "refuted": 0, "exceptional": 0},
    (TARGET,),
    (),
    HOSTS_WORD,
    (),
    (),
)

RESTS_ON = (
    "    policy aaaaaaaaaaaa, announced by bbbbbbbbbbbb, told by cccccccccccc, approved by november"
    " approvals/november.yaml:1@aaaaaaaaaaaa; by others after 2026-11-22 03:00 UTC and before"
    " 2026-11-22 03:00 UTC (ffffffffffff)"
)


def shown(told: AuditShown) -> list[str]:
    return list(lines(told, colour=False))


def test_a_proved_run_is_told_with_all_that_it_rests_on() -> None:
    assert shown(TOLD)[:9] == [
        "proved: 2026-11-22 03:00 UTC until 2026-11-22 03:00 UTC",
        "Policy aaaaaaaaaaaa, its signatures verified; by patchledger 1.0",
        "1 target; runs and changes outside of runs: 1 proved, 0 unproved, 0 refuted, 0 exceptional",
        "",
        "web-01: proved, 3 reports up to dddddddddddd",
        "  2026-11-22 03:00 UTC  proved: run 20261122T030000Z-5c5c5c5c5c5c, applied",
        RESTS_ON,
        "    upgrade nginx:amd64 1.0 → 1.1",
        "    install new:all new → 2 (CVE-2026-1, RHSA-1)",
    ]
    assert shown(TOLD)[-len(HOSTS_WORD) :] == [f"- {one}" for one in HOSTS_WORD]


def test_what_speaks_against_it_and_who_passed_over_the_window_is_told() -> None:
    against = Against("window", Verdict.REFUTED, "step 1 began at noon", ("e" * 40,))
    glass = BreakGlass("the shop is down", "ada", overrides_freeze=True)
    change = replace(NIGHT, exceptional=glass, verdict=Verdict.REFUTED, against=(against,))
    text = shown(replace(TOLD, targets=(replace(TARGET, changes=(change,)),)))
    assert "    exceptional, a freeze as well: by ada: the shop is down" in text
    assert "    refuted (window): step 1 began at noon [eeeeeeeeeeee]" in text


def evil(told: AuditShown, text: str) -> AuditShown:
    """Return an audit in which a host and a publisher say ``text`` wherever they can."""
    change = replace(
        NIGHT,
        run=text,
        outcome=text,
        approved_by=text,
        exceptional=BreakGlass(text, text),
        changes=(Changed("upgrade", text, text, text, text + "1", (text,)),),
        against=(Against("window", Verdict.REFUTED, text),),
    )
    target = replace(
        TARGET, target=text, changes=(change,), against=(Against("whole", Verdict.UNPROVED, text),)
    )
    return replace(told, targets=(target,))


def test_a_table_has_a_line_for_each_package_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO("".join(as_csv(TOLD)))))
    assert [(row["package"], row["from"], row["to"]) for row in rows] == [
        ("nginx", "1.0", "1.1"),
        ("new", "", "2"),
    ]
    assert rows[0]["verdict"] == "proved"
    assert rows[0]["before"] == "2026-11-22T03:00:00Z"
    assert tuple(rows[0]) == COLUMNS
    hostile = list(csv.reader(io.StringIO("".join(as_csv(evil(TOLD, "=cmd()\n,x"))))))
    assert len(hostile) == len(["headings", "the branch", "the package"])
    assert not [cell for row in hostile for cell in row if cell.startswith("=")]


def test_json_that_is_told_target_by_target_is_that_of_all_at_once() -> None:
    hostile = evil(TOLD, '  "targets": [],\n\x1b[1m\u2028').targets
    for targets in ((), (TARGET,), (TARGET, TARGET), (*hostile, TARGET)):
        told = replace(TOLD, targets=targets, notices=('  "targets": [],\n',))
        assert "".join(as_json(told)) == json_text(plain(told))


def test_a_page_has_all_that_somebody_signs_and_no_markup_of_hosts() -> None:
    text = "".join(f"{line}\n" for line in page(TOLD))
    assert text.startswith("# Audit: proved\n")
    assert "## web-01: proved" in text
    assert "- upgrade nginx:amd64 1.0 → 1.1" in text
    assert all(f"- {one}\n" in text for one in HOSTS_WORD)
    assert text.endswith("Name, date, signature: ______________________________\n")
    hostile = "\n".join(page(evil(TOLD, "</details><img src=x>\n# [x](http://x) @ada")))
    assert "<img" not in hostile
    assert "](http" not in hostile
    assert "@ada" not in hostile
    assert hostile.count("\n# ") == 0


def chosen(*packages: str, cves: frozenset[str] = frozenset()) -> list[str]:
    found = only(TARGET, Chosen(tuple(map(Mention.parse, packages)), cves))
    return [one.name for change in found.changes for one in change.changes]


def test_changes_are_chosen_by_package_and_by_what_they_fix() -> None:
    assert chosen() == ["nginx", "new"]
    assert chosen("nginx") == ["nginx"]
    assert chosen("nginx:i386") == []
    assert chosen(cves=frozenset({"CVE-2026-1"})) == ["new"]
    assert chosen("nginx", cves=frozenset({"CVE-2026-1"})) == []


OTHER = Chosen((Mention("other"),), frozenset())


def told_of(*against: Against) -> TargetAudit:
    """Return a target whose only run has these against it."""
    worst = min((one.verdict for one in against), key=list(Verdict).index)
    return replace(TARGET, changes=(replace(NIGHT, verdict=worst, against=against),), verdict=worst)


def test_what_is_left_out_no_longer_counts_and_what_is_against_the_branch_does() -> None:
    target = told_of(Against("bracket", Verdict.UNPROVED, "nobody has dated it"))
    assert only(target, OTHER).verdict is Verdict.PROVED
    assert only(target, OTHER).changes == ()
    against = (Against("seen-before", Verdict.REFUTED, "rewritten"),)
    assert only(replace(target, against=against), OTHER).verdict is Verdict.REFUTED


def test_where_nobody_tells_what_changes_fix_none_is_proved_to_fix_nothing() -> None:
    cve = Chosen((), frozenset({"CVE-2026-9"}))
    assert only(TARGET, cve).verdict is Verdict.PROVED  # it tells of others
    silent = replace(NIGHT, changes=NIGHT.changes[:1])
    found = only(replace(TARGET, changes=(silent,)), cve)
    assert (found.verdict, found.changes) == (Verdict.UNPROVED, ())
    assert [one.reason for one in found.against] == [
        "nothing tells what its changes fix: its package manager may tell of no advisories"
    ]
    assert only(replace(TARGET, changes=()), cve).verdict is Verdict.PROVED


def test_a_refuted_run_stays_whatever_package_is_asked_for() -> None:
    """Who lies about one package is not believed about another."""
    target = told_of(Against("window", Verdict.REFUTED, "step 1 began at noon"))
    found = only(target, OTHER)
    assert found.verdict is Verdict.REFUTED
    assert [one.changes for one in found.changes] == [()]
    assert "step 1 began at noon" in "\n".join(shown(replace(TOLD, targets=(found,))))


@pytest.mark.parametrize("name", ["readable", "order", "inventory"])
def test_what_speaks_against_a_report_stays_where_its_run_is_left_out(name: str) -> None:
    """What is left out of a report may be the very package that was asked for."""
    said = Against(name, Verdict.UNPROVED, "openssl", ("c" * 40,))
    found = only(told_of(said, Against("bracket", Verdict.UNPROVED, "nobody has dated it")), OTHER)
    assert (found.verdict, found.against, found.changes) == (Verdict.UNPROVED, (said,), ())
