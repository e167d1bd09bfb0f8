"""What moved on a machine although nothing was run."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from reconciler.planning.facts.inventory import OutsideChange, Previous, inventory_of
from reconciler.planning.facts.observation import Installed
from reconciler.planning.gates.recording import record
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.markdown import to_markdown
from reconciler.planning.reporting.report import build_report, is_news, to_json
from reconciler.planning.reporting.summary import subject
from reconciler.planning.runs.outside import moved_outside
from tests.report_samples import FACTS, INPUTS, NOW, OBSERVATION, USUAL, effective, judged_of

BASH = Installed("bash", "amd64", "1.0")
NGINX = Installed("nginx", "amd64", "1.0")
KERNEL = Installed("kernel", "x86_64", "6.1")
STOOD = (BASH, NGINX)


def between(before: tuple[Installed, ...], after: tuple[Installed, ...]) -> list[tuple[object, ...]]:
    return [
        (one.action, one.name, one.from_version, one.to_version, one.status)
        for one in moved_outside([(before, after)], "apt")
    ]


@pytest.mark.parametrize(
    ("after", "change"),
    [
        ((BASH, replace(NGINX, version="1.1")), ("upgrade", "nginx", "1.0", "1.1", "installed")),
        ((BASH, replace(NGINX, version="0.9")), ("downgrade", "nginx", "1.0", "0.9", "installed")),
        ((BASH,), ("remove", "nginx", "1.0", None, "")),
        ((BASH, NGINX, KERNEL), ("install", "kernel", None, "6.1", "installed")),
        ((BASH, replace(NGINX, held=True)), ("hold", "nginx", "1.0", "1.0", "installed")),
        (
            (BASH, replace(NGINX, status="half-configured")),
            ("status", "nginx", "1.0", "1.0", "half-configured"),
        ),
        (
            (BASH, replace(NGINX, version="1.1", status="unpacked")),
            ("upgrade", "nginx", "1.0", "1.1", "unpacked"),
        ),
        ((BASH, replace(NGINX, arch="all", version="1.1")), ("upgrade", "nginx", "1.0", "1.1", "installed")),
        ((BASH, replace(NGINX, arch="all")), ("upgrade", "nginx", "1.0", "1.0", "installed")),
    ],
)
def test_a_change_is_told(after: tuple[Installed, ...], change: tuple[object, ...]) -> None:
    assert between(STOOD, after) == [change]
    assert inventory_of(after) != inventory_of(STOOD)


def test_a_hold_that_is_gone_is_told() -> None:
    assert between((replace(BASH, held=True),), (BASH,)) == [("release", "bash", "1.0", "1.0", "installed")]


def test_one_of_several_versions_comes_and_another_goes() -> None:
    kernels = tuple(replace(KERNEL, version=version) for version in ("6.1", "6.2", "6.3"))
    assert between(kernels[:2], kernels[1:]) == [
        ("remove", "kernel", "6.1", None, ""),
        ("install", "kernel", None, "6.3", "installed"),
    ]


def test_what_a_run_did_between_two_stretches_is_not_told() -> None:
    began = (BASH, replace(NGINX, version="1.1"))
    ended = (replace(BASH, version="2.0"), replace(NGINX, version="1.2"))
    seen = (replace(BASH, version="2.1"), ended[1])
    assert moved_outside([(STOOD, began), (ended, seen)], "apt") == (
        OutsideChange("upgrade", "bash", "amd64", "2.0", "2.1", "installed"),
        OutsideChange("upgrade", "nginx", "amd64", "1.0", "1.1", "installed"),
    )


def test_an_inventory_knows_no_order_and_no_marks() -> None:
    marked = (NGINX, replace(BASH, automatic=True))
    assert inventory_of(marked) == inventory_of(STOOD)
    assert moved_outside([(STOOD, marked)], "apt") == ()


def test_an_inventory_is_the_same_once_it_was_written_down() -> None:
    odd = Installed("bash", "amd64", "1\udc80")
    written = replace(odd, version="1\N{REPLACEMENT CHARACTER}")
    assert inventory_of((odd,)) == inventory_of((written,))
    assert inventory_of(()).startswith("sha256:")


def test_an_inventory_is_that_of_the_lines_that_its_reference_shows() -> None:
    odd = Installed('b"a\\s\nh', "amd64", "2.0\u2028é\x00", status="half-installed", held=True)
    rows = [[one.name, one.arch, one.version, one.status, one.held] for one in (odd, *STOOD)]
    lines = sorted(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    assert inventory_of((odd, *STOOD)) == f"sha256:{sha256(''.join(lines).encode()).hexdigest()}"


def reported(*outside: OutsideChange) -> Report:
    recording = record(OBSERVATION, (), INPUTS, FACTS, program="patchledger 0.1.0", now=NOW)
    recording = replace(recording, changed_outside=outside, previous=Previous("c" * 40, "sha256:0"))
    return build_report(recording, effective(), judged_of(USUAL, INPUTS, NOW, None))


def many(number: int) -> tuple[OutsideChange, ...]:
    return tuple(
        OutsideChange("install", f"p{index:04}", "amd64", None, "1.0", "installed") for index in range(number)
    )


def test_a_report_stays_bounded_whatever_was_done_by_hand() -> None:
    report = reported(*many(250))
    assert (len(report.changed_outside), report.changed_outside_more) == (200, 50)
    assert "250 changes outside of runs" in subject(report)
    assert "## Changed outside of runs (250)" in to_markdown(report)


def test_what_changed_outside_is_news_and_no_more_telling_it_is_none() -> None:
    quiet, told = to_json(reported()), to_json(reported(*many(1)))
    assert is_news(told, quiet)
    assert is_news(told, told)  # it happened once more since
    assert not is_news(quiet, told)
    assert not is_news(quiet, quiet)
