"""Changes of policy that small machines are tried with: what it was, and what it becomes.

A policy is told by its files, beside a base that plans everything for the night.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.e2e.site import BEFORE, POLICY, SCHEDULE

Files = Mapping[str, str | None]
"""Text by path; ``None`` of a usual file that is not there."""

_DAY = f"{BEFORE:%Y-%m-%d}"
_LATER = f"{BEFORE + timedelta(days=40):%Y-%m-%d}"
BASE = "policies/base.yaml"
NIGHTLY = "schedules/nightly.yaml"
USUAL: Files = {BASE: POLICY, NIGHTLY: SCHEDULE}


@dataclass(frozen=True)
class Edit:
    """One change of policy.

    Attributes:
        old: What the policy has otherwise than usual.
        new: Likewise, when it is changed.
        settings: Keys of the settings that are told to differ.
        documents: What begins, ends or changes, such as ``Exception one begins``.
        is_exact: What the host was asked answers it whole, on every package manager.
        needs_security: It is about security updates, which pacman does not know.
        at: When it is judged.
    """

    old: Files
    new: Files
    settings: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    is_exact: bool = False
    needs_security: bool = False
    at: datetime = BEFORE


def exception(name: str, action: str, *packages: str, **more: str) -> Files:
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


def policy(settings: str) -> Files:
    """Return the base with more settings."""
    return {BASE: POLICY + settings}


def second(settings: str, priority: int = 50, match: str = "") -> Files:
    """Return one more Policy."""
    return {"policies/second.yaml": f"kind: Policy\nname: second\npriority: {priority}\n{match}{settings}"}


def freeze(allow: str, until: str = _LATER) -> Files:
    """Return a Freeze that holds already."""
    span = f"from: {_DAY}\nuntil: {until}\ntimezone: UTC\n"
    text = f"kind: Freeze\nname: now\n{span}reason: a fair\nallow: {allow}\n"
    return {"freezes/now.yaml": text}


def approval(versions: Mapping[str, str], **more: str) -> Files:
    """Return an approval of versions."""
    document = {"kind": "Approval", "name": "one", "versions": versions, "expires": "2099-01-01", **more}
    return {"approvals/one.yaml": json.dumps(document)}


def labelled(**labels: str) -> Files:
    """Return a Host document."""
    return {"hosts/web-01.yaml": json.dumps({"kind": "Host", "name": "web-01", "labels": labels})}


def _hold(*packages: str, **more: str) -> Files:
    return exception("one", "hold", *packages, **more)


def _edit(
    old: Files,
    new: Files,
    settings: str = "",
    documents: str = "",
    *,
    is_exact: bool = False,
    needs_security: bool = False,
    at: datetime = BEFORE,
) -> Edit:
    told = frozenset(one.strip() for one in documents.split(",") if one)
    return Edit(old, new, frozenset(settings.split()), told, is_exact, needs_security, at)


_OTHER = exception("two", "hold", "base")
_NEEDED = exception("one", "hold", "base")
_SECURITY = policy("updates: security\n")
_BEGINS, _ENDS, _CHANGES = "Exception one begins", "Exception one ends", "Exception one changes"


def edits_of_updates(new: str, but: str) -> dict[str, Edit]:
    """Return changes of which updates are wanted.

    Args:
        new: The version that ``plain`` goes to.
        but: How a policy names a source that has some updates, and not all.
    """
    without = policy(f'sources: {{except: ["{but}"]}}\n')
    return {
        "no updates": _edit({}, policy("updates: none\n"), "updates", is_exact=True),
        "updates again": _edit(policy("updates: none\n"), {}, "updates"),
        "security only": _edit({}, _SECURITY, "updates", needs_security=True),
        "no longer security only": _edit(_SECURITY, {}, "updates", needs_security=True),
        "from security to none": _edit(
            _SECURITY, policy("updates: none\n"), "updates", is_exact=True, needs_security=True
        ),
        "security, and one included": _edit(
            _SECURITY,
            {**_SECURITY, **exception("one", "include", "plain")},
            "",
            _BEGINS,
            needs_security=True,
        ),
        "security, and one held": _edit(
            _SECURITY, {**_SECURITY, **_hold("secure")}, "", _BEGINS, needs_security=True
        ),
        "security, and a hold lifted": _edit(
            {**_SECURITY, **_hold("secure")},
            _SECURITY,
            "",
            _ENDS,
            is_exact=True,
            needs_security=True,
        ),
        "a hold lifted, and no longer security only": _edit(
            {**_SECURITY, **_hold("plain")}, {}, "updates", _ENDS, needs_security=True
        ),
        "security updates must be older": _edit(
            _SECURITY,
            policy("updates: security\nmin_age: {security: 30d}\n"),
            "min_age.security",
            needs_security=True,
            is_exact=True,
        ),
        "a hold of what stands alone": _edit({}, _hold("plain"), "", _BEGINS),
        "a hold of what is needed": _edit({}, _NEEDED, "", _BEGINS),
        "a hold of what needs others": _edit({}, _hold("user"), "", _BEGINS),
        "a hold of a pair": _edit({}, _hold("pair*"), "", _BEGINS),
        "a hold of half a pair": _edit({}, _hold("pair-data"), "", _BEGINS),
        "a hold of a version": _edit({}, _hold("plain", versions=f">= {new}"), "", _BEGINS),
        "a hold of nothing offered": _edit({}, _hold("local"), "", _BEGINS, is_exact=True),
        "a hold lifted": _edit(_hold("plain"), {}, "", _ENDS, is_exact=True),
        "a hold of what is needed lifted": _edit(_NEEDED, {}, "", _ENDS, is_exact=True),
        "one of two holds lifted": _edit(
            {**_hold("plain"), **_OTHER}, _hold("plain"), "", "Exception two ends"
        ),
        "a hold that comes to its end": _edit(
            _hold("plain"), _hold("plain", expires="2026-01-01"), "", _ENDS, is_exact=True
        ),
        "a hold that ends later": _edit(
            _hold("plain"), _hold("plain", expires="2098-01-01"), "", _CHANGES, is_exact=True
        ),
        "a block of what comes in new": _edit({}, exception("one", "block", "newdep-lib"), "", _BEGINS),
        "a block lifted": _edit(exception("one", "block", "newdep-lib"), {}, "", _ENDS, is_exact=True),
        "only as a dependency": _edit(
            {}, exception("one", "allow-as-dependency", "base", "plain"), "", _BEGINS
        ),
        "an age that keeps all out": _edit(
            {},
            policy("min_age: {other: 30d, security: 30d}\n"),
            "min_age.other min_age.security",
            is_exact=True,
        ),
        "an age of some": _edit({}, policy("min_age: {other: 7d}\n"), "min_age.other"),
        "no age any more": _edit(policy("min_age: {other: 7d}\n"), {}, "min_age.other"),
        "full upgrades": _edit({}, policy("upgrade: full\n"), "upgrade"),
        "full upgrades that remove": _edit(
            {}, policy("upgrade: full\nremovals: allow\n"), "upgrade removals"
        ),
        "safe upgrades again": _edit(policy("upgrade: full\nremovals: allow\n"), {}, "upgrade removals"),
        "a source that does not count": _edit({}, without, "sources.except"),
        "a source that counts again": _edit(without, {}, "sources.except"),
        "an approval is required": _edit({}, policy("approval: required\n"), "approval", is_exact=True),
        "some versions are approved": _edit(
            policy("approval: required\n"),
            {**policy("approval: required\n"), **approval({"plain": new})},
            "",
            "Approval one begins",
            is_exact=True,
        ),
        "what is enough for all is approved": _edit(
            {
                **policy("approval: required\n"),
                **exception("two", "allow-as-dependency", "[!p]*", "pair*", "phased"),
            },
            {
                **policy("approval: required\n"),
                **exception("two", "allow-as-dependency", "[!p]*", "pair*", "phased"),
                **approval({"plain": new}),
            },
            "",
            "Approval one begins",
            is_exact=True,
        ),
        "a weaker Policy says nothing": _edit(
            policy("priority: 50\n"),
            {**policy("priority: 50\n"), **second("updates: none\n", 10)},
            "updates",
            is_exact=True,
        ),
        "a stronger Policy holds all": _edit(
            policy("updates: all\n"),
            {**policy("updates: all\n"), **second("updates: none\n", 90)},
            "updates",
            is_exact=True,
        ),
        "priorities change places": _edit(
            {**policy("priority: 10\nmin_age: {other: 7d}\n"), **second("min_age: {other: 0d}\n", 90)},
            {**policy("priority: 90\nmin_age: {other: 7d}\n"), **second("min_age: {other: 0d}\n", 10)},
            "min_age.other",
        ),
        "a label of the Host document": _edit(
            {**labelled(tier="gold"), **second("updates: none\n", match="match: {labels: {tier: gold}}\n")},
            {**labelled(tier="lead"), **second("updates: none\n", match="match: {labels: {tier: gold}}\n")},
            "updates",
        ),
        "a Host document goes": _edit(
            {**labelled(env="lab"), **second("updates: none\n", match="match: {labels: {env: test}}\n")},
            second("updates: none\n", match="match: {labels: {env: test}}\n"),
            "updates",
            is_exact=True,
        ),
        "a freeze that security updates pass": _edit(
            {}, freeze("security"), "", "Freeze now begins", needs_security=True
        ),
        "a freeze lets security updates pass": _edit(
            freeze("none"), freeze("security"), "", "Freeze now changes", needs_security=True
        ),
        "security updates pass a freeze, but for one": _edit(
            {**freeze("security"), **_hold("secure")}, freeze("security"), "", _ENDS, needs_security=True
        ),
        "security updates pass a freeze, and one is held": _edit(
            freeze("security"), {**freeze("security"), **_hold("secure")}, "", _BEGINS, needs_security=True
        ),
        "a Policy is deleted": _edit(
            second("removals: allow\nmin_age: {other: 7d}\n"), {}, "removals min_age.other"
        ),
    }


_HOUR = BEFORE.hour
_OTHER_NIGHT = SCHEDULE.replace(f"{(_HOUR + 14) % 24:02}:00", f"{(_HOUR + 12) % 24:02}:00")
_MUCH_LATER = BEFORE + timedelta(hours=3)


def edits_of_the_rest() -> dict[str, Edit]:
    """Return changes of when and how, for which no package manager is asked anything."""
    soon = policy("deadline: {other: 1h, security: 1h}\n")
    return {
        "windows move": _edit({}, {NIGHTLY: _OTHER_NIGHT}),
        "a window more": _edit({}, {NIGHTLY: f'{SCHEDULE}  - {{start: "Sun 01:00", duration: 1h}}\n'}),
        "shorter windows": _edit({}, {NIGHTLY: SCHEDULE.replace("3h", "2h")}),
        "a splay": _edit({}, {NIGHTLY: SCHEDULE.replace("3h", "3h, splay: 20m")}, "splay"),
        "the only Schedule is deleted and no Policy names it": _edit(
            {}, {NIGHTLY: None, BASE: POLICY.replace("schedule: [nightly]\n", "")}, "schedule"
        ),
        "a budget longer than any window": _edit({}, policy("budget: 2h30m\n"), "budget"),
        "a freeze of all": _edit({}, freeze("none"), "", "Freeze now begins"),
        "security updates pass a freeze where nothing else is wanted": _edit(
            {**_SECURITY, **freeze("none")},
            {**_SECURITY, **freeze("security")},
            "",
            "Freeze now changes",
            needs_security=True,
        ),
        "a freeze ends": _edit(freeze("none"), {}, "", "Freeze now ends"),
        "a freeze ends earlier": _edit(freeze("none"), freeze("none", _DAY), "", "Freeze now changes"),
        "plan alone": _edit({}, {BASE: POLICY.replace("action: apply\n", "")}, "action"),
        "reboots": _edit({}, policy("reboot: {when: if-required}\n"), "reboot.when"),
        "a route": _edit({}, policy("notify: [{to: ops, on: [failed]}]\n"), "notify"),
        "a rollout": _edit(
            {},
            {
                **policy("rollout: {name: monthly, ring: first}\n"),
                "rollouts/monthly.yaml": "kind: Rollout\nname: monthly\n"
                "rings: [{name: first}, {name: rest}]\n",
            },
            "rollout.name rollout.ring",
        ),
        "a contradiction": _edit(
            second("lock_wait: 5m\n", 60),
            {
                **second("lock_wait: 5m\n", 60),
                "policies/third.yaml": "kind: Policy\nname: third\npriority: 60\nlock_wait: 7m\n",
            },
            "lock_wait",
        ),
        "a deadline that has passed": _edit({}, soon, "deadline.other deadline.security", at=_MUCH_LATER),
        "a deadline that is far": _edit(
            soon, policy("deadline: {other: 30d}\n"), "deadline.other deadline.security", at=_MUCH_LATER
        ),
    }
