"""``fleet audit`` as people call it: what it prints, and what it exits with."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.planning.facts.inventory import Previous
from reconciler.planning.reporting.document import OutsideMove
from tests.e2e.test_fleet import call, told, world
from tests.edge.gitops.bench import git
from tests.labs.fleet import FleetWorld
from tests.labs.signing import Key
from tests.report_samples import report_of

__all__ = ["world"]


def since(world: FleetWorld) -> str:
    return f"{world.now - timedelta(days=1):%Y-%m-%d}"


def test_an_audit_is_shown_and_exits_with_what_it_found(
    world: FleetWorld, eve: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    for host in ("web-01", "web-02", "db-01"):
        world.report(host)
    world.read()
    assert call(world, "audit", "--since", since(world)) == 0
    assert capsys.readouterr().out.startswith("proved: ")
    assert call(world, "audit", "--since", since(world), "--strict") == 0
    world.report("web-02", key=eve)
    capsys.readouterr()
    assert call(world, "audit", "--since", since(world), "--strict", "--format", "json") == 4
    found = told(capsys, "fleet-audit")
    assert [(one["target"], one["verdict"]) for one in found["targets"]] == [
        ("db-01", "proved"),
        ("web-01", "proved"),
        ("web-02", "unproved"),
    ]
    assert {one["name"] for one in found["checks"]} >= {"rebuilt", "bracket", "inventory"}
    assert call(world, "audit", "--since", since(world)) == 0

    git(world.reports, "update-ref", "-d", "refs/heads/hosts/web-01")
    capsys.readouterr()
    assert call(world, "audit", "--since", since(world)) == 1
    assert "refuted (seen-before): the branch was rewritten" in capsys.readouterr().out
    assert call(world, "audit", "--since", since(world), "--target", "db-01") == 0


def test_what_cannot_be_read_is_not_proved(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    first = world.report("web-01")
    world.report("web-01")
    (world.reports / "objects" / first[:2] / first[2:]).unlink()
    assert call(world, "audit", "--since", since(world)) in {1, 5}
    shown = capsys.readouterr()
    assert shown.out.startswith("unproved: ")
    assert "cannot fetch the reports" in shown.err


def test_one_package_is_shown_alone(world: FleetWorld, capsys: pytest.CaptureFixture[str]) -> None:
    first = report_of(target="web-01", now=world.now)
    tip = world.report("web-01", first)
    moves = tuple(OutsideMove("install", name, "amd64", None, "1", "installed") for name in ("nano", "vim"))
    again = replace(first, previous=Previous(tip, first.inventory), changed_outside=moves)
    world.report("web-01", again)
    call(
        world, "audit", "--since", since(world), "--target", "web-01", "--package", "vim", "--format", "json"
    )
    (target,) = told(capsys, "fleet-audit")["targets"]
    assert [one["name"] for change in target["changes"] for one in change["changes"]] == ["vim"]
    call(
        world,
        "audit",
        "--since",
        since(world),
        "--target",
        "web-01",
        "--package",
        "emacs",
        "--format",
        "json",
    )
    assert told(capsys, "fleet-audit")["targets"][0]["changes"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "--since yesterday"),
        (("--since", "2026-11-02", "--until", "2026-11-01"), "the period ends before it begins"),
        (("--since", "2026-11-01", "--target", "web-99"), "there is no target web-99"),
    ],
)
def test_what_cannot_be_audited_is_said(
    world: FleetWorld, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert call(world, "audit", *arguments) == 2
    assert said in capsys.readouterr().err
