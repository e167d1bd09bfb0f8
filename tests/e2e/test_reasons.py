"""Every package of the small Debian, in every mode: its fate with reasons, as ``explain`` tells them.

The golden files were read line by line: what they say is what apt does and says when it is asked by hand.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.cli.showing.render import render_explain
from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.planning.gates.recording import read_recording
from reconciler.planning.reporting.reader import read_report
from reconciler.planning.text.canonical import instant
from tests.e2e.site import BEFORE, POLICY, SetClock, Site, git
from tests.labs.apt import OLD, AptLab

EXPIRES = "reason: breaks the lab\nexpires: 2099-01-01\n"


def tick(site: Site, clock: SetClock) -> object:
    return run_once(site.config, wire(load_config(site.config), clock))


def exception(action: str, *packages: str) -> dict[str, str]:
    """Return an exception document, by its file."""
    name = f"{action}-{packages[0]}".rstrip("*")
    text = f"kind: Exception\nname: {name}\npackages: {json.dumps(packages)}\naction: {action}\n{EXPIRES}"
    return {f"exceptions/{name}.yaml": text}


MODES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "default": ("", {}),
    "full-forbid": ("upgrade: full\nremovals: forbid\n", {}),
    "full-allow": ("upgrade: full\nremovals: allow\n", {}),
    "full-allow-one": ("upgrade: full\nallow_removals: [victim]\n", {}),
    "safe-allow": ("upgrade: safe\nremovals: allow\n", {}),
    "security": ("updates: security\n", {}),
    "security-include": (
        "updates: security\n",
        {**exception("include", "plain", "replacer", "user"), **exception("hold", "both")},
    ),
    "none-include": ("updates: none\n", exception("include", "newdep", "remover")),
    "min-age": ("min_age: {other: 7d}\n", {}),
    "min-age-hold": ("min_age: {other: 7d}\n", exception("hold", "plain")),
    "min-age-full": ("min_age: {other: 7d}\nupgrade: full\nremovals: allow\n", exception("hold", "plain")),
    "hold": ("", exception("hold", "base", "pair-data", "victim", "replaced")),
    "hold-full": (
        "upgrade: full\nremovals: allow\n",
        exception("hold", "base", "pair-data", "victim", "replaced"),
    ),
    "block": ("", exception("block", "newdep-lib", "base")),
    "dependency": ("", exception("allow-as-dependency", "base", "plain", "pair-data")),
    "mixed": (
        "min_age: {security: 1d}\n",
        {**exception("block", "newdep*"), **exception("hold", "user"), **exception("include", "plain")},
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_reason_is_true(
    site: Site, lab: AptLab, golden: Callable[[str, bytes], None], mode: str
) -> None:
    lab.hold_package("lima")
    settings, documents = MODES[mode]
    if settings or documents:
        site.commit({"policies/base.yaml": POLICY + settings, **documents})
    tick(site, SetClock())
    report = read_report(git(site.reports, "show", "hosts/web-01:report.json").encode())
    recording = git(site.reports, "show", "hosts/web-01:observation.json") + "\n"
    installed = read_recording(recording.encode()).observation.installed
    idle = {package.name for package in OLD} - {update.name for update in report.plan.updates}
    pages = [render_explain(report, name, installed=installed) for name in (None, *sorted(idle))]
    told = "\n".join(re.sub(r"@[0-9a-f]{12}|(?<=policy )[0-9a-f]{12}", "", page) for page in pages)
    golden(f"plan/{mode}.txt", _at_the_golden_time(told).encode())


def _at_the_golden_time(text: str) -> str:
    """Return a text of these days with its instants as if it were when the golden files were made."""
    shift = datetime(2026, 11, 22, 12, tzinfo=UTC) - BEFORE
    text = re.sub(
        r"20(?!99)\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ",  # what never ends is fixed
        lambda found: instant(datetime.fromisoformat(found[0]) + shift),
        text,
    )

    def moved(found: re.Match[str]) -> str:
        _, blank, day, gap, time = found.groups()
        at = datetime.fromisoformat(f"{day} {time}+00:00") + shift
        return f"{at:%a}{blank}{at:%Y-%m-%d}{gap}{at:%H:%M}"

    return re.sub(r"([A-Z][a-z]{2})(\s+)(20(?!99)\d\d-\d\d-\d\d)(\s+)(\d\d:\d\d)(?=\s+UTC)", moved, text)


def test_a_reason_names_the_operators_hold_that_stands_in_the_way(site: Site, lab: AptLab) -> None:
    lab.hold_package("base")
    tick(site, SetClock())
    (user,) = (one for one in site.report()["plan"]["updates"] if one["name"] == "user")
    assert user["disposition"] == "held"
    assert [one["code"] for one in user["reasons"]] == ["needs-held", "operator-hold"]
    assert user["reasons"][0]["message"] == "1.1 needs base, which must not be installed or updated"


def test_what_is_old_enough_at_last_is_planned(site: Site) -> None:
    site.commit({"policies/base.yaml": POLICY + "min_age: {other: 7d}\n"})
    clock = SetClock()
    tick(site, clock)
    clock.forward(timedelta(days=7))
    tick(site, clock)
    fate = {one["name"]: one["disposition"] for one in site.report()["plan"]["updates"]}
    assert (fate["pair"], fate["pair-data"]) == ("planned", "planned")
