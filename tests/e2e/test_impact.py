"""``policy impact`` on a real host: what it says of a change, and what the host then really reports."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.planning.text.canonical import instant
from tests.e2e.policy_edits import BASE, NIGHTLY, USUAL, Edit, Files, edits_of_the_rest, edits_of_updates
from tests.e2e.site import BEFORE, Site, git
from tests.e2e.test_apply import tick
from tests.e2e.test_impact_of_managers import Tally
from tests.e2e.test_managers import add_to_apt
from tests.labs.apt import AptLab

Patchledger = Callable[..., tuple[int, str, str]]
Fates = Mapping[tuple[str, str], str]

UNSIGNED = "patchledger: no Host document names a report_key, so that nobody can tell whose a report is\n"
_NOTHING: Mapping[str, Any] = {
    "refusal": "",
    "ambiguities": [],
    "settings": [],
    "documents": [],
    "windows": None,
    "updates": {"basis": "same", "changes": [], "overdue": [], "passing": None},
}


@dataclass(frozen=True)
class Reported:
    """What a host reported under a policy.

    Attributes:
        commit: Of the policy.
        reports: A copy of the repository of reports, as it was then.
        told: Its ``report.json``.
    """

    commit: str
    reports: Path
    told: Any

    def fates(self, plan: str = "plan") -> Fates:
        updates = [] if self.told[plan] is None else self.told[plan]["updates"]
        return {(one["name"], one["arch"]): one["disposition"] for one in updates}

    def passing(self) -> set[str]:
        fates = self.fates("security_plan")
        return {f"{name}:{arch}" for (name, arch), fate in fates.items() if fate == "planned"}

    def has(self, condition: str) -> bool:
        return any(one["type"] == condition for one in self.told["conditions"])

    def overdue(self, at: datetime) -> set[str]:
        late = (one for one in self.told["plan"]["updates"] if one.get("deadline") is not None)
        return {f"{one['name']}:{one['arch']}" for one in late if one["deadline"]["at"] <= instant(at)}

    def windows(self) -> list[tuple[str, str]]:
        return [(one["start"], one["end"]) for one in self.told["windows"] if one["blocked_by"] is None]


@dataclass
class Reporting:
    """A host that reports by several policies; what it reported by each is kept.

    Attributes:
        kept: By the files of a policy, and the instant.
    """

    site: Site
    kept: dict[str, Reported] = field(default_factory=dict)

    def by(self, files: Files, at: datetime) -> Reported:
        told = json.dumps([files, instant(at)])
        if told not in self.kept:
            commit = self._arrange(files)
            tick(self.site, at)
            copy = self.site.folder / f"reports-{len(self.kept)}.git"
            shutil.copytree(self.site.reports, copy)
            self.kept[told] = Reported(commit, copy, self.site.report())
        return self.kept[told]

    def _arrange(self, files: Files) -> str:
        """Commit a policy of these files beside the usual ones, and return the commit."""
        root = self.site.policy
        there = [path.relative_to(root).as_posix() for path in root.rglob("*.yaml")]
        wanted = {path: text for path, text in {**USUAL, **files}.items() if text is not None}
        gone = dict.fromkeys(path for path in there if path not in wanted)
        after = git(root, "rev-parse", "HEAD")  # so that there is always something to commit
        return self.site.commit({**gone, **wanted, "README": after})


def impact(host: Reporting, run: Patchledger, edit: Edit) -> tuple[Any, Reported, Reported]:
    """Return what is said of a host, and what it reported before and after."""
    base, head = host.by(edit.old, edit.at), host.by(edit.new, edit.at)
    where = ("--base", base.commit, "--head", head.commit, "--reports", str(base.reports))
    code, out, err = run(
        "policy", "impact", str(host.site.policy), *where, "--at", instant(edit.at), "--format", "json"
    )
    assert (code, err) == (0, UNSIGNED)
    effects = [group["effect"] for group in json.loads(out)["groups"]]
    return effects[0] if effects else _NOTHING, base, head


def check_updates(name: str, found: tuple[Any, Reported, Reported], tally: Tally) -> None:
    """Compare what is said of updates with the two plans that the host made."""
    told, before, after = found[0]["updates"], found[1].fates(), found[2].fates()
    if told["basis"] != "estimated":
        tally.exact.add(name)
    lines = {(one["name"], one["arch"]): one for one in told["changes"]}
    for key in {**before, **after, **lines}:
        was, will = before.get(key), after.get(key)
        line = lines.get(key)
        if line is None:
            if was != will:
                rule = "not told" if told["basis"] == "estimated" else None
                tally.add(rule, is_true=False, said=f"{name}: {key[0]} truly {was} → {will}, not told")
            continue
        said = f"{name}: {key[0]} {line['before']} → {line['after']}, truly {was} → {will}"
        is_applied = (line["after"] == "planned") == (will == "planned")
        is_true = is_applied if line["estimated"] else (line["before"], line["after"]) == (was, will)
        tally.add(line["estimated"], is_true=is_true, said=said)
    check_passing(name, found, tally)


def check_passing(name: str, found: tuple[Any, Reported, Reported], tally: Tally) -> None:
    """Compare what is said to pass a freeze with the security plans that the host made."""
    passing, was, will = found[0]["updates"]["passing"], found[1].passing(), found[2].passing()
    if passing is None:
        tally.add(None, is_true=was == will, said=f"{name}: {sorted(will)} passes, not told")
        return
    for package in sorted({*passing["packages"], *will}):
        is_true = (package in passing["packages"]) == (package in will)
        tally.add(passing["estimated"], is_true=is_true, said=f"{name}: {package} passes, or not")


def check_the_rest(name: str, edit: Edit, found: tuple[Any, Reported, Reported], tally: Tally) -> None:
    """Compare what is said of settings, documents, windows and deadlines, which is always exact."""

    def must(said: object, truly: object, what: str) -> None:
        tally.add(None, is_true=said == truly, said=f"{name}: {what} {said}, truly {truly}")

    effect, base, head = found
    must({one["key"] for one in effect["settings"]}, edit.settings, "settings")
    documents = {f"{one['kind']} {one['name']} {one['change']}" for one in effect["documents"]}
    must(documents, edit.documents, "documents")
    must(bool(effect["refusal"]), head.told["policy_commit"] != head.commit, "refused")
    must(bool(effect["ambiguities"]), head.has("PolicyAmbiguous"), "contradiction")
    overdue = head.overdue(edit.at) - base.overdue(edit.at)
    must(set(effect["updates"]["overdue"]), overdue, "overdue")
    if "splay" in edit.settings:
        return  # a report tells the windows with the host's own share of it
    was, will = base.windows(), head.windows()
    changes = [] if effect["windows"] is None else effect["windows"]["changes"]
    # A report tells but the next windows.
    last = min((one[-1][0] for one in (was, will) if one), default="9")
    for side, mine, other in (("before", was, will), ("after", will, was)):
        spans = {(one[side]["start"], one[side]["end"]) for one in changes if one[side] is not None}
        truly = {one for one in mine if one[0] <= last} - set(other)
        must({one for one in spans if one[0] <= last}, truly, f"windows {side}")


THROUGH_TICKS = (
    "no longer security only",
    "a hold of what is needed",
    "a hold lifted",
    "a hold that comes to its end",
    "an age of some",
    "a source that counts again",
    "some versions are approved",
    "a Host document goes",
    "a freeze that security updates pass",
)
"""Changes of which updates are wanted that whole ticks are made for; the others see the resolvers alone."""


def test_what_is_said_is_what_the_host_then_reports(
    site: Site, lab: AptLab, patchledger: Patchledger
) -> None:
    add_to_apt(lab, "extra", {"plain": "1.2", "victim": "1.1"})
    host, tally = Reporting(site), Tally()
    of_updates = edits_of_updates("1.2", "o=extra")
    edits = {**{name: of_updates[name] for name in THROUGH_TICKS}, **edits_of_the_rest()}
    for name, edit in edits.items():
        found = impact(host, patchledger, edit)
        check_the_rest(name, edit, found, tally)
        check_updates(name, found, tally)
    sys.stdout.write(f"{len(edits)} edits, {len(tally.exact)} exact; true of the estimated lines: {tally}\n")
    sys.stdout.writelines(f"broken: {one}\n" for one in tally.broken)
    assert not tally.broken
    assert tally.exact >= {name for name, edit in edits.items() if edit.is_exact}


@pytest.mark.parametrize(
    ("files", "named"),
    [({NIGHTLY: None}, BASE), ({"patchledger.yaml": 'requires: ">= 99"\n'}, "patchledger.yaml")],
    ids=["the only Schedule is gone", "another program is asked for"],
)
def test_what_every_host_refuses_is_said_and_the_host_stays_as_it_is(
    site: Site, patchledger: Patchledger, files: Files, named: str
) -> None:
    host = Reporting(site)
    base, head = host.by({}, BEFORE), host.by(files, BEFORE)
    where = ("--base", base.commit, "--head", head.commit, "--reports", str(base.reports))
    code, out, _ = patchledger(
        "policy", "impact", str(site.policy), *where, "--at", instant(BEFORE), "--format", "json"
    )
    found = json.loads(out)
    assert code == 3
    assert [one["peril"] for one in found["concerns"]][:1] == ["invalid"]
    assert [one["file"] for one in found["head"]["problems"]] == [named]
    assert (head.told["policy_commit"], head.fates()) == (base.commit, base.fates())
