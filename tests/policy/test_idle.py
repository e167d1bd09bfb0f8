"""What is valid and yet has no effect is told, each kind by its name; what works is not."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.policy.idle import check_idle
from tests.policy.trees import MIDNIGHT, loaded

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
PIN, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "policy-warnings.md"

WORKING = {
    "schedules/night.yaml": MIDNIGHT,
    "policies/all.yaml": "kind: Policy\nname: all\naction: apply\nschedule: night\n",
}
"""Everything is applied each night."""


def policy(text: str, name: str = "p") -> str:
    return f"kind: Policy\nname: {name}\npriority: 5\n{text}"


def host(name: str, labels: str = "{}") -> dict[str, str]:
    return {f"hosts/{name}.yaml": f"kind: Host\nname: {name}\nlabels: {labels}\n"}


def guest(name: str) -> dict[str, str]:
    return {f"hosts/{name.replace('/', '-')}.yaml": f"kind: Host\nname: {name}\nlabels: {{role: web}}\n"}


def exception(text: str) -> dict[str, str]:
    head = "kind: Exception\nname: e\nreason: r\n"
    return {"exceptions/e.yaml": head + text, **WORKING}


def freeze(text: str) -> dict[str, str]:
    return {"freezes/f.yaml": f"kind: Freeze\nname: f\ntimezone: UTC\nreason: r\n{text}", **WORKING}


def windows(text: str) -> dict[str, str]:
    schedule = f"kind: Schedule\nname: night\ntimezone: UTC\nwindows:\n{text}"
    return {**WORKING, "schedules/night.yaml": schedule}


def approval(text: str) -> dict[str, str]:
    return {"approvals/a.yaml": f"kind: Approval\nname: a\nplan: {PIN}\n{text}"}


APPROVED = {**WORKING, "policies/p.yaml": policy("approval: required\n")}
SECURITY = {**WORKING, "policies/p.yaml": policy("updates: security\n")}
LATER = "expires: 2027-05-01\n"
HOSTS = {**host("web-01", "{env: production}"), **host("pay-01", "{env: staging}")}


def told(tree: dict[str, str]) -> list[str]:
    found = check_idle(loaded(tree), NOW, {"apt-update.sh": PIN})
    return [f"{one} [{one.rule}]" for one in found]


CALENDAR = (
    "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\nUID:1\nDTSTAMP:20200101T000000Z\n"
    "DTSTART:20200101T000000Z\nDTEND:20200101T040000Z\nEND:VEVENT\nEND:VCALENDAR\n"
)

IDLE: dict[str, dict[str, str]] = {
    "apply without schedule": {"policies/p.yaml": policy("action: apply\n")},
    "apply without schedule, hosts named": {"policies/p.yaml": policy("action: apply\n"), **HOSTS},
    "a schedule for other hosts": {
        **WORKING,
        "policies/all.yaml": policy("action: apply\nschedule: night\nmatch: {labels: {env: staging}}\n"),
        "policies/q.yaml": policy("action: apply\nmatch: {labels: {env: production}}\n", "q"),
        **HOSTS,
    },
    "a schedule taken away from a host": {
        **WORKING,
        "policies/p.yaml": policy("match: {name: web-01}\nschedule: []\n"),
        **HOSTS,
    },
    "a budget that no window has room for": {
        **WORKING,
        "policies/p.yaml": policy("match: {name: web-01}\nbudget: 6h\n"),
        **HOSTS,
    },
    "the only window is over": windows('- {start: "2020-01-01 02:00", duration: 3h}\n'),
    "a day that no month has": windows(
        '- {start: "*-02-30 02:00", duration: 3h}\n- {start: "02:00", duration: 3h}\n'
    ),
    "a rule that has ended": windows(
        '- {rrule: "FREQ=DAILY;UNTIL=20200101", at: "02:00", from: 2019-01-01, duration: 3h}\n'
    ),
    "a calendar that has ended": {**windows("- {ics: calendars/c.ics}\n"), "calendars/c.ics": CALENDAR},
    "a freeze that is over": freeze("from: 2025-12-20\nuntil: 2026-01-04\n"),
    "a freeze of years": freeze("from: 2026-12-20\nuntil: 2062-01-04\n"),
    "a notifier that a stronger policy leaves out": {
        "policies/p.yaml": policy("notify: [{to: dba, on: failed}]\nmatch: {labels: {role: db}}\n"),
        "policies/q.yaml": "kind: Policy\nname: q\npriority: 1\nnotify: [{to: ops, on: failed}]\n",
        **host("db-01", "{role: db}"),
    },
    "an expired exception": exception("packages: nginx\naction: hold\nexpires: 2026-03-31\n"),
    "an expired approval": {**APPROVED, **approval("expires: 2026-11-01\n")},
    "an approval of what needs none": {**WORKING, **approval(LATER)},
    "a range that no version is in": exception(
        f'packages: nginx\nversions: ">= 2, < 1"\naction: hold\n{LATER}'
    ),
    "a hold for everything": exception(f'packages: "*"\naction: hold\n{LATER}'),
    "everything as a dependency": exception(f'packages: "*"\naction: allow-as-dependency\n{LATER}'),
    "an include where all is wanted": exception(f"packages: tzdata\naction: include\n{LATER}"),
    "a severity where all updates are wanted": {
        **WORKING,
        "policies/p.yaml": policy("severity: critical\n"),
    },
    "a state of long ago": {**WORKING, "policies/p.yaml": policy("as_of: 2026-09-30\n")},
    "announced without notice": {
        **WORKING,
        "policies/p.yaml": policy("notify: [{to: ops, on: announce}]\nannounce: 0d\n"),
    },
    "asked for an approval that nobody needs": {
        **WORKING,
        "policies/p.yaml": policy("notify: [{to: ops, on: [failed, needs-approval]}]\n"),
    },
    "told of what is overdue without a deadline": {
        **WORKING,
        "policies/p.yaml": policy("notify: [{to: ops, on: overdue}]\n"),
    },
    "told of what is applied where nothing is": {
        "policies/p.yaml": policy("notify: [{to: ops, on: applied}]\n")
    },
    "settings of a run where none is made": {
        "policies/p.yaml": policy("approval: required\nreboot: {when: always}\nannounce: 1d\n")
    },
    "notice of a reboot that never comes": {**WORKING, "policies/p.yaml": policy("reboot: {notice: 10m}\n")},
    "services that are never restarted, where none is": {
        **WORKING,
        "policies/p.yaml": policy("restart_services: {never: docker}\n"),
    },
    "removals allowed twice": {
        **WORKING,
        "policies/p.yaml": policy("removals: allow\nallow_removals: [foo]\n"),
    },
    "a time for steps where there is one": {
        **WORKING,
        "policies/p.yaml": policy("steps: single\nstep_time: 5m\n"),
    },
    "stale before it is read anew": {
        **WORKING,
        "policies/p.yaml": policy("refresh: {every: 2d, stale_after: 6h}\n"),
    },
    "a script that no host has": {
        **WORKING,
        "policies/p.yaml": policy(f'scripts: {{apt-update.sh: "{OTHER}"}}\n'),
    },
    "a snapshot": {**WORKING, "policies/p.yaml": policy("snapshot: required\n"), **HOSTS},
    "slots": {**WORKING, "policies/p.yaml": policy("concurrency: {group: g, slots: 1}\n")},
    "rings": {
        **WORKING,
        "policies/p.yaml": policy("match: {name: web-01}\nrollout: {name: r, ring: a}\n"),
        "rollouts/r.yaml": "kind: Rollout\nname: r\nrings: [{name: a}, {name: b}]\n",
        **HOSTS,
    },
    "documents that nothing names": {
        **WORKING,
        "schedules/other.yaml": MIDNIGHT.replace("night", "other"),
        "rollouts/r.yaml": "kind: Rollout\nname: r\nrings: [{name: a}, {name: b}]\n",
        "calendars/c.ics": CALENDAR,
        "policies/p.yaml": "kind: Policy\nname: p\n",
    },
    "a name that is nearly one": {
        **WORKING,
        "policies/p.yaml": policy("match: {name: pay01}\nupdates: security\n"),
        **HOSTS,
    },
    "a name that no host has": {
        **WORKING,
        "policies/p.yaml": policy("match: {name: mail}\nupdates: security\n"),
        **HOSTS,
    },
    "a label that is misspelt": {
        **freeze("match: {labels: {env: prodcution}}\nfrom: 2026-12-01\nuntil: 2026-12-31\n"),
        **HOSTS,
    },
    "a label's name that is misspelt": {
        **WORKING,
        "policies/p.yaml": policy("match: {labels: {evn: production}}\nbudget: 1h\n"),
        **HOSTS,
    },
    "a guest's document of a hypervisor that is misspelt": {**WORKING, **guest("pve-l/101"), **host("pve-1")},
    "guests of a hypervisor that is misspelt": {
        **WORKING,
        "policies/p.yaml": policy("match: {guest_of: pve-l}\nbudget: 1h\n"),
        **host("pve-1"),
    },
    "guests of what can be no hypervisor": {
        **WORKING,
        "policies/p.yaml": policy("match: {guest_of: PVE1}\nbudget: 1h\n"),
    },
    "a reboot that waits for guests, where none comes": {
        **WORKING,
        "policies/p.yaml": policy("reboot: {guests: respect}\n"),
    },
    "a guest's reboot that waits for guests": {
        **WORKING,
        "policies/p.yaml": policy(
            "match: {guest_of: pve1}\nreboot: {when: if-required, guests: ignore, notice: 2m}\n"
        ),
    },
    "a name that no host can have": {
        **WORKING,
        "policies/p.yaml": policy('match: {name: "Web-*"}\nbudget: 1h\n'),
    },
    "a system by its brand": {**WORKING, "policies/p.yaml": policy("match: {os: Debian-12}\nbudget: 1h\n")},
    "a system by its codename": {
        **WORKING,
        "policies/p.yaml": policy("match: {os: debian-bookworm}\nbudget: 1h\n"),
    },
    "a match that leaves out itself": {
        **WORKING,
        "policies/p.yaml": policy('match: {labels: {a: b}, not: {labels: {a: "*"}}}\nbudget: 1h\n'),
    },
}
"""By what each is called in the golden file, where the sentences are."""

FINE: dict[str, dict[str, str]] = {
    "what works": WORKING,
    "plan only": {"policies/p.yaml": policy("action: plan\n")},
    "a schedule by a policy that may match as well": {
        "schedules/night.yaml": MIDNIGHT,
        "policies/p.yaml": policy("action: apply\nmatch: {labels: {role: web}}\n"),
        "policies/q.yaml": "kind: Policy\nname: q\nschedule: night\nmatch: {os: debian-12}\n",
        **host("web-01", "{role: web}"),
    },
    "a route for what another policy brings": {
        **WORKING,
        "policies/p.yaml": policy("notify: [{to: ops, on: [announce, needs-approval, overdue]}]\n"),
        "policies/q.yaml": "kind: Policy\nname: q\nannounce: 1d\napproval: required\n"
        "deadline: {other: 30d}\nmatch: {labels: {a: b}}\n",
    },
    "routes that name those below again, or nobody": {
        "policies/p.yaml": policy("notify: [{to: ops, on: failed}, {to: dba, on: failed}]\n"),
        "policies/q.yaml": "kind: Policy\nname: q\npriority: 1\nnotify: [{to: ops, on: failed}]\n",
        "policies/r.yaml": "kind: Policy\nname: r\npriority: 20\nnotify: []\nmatch: {name: db-01}\n",
        **host("db-01", "{role: db}"),
        **host("web-01"),
    },
    "a state of last month": {**WORKING, "policies/p.yaml": policy("as_of: 2026-10-02\n")},
    "a severity of security updates": {
        **SECURITY,
        "policies/q.yaml": policy("severity: critical\n", "q"),
    },
    "a severity of what a freeze lets through": {
        **freeze("from: 2026-12-20\nuntil: 2027-01-04\nallow: security\n"),
        "policies/p.yaml": policy("severity: critical\n"),
    },
    "an include among updates of some kinds": {
        **exception(f"packages: tzdata\naction: include\n{LATER}"),
        "policies/p.yaml": policy("kinds: [security, bugfix]\n"),
    },
    "a freeze that comes": freeze("from: 2026-12-20\nuntil: 2027-01-04\n"),
    "an include among security updates": {
        **exception(f"packages: tzdata\naction: include\n{LATER}"),
        **SECURITY,
    },
    "an approval that is wanted": {**APPROVED, **approval(LATER)},
    "a hold of every version from one source": exception(
        f'packages: "*"\nsources: {{only: "o=Docker"}}\naction: hold\n{LATER}'
    ),
    "versions whose order depends on the package manager": exception(
        f'packages: nginx\nversions: ">= 1:1, < 2"\naction: hold\n{LATER}'
    ),
    "versions in order": exception(f'packages: nginx\nversions: ">= 1.9, < 1.10"\naction: hold\n{LATER}'),
    "hosts that have no document": {
        **WORKING,
        "policies/p.yaml": policy("match: {labels: {role: db}}\nbudget: 1h\n"),
        **HOSTS,
    },
    "a label of hosts whose documents do not have it": {
        **WORKING,
        "policies/p.yaml": policy("match: {os: debian-12, labels: {env: staging}}\nbudget: 1h\n"),
        **HOSTS,
    },
    "this version's script": {
        **WORKING,
        "policies/p.yaml": policy(f'scripts: {{apt-update.sh: "{PIN}"}}\n'),
    },
    "a window of leap years": windows('- {start: "*-02-29 02:00", duration: 3h}\n'),
    "guests": {**WORKING, "policies/p.yaml": policy('match: {guest_of: "pve*"}\nbudget: 1h\n')},
    "guests by what runs them": {
        **WORKING,
        "policies/p.yaml": policy("match: {labels: {guest: proxmox}}\nbudget: 1h\n"),
    },
    "what guests have as well": {
        **WORKING,
        "policies/p.yaml": policy(
            "match: {guest_of: pve1}\nreboot: {when: always}\nrestart_services: {mode: restart}\n"
            'health: {units: [a.service], tcp: ["localhost:25"], http: ["http://localhost/"]}\n'
        ),
    },
    "a guest's document": {**WORKING, **guest("pve1/101"), **host("pve1")},
    "a hypervisor's reboot that waits for guests": {
        **WORKING,
        "policies/p.yaml": policy("reboot: {when: if-required, guests: ignore}\n"),
    },
    "not a guest": {**WORKING, "policies/p.yaml": policy('match: {not: {guest_of: "*"}}\nbudget: 1h\n')},
}


def test_what_has_no_effect_is_told_with_its_place_and_what_to_do(
    golden: Callable[[str, bytes], None],
) -> None:
    found = {case: told(tree) for case, tree in IDLE.items()}
    pages = [f"## {case}\n" + "".join(f"{line}\n" for line in lines) for case, lines in found.items()]

    assert [case for case, lines in found.items() if not lines] == []
    golden("policy/idle.txt", "\n".join(pages).encode())


@pytest.mark.parametrize("case", FINE)
def test_what_has_an_effect_is_passed_in_silence(case: str) -> None:
    assert told(FINE[case]) == []


def test_every_kind_is_in_the_reference_and_the_reference_has_no_other() -> None:
    shown = {line.rsplit("[", 1)[1].rstrip("]") for tree in IDLE.values() for line in told(tree)}
    listed = {
        line.split("`")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    }

    assert shown | {"no-policy", "ambiguous", "deadline", "unfinished", "refused"} == listed


def test_what_is_not_compared_since_there_is_too_much_is_told() -> None:
    tree = {"schedules/night.yaml": MIDNIGHT}
    for number in range(500):
        tree[f"policies/p{number}.yaml"] = policy(f"action: apply\nschedule: night\nbudget: {number + 1}s\n")
        tree[f"policies/p{number}.yaml"] = tree[f"policies/p{number}.yaml"].replace(
            "name: p", f"name: p{number}"
        )
        tree |= host(f"h{number}")

    assert told(tree) == [
        "hosts:1: hosts were not judged one by one, since there are too many [unfinished]",
    ]


@pytest.mark.parametrize(
    ("versions", "is_empty"),
    [
        (f">= {'9' * 5000}, < 1", True),
        (f">= 1, < {'9' * 5000}", False),
        (f">= {'0' * 5000}2, < 1", True),
        (">= 1.10, < 1.9", True),
        (">= 1.9, < 1.10", False),
        (">= 1.09, <= 1.9", False),
    ],
)
def test_numbers_of_versions_are_compared_whatever_their_length(versions: str, *, is_empty: bool) -> None:
    tree = exception(f"packages: x\naction: hold\n{LATER}versions: {versions!r}\n")
    assert any(line.endswith("[empty-range]") for line in told(tree)) == is_empty
