"""``policy impact`` on a real machine: what it says of a change, and what the host then really plans.

Exact lines are what the host plans when the change is its policy; estimated ones are in nine of ten cases.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.planning.text.canonical import instant
from tests.e2e.site import BEFORE, POLICY, SCHEDULE, Site, git
from tests.e2e.test_apply import tick
from tests.labs.apt import AptLab

Patchledger = Callable[..., tuple[int, str, str]]
Fates = dict[tuple[str, str], tuple[str, str | None]]


def exception(name: str, action: str, *packages: str, **more: str) -> dict[str, str]:
    """Return an exception document, by its file."""
    document = {
        "kind": "Exception",
        "name": name,
        "packages": packages,
        "action": action,
        "reason": "breaks the lab",
        "expires": "2099-01-01",
        **more,
    }
    return {f"exceptions/{name}.yaml": json.dumps(document)}


def policy(settings: str) -> dict[str, str]:
    return {"policies/base.yaml": POLICY + settings}


HOLD_PLAIN = exception("one", "hold", "plain")
HOLD_BASE = exception("two", "hold", "base")
EDITS: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "no updates": ({}, policy("updates: none\n")),
    "updates again": (policy("updates: none\n"), {}),
    "security only": ({}, policy("updates: security\n")),
    "no longer security only": (policy("updates: security\n"), {}),
    "a hold of what stands alone": ({}, HOLD_PLAIN),
    "a hold of what is needed": ({}, HOLD_BASE),
    "a hold of what needs others": ({}, exception("one", "hold", "user")),
    "a hold of a pair": ({}, exception("one", "hold", "pair*")),
    "a hold of half a pair": ({}, exception("one", "hold", "pair-data")),
    "a hold of a version": ({}, exception("one", "hold", "superseded", versions=">= 1.2")),
    "a hold of nothing offered": ({}, exception("one", "hold", "local")),
    "a hold lifted": (HOLD_PLAIN, {}),
    "a hold of what is needed lifted": (HOLD_BASE, {}),
    "one of two holds lifted": ({**HOLD_PLAIN, **HOLD_BASE}, HOLD_PLAIN),
    "a block of what comes in new": ({}, exception("one", "block", "newdep-lib")),
    "a block lifted": (exception("one", "block", "newdep-lib"), {}),
    "only as a dependency": ({}, exception("one", "allow-as-dependency", "base", "plain")),
    "an age that keeps all out": ({}, policy("min_age: {other: 7d, security: 1d}\n")),
    "no age any more": (policy("min_age: {other: 7d}\n"), {}),
    "full upgrades": ({}, policy("upgrade: full\n")),
    "full upgrades that remove": ({}, policy("upgrade: full\nremovals: allow\n")),
    "an approval": ({}, policy("approval: required\n")),
    "security, and one included": (
        policy("updates: security\n"),
        {**policy("updates: security\n"), **exception("one", "include", "plain")},
    ),
}
EXACT = {
    "no updates",
    "a hold of nothing offered",
    "a hold lifted",
    "a hold of what is needed lifted",
    "a block lifted",
    "an age that keeps all out",
    "an approval",
}
"""Edits that what the host was asked answers whole."""


@dataclass(frozen=True)
class Compared:
    """What was said of a change, and what the host planned before and after it."""

    said: Any
    before: Fates
    after: Fates

    @property
    def lines(self) -> dict[tuple[str, str], Any]:
        return {(one["name"], one["arch"]): one for one in self.said["changes"]}

    def of_before(self, key: tuple[str, str]) -> str | None:
        return self.before[key][0] if key in self.before else None

    def of_after(self, key: tuple[str, str]) -> str | None:
        return self.after[key][0] if key in self.after else None


def fates(site: Site) -> Fates:
    updates = site.report()["plan"]["updates"]
    return {(one["name"], one["arch"]): (one["disposition"], one["candidate"]) for one in updates}


def arrange(site: Site, files: Mapping[str, str]) -> str:
    """Commit a policy of these files beside the usual ones, and return the commit."""
    there = {path.relative_to(site.policy).as_posix() for path in site.policy.glob("exceptions/*.yaml")}
    after = git(site.policy, "rev-parse", "HEAD")  # so that there is always something to commit
    usual = {**policy(""), "schedules/nightly.yaml": SCHEDULE, "README": after}
    return site.commit({**dict.fromkeys(there), **usual, **files})


@dataclass
class Reporting:
    """A host that reports by several policies; what it reported by each is kept.

    Attributes:
        kept: Commit, repository of reports and plan, by the files of a policy.
    """

    site: Site
    kept: dict[str, tuple[str, Path, Fates]] = field(default_factory=dict)

    def by(self, files: Mapping[str, str]) -> tuple[str, Path, Fates]:
        told = json.dumps(files)
        if told not in self.kept:
            commit = arrange(self.site, files)
            tick(self.site, BEFORE)
            copy = self.site.folder / f"reports-{len(self.kept)}.git"
            shutil.copytree(self.site.reports, copy)
            self.kept[told] = commit, copy, fates(self.site)
        return self.kept[told]


def compare(host: Reporting, run: Patchledger, old: Mapping[str, str], new: Mapping[str, str]) -> Compared:
    base, reports, before = host.by(old)
    head, _, after = host.by(new)
    where = ("--base", base, "--head", head, "--reports", str(reports), "--at", instant(BEFORE))
    code, out, err = run("policy", "impact", str(host.site.policy), *where, "--format", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    effects = [group["effect"]["updates"] for group in found["groups"]]
    nothing = {"basis": "same", "rules": [], "changes": [], "counted": [], "overdue": []}
    return Compared(effects[0] if effects else nothing, before, after)


@dataclass
class Tally:
    """How many lines of each rule were true, and which were not."""

    lines: Counter[str] = field(default_factory=Counter)
    true: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, rule: str, *, is_true: bool, said: str) -> None:
        self.lines[rule] += 1
        self.true[rule] += is_true
        if not is_true:
            self.wrong.append(f"{rule}: {said}")

    @property
    def share(self) -> float:
        return self.true.total() / max(1, self.lines.total())

    def __str__(self) -> str:
        shares = (f"{rule} {self.true[rule]} of {number}" for rule, number in sorted(self.lines.items()))
        return "\n".join([", ".join(shares), *self.wrong])


def test_exact_lines_are_what_the_host_then_plans_and_estimates_mostly(
    site: Site, lab: AptLab, patchledger: Patchledger
) -> None:
    lab.hold_package("lima")
    host, tally, exact = Reporting(site), Tally(), set[str]()
    for name, (old, new) in EDITS.items():
        found = compare(host, patchledger, old, new)
        truly = {key: (found.of_before(key), found.of_after(key)) for key in {**found.before, **found.after}}
        moved = {key for key, (before, after) in truly.items() if before != after}
        if found.said["basis"] != "estimated":
            exact.add(name)
            assert moved == found.lines.keys(), name
        for key, line in found.lines.items():
            was, will = truly.get(key, (None, None))
            said = f"{name}: {key[0]} {line['before']} → {line['after']}, truly {was} → {will}"
            if line["estimated"] is None:
                assert (line["before"], line["after"]) == (was, will), said
            else:
                # Whether it is applied counts; why it is not, nobody was asked.
                is_true = (line["after"] == "planned") == (will == "planned")
                tally.add(line["estimated"], is_true=is_true, said=said)
        for key in moved - found.lines.keys():
            tally.add("not told", is_true=False, said=f"{name}: {key[0]} truly {truly[key]}")
    sys.stdout.write(f"{len(exact)} of {len(EDITS)} edits exact; estimated lines that were true: {tally}\n")
    assert exact >= EXACT
    assert tally.share >= 0.9, tally
