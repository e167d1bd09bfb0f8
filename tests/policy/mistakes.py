"""Typical mistakes of people who write policy, and what looks like one and is right.

Each is a tree beside a small policy that works. What is said of it is in
``tests/golden/policy/mistakes.txt``.
"""

from tests.policy.trees import MIDNIGHT

WORKING: dict[str, str | bytes] = {
    "schedules/night.yaml": MIDNIGHT,
    "policies/all.yaml": "kind: Policy\nname: all\naction: apply\nschedule: night\n",
}
"""Everything is applied each night."""

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEuWhV/THmAFVduB9OZx/z6lTKJyyizmu/R9iS1nRMHq"
PIN = f"sha256:{'a' * 64}"
Tree = dict[str, str | bytes]


def policy(text: str) -> Tree:
    return {**WORKING, "policies/p.yaml": f"kind: Policy\nname: p\npriority: 5\n{text}"}


def schedule(window: str) -> Tree:
    return {
        **WORKING,
        "schedules/night.yaml": f"kind: Schedule\nname: night\ntimezone: UTC\nwindows:\n- {window}\n",
    }


def freeze(text: str) -> Tree:
    return {**WORKING, "freezes/f.yaml": f"kind: Freeze\nname: f\n{text}"}


def exception(text: str) -> Tree:
    return {**WORKING, "exceptions/e.yaml": f"kind: Exception\nname: e\n{text}"}


def approval(text: str) -> Tree:
    return {**policy("approval: required\n"), "approvals/a.yaml": f"kind: Approval\nname: a\n{text}"}


def host(text: str, path: str = "hosts/h.yaml") -> Tree:
    return {**WORKING, path: f"kind: Host\n{text}"}


def file(path: str, text: str | bytes) -> Tree:
    return {**WORKING, path: text}


FREEZE = "from: 2026-12-20\nuntil: 2027-01-04\ntimezone: Europe/Berlin\nreason: year end\n"
HOLD = "packages: nginx\naction: hold\nreason: r\n"
WEEK = "expires: 2026-12-24\n"
RINGS = "kind: Rollout\nname: monthly\nrings: [{name: first}, {name: rest}]\n"

MISTAKES: dict[str, Tree] = {
    # keys and values of a Policy
    "an unknown value": policy("updates: securty\n"),
    "a value in capitals": policy("updates: Security\n"),
    "a value of another tool": policy("action: install\n"),
    "auto as an action": policy("action: auto\n"),
    "an unknown key": policy("updtes: all\n"),
    "a key in camel case": policy("minAge: {other: 7d}\n"),
    "a key with a hyphen": policy("min-age: {other: 7d}\n"),
    "a key of another level": policy("when: if-required\n"),
    "a nested key that is unknown": policy("reboot: {time: 5m}\n"),
    "a setting as a mapping": policy("action: {mode: apply}\n"),
    "a value left out": policy("schedule:\n"),
    "null": policy("updates: null\n"),
    "yes for an action": policy("action: yes\n"),
    "true for an action": policy("action: true\n"),
    "min_age as a duration": policy("min_age: 7d\n"),
    "a severity that no advisory has": policy("updates: security\nseverity: catastrophic\n"),
    "a severity of another scale": policy("updates: security\nseverity: high\n"),
    "a severity as advisories write it": policy("updates: security\nseverity: Important\n"),
    "severities as a list": policy("updates: security\nseverity: [critical, important]\n"),
    "a severity of all updates": policy("updates: all\nseverity: critical\n"),
    "a severity for apt": policy("match: {manager: [apt, dnf]}\nupdates: security\nseverity: critical\n"),
    "a severity for pacman": policy("match: {manager: pacman}\nseverity: critical\n"),
    "a kind that no advisory has": policy("kinds: [security, bugfixes]\n"),
    "kinds beside security updates": policy("updates: security\nkinds: [security, bugfix]\n"),
    "kinds for apt": policy("match: {manager: apt}\nkinds: [security, bugfix]\n"),
    "as_of as an age": policy("as_of: 7d\n"),
    "as_of with a time": policy('as_of: "2026-12-01 18:00"\n'),
    "as_of of a day that does not exist": policy("as_of: 2026-02-30\n"),
    "as_of as a mapping": policy("as_of: {date: 2026-12-01}\n"),
    "deadline as a duration": policy("deadline: 14d\n"),
    "refresh as a duration": policy("refresh: 6h\n"),
    "reboot as true": policy("reboot: true\n"),
    "reboot as a word": policy("reboot: if-required\n"),
    "reboot as false": policy("reboot: false\n"),
    "inhibit as a word": policy("inhibit: defer\n"),
    "restart_services as a word": policy("restart_services: restart\n"),
    "health as a list": policy("health: [nginx]\n"),
    "hooks as a command": policy("hooks: /usr/local/bin/before\n"),
    "a command as a hook": policy("hooks: {pre: /usr/local/bin/before}\n"),
    "concurrency as a number": policy("concurrency: 1\n"),
    "rollout as a name": policy("rollout: monthly\n"),
    "sources as a list": policy('sources: ["o=Debian"]\n'),
    "match as a name": policy("match: web-01\nbudget: 1h\n"),
    "labels as a list": policy("match: {labels: [env=production]}\nbudget: 1h\n"),
    "labels as a text": policy("match: {labels: env=production}\nbudget: 1h\n"),
    "notify as a mapping": policy("notify: {to: ops, on: failed}\n"),
    "notify as a name": policy("notify: ops\n"),
    "a route without events": policy("notify: [{to: ops}]\n"),
    "a route with an unknown event": policy("notify: [{to: ops, on: faild}]\n"),
    "a route for everything": policy('notify: [{to: ops, on: "*"}]\n'),
    "an address in a route": policy('notify: [{to: "mailtos://bot:hunter2@mail.example.org", on: failed}]\n'),
    "an address with a token": policy(
        'notify: [{to: "https://hooks.example.org/services/T0/B0/s3cr3t", on: failed}]\n'
    ),
    "a list of lists": policy("schedule: [[night]]\n"),
    "a name with a blank": {**WORKING, "policies/p.yaml": "kind: Policy\nname: my policy\nbudget: 1h\n"},
    "a priority in words": policy("budget: 1h\n")
    | {"policies/p.yaml": "kind: Policy\nname: p\npriority: high\n"},
    "a priority that is negative": {**WORKING, "policies/p.yaml": "kind: Policy\nname: p\npriority: -1\n"},
    "a priority beyond": {**WORKING, "policies/p.yaml": "kind: Policy\nname: p\npriority: 5000\n"},
    "a priority with a point": {**WORKING, "policies/p.yaml": "kind: Policy\nname: p\npriority: 1.5\n"},
    "two policies of one name": {**WORKING, "policies/b.yaml": "kind: Policy\nname: all\nbudget: 1h\n"},
    # durations
    "a number without a unit": policy("budget: 30\n"),
    "a number in quotes": policy('budget: "30"\n'),
    "a unit that is a word": policy("budget: 30 minutes\n"),
    "a unit of months": policy("min_age: {other: 1M}\n"),
    "a unit of years": policy("deadline: {other: 1y}\n"),
    "units in the wrong order": policy("budget: 30m1h\n"),
    "a part of an hour": policy("budget: 1.5h\n"),
    "an ISO duration": policy("budget: PT1H\n"),
    "a negative duration": policy("budget: -1h\n"),
    "no budget": policy("budget: 0m\n"),
    "no deadline written as zero": policy("deadline: {other: 0d}\n"),
    "a limit without a unit": policy("download_limit: 2000000\n"),
    "a limit in bits": policy("download_limit: 2Mbit\n"),
    "a limit too low for anything": policy("download_limit: 1K\n"),
    "slots of nothing": policy("concurrency: {group: g, slots: 0}\n"),
    "slots as a percentage": policy("concurrency: {group: g, slots: 25%}\n"),
    # health, scripts, sources
    "a port alone": policy("health: {tcp: [80]}\n"),
    "a port that is none": policy('health: {tcp: ["localhost:99999"]}\n'),
    "a URL without a scheme": policy('health: {http: ["localhost/healthz"]}\n'),
    "a URL with a password": policy('health: {http: ["http://admin:hunter2@localhost/"]}\n'),
    "a unit with a blank": policy('health: {units: ["nginx, redis"]}\n'),
    "a pin without its kind": policy(f"scripts: {{apt-update.sh: {'a' * 64}}}\n"),
    "a pin of a script that is none": policy(f'scripts: {{apt.sh: "{PIN}"}}\n'),
    "a source with a wrong field": policy('sources: {only: "origin=Debian"}\n'),
    "removals of a whole line": policy('allow_removals: ["foo bar"]\n'),
    # match
    "a match of an unknown key": policy("match: {hostname: web-01}\nbudget: 1h\n"),
    "a match of groups": policy("match: {groups: [web]}\nbudget: 1h\n"),
    "a system with a blank": policy('match: {os: "Debian 12"}\nbudget: 1h\n'),
    "a system as a number": policy("match: {os: 12}\nbudget: 1h\n"),
    "a manager by its program": policy("match: {manager: apt-get}\nbudget: 1h\n"),
    "yum": policy("match: {manager: yum}\nbudget: 1h\n"),
    "an empty list": policy("match: {name: []}\nbudget: 1h\n"),
    "an empty not": policy("match: {not: {}}\nbudget: 1h\n"),
    "an empty label": policy("match: {labels: {}}\nbudget: 1h\n"),
    "a label that is a number": policy("match: {labels: {tier: 1}}\nbudget: 1h\n"),
    "a label that is true": policy("match: {labels: {web: true}}\nbudget: 1h\n"),
    "names with commas": policy("match: {name: 'web-01, web-02'}\nbudget: 1h\n"),
    "a key that is a number": policy("match: {labels: {1: a}}\nbudget: 1h\n"),
    "security of pacman": policy("updates: security\nmatch: {manager: pacman}\n"),
    # schedules
    "a schedule that is not there": policy("schedule: nigth\n"),
    "a schedule beside another": policy("schedule: [night, weekend]\n"),
    "a cron expression as a start": schedule('{start: "0 22 * * 6", duration: 3h}'),
    "a cron word as a start": schedule('{start: "@daily", duration: 3h}'),
    "twelve hours": schedule('{start: "Sun 10pm", duration: 3h}'),
    "twelve hours with a blank": schedule('{start: "Sun 10:30 PM", duration: 3h}'),
    "a day in words": schedule('{start: "Sundays 02:00", duration: 3h}'),
    "a day in German": schedule('{start: "So 02:00", duration: 3h}'),
    "every day in words": schedule('{start: "every day at 02:00", duration: 3h}'),
    "an hour beyond": schedule('{start: "Sun 24:00", duration: 3h}'),
    "a zone in a start": schedule('{start: "Sun 02:00 Europe/Berlin", duration: 3h}'),
    "an end instead of a duration": schedule('{start: "Sun 02:00", end: "05:00"}'),
    "a window without a duration": schedule('{start: "Sun 02:00"}'),
    "a window too short": schedule('{start: "Sun 02:00", duration: 30m}'),
    "a window too long": schedule('{start: "Sun 02:00", duration: 60d}'),
    "a splay longer than the window": schedule('{start: "Sun 02:00", duration: 2h, splay: 3h}'),
    "a window that leaves no room after its splay": schedule(
        '{start: "Sun 02:00", duration: 2h, splay: 90m}'
    ),
    "six fields of cron": schedule('{cron: "0 0 22 * * 6", duration: 3h}'),
    "four fields of cron": schedule('{cron: "0 22 * *", duration: 3h}'),
    "a cron minute beyond": schedule('{cron: "60 22 * * 6", duration: 3h}'),
    "an impossible day of cron": schedule('{cron: "0 22 30 2 *", duration: 3h}'),
    "an OnCalendar expression as cron": schedule('{cron: "Sun 02:00", duration: 3h}'),
    "two kinds of start": schedule('{start: "Sun 02:00", cron: "0 2 * * 0", duration: 3h}'),
    "no start": schedule("{duration: 3h}"),
    "a rule without a time": schedule('{rrule: "FREQ=MONTHLY;BYDAY=2TU", duration: 3h}'),
    "a day of a rule in three letters": schedule(
        '{rrule: "FREQ=MONTHLY;BYDAY=2TUE", at: "22:00", duration: 3h}'
    ),
    "a rule without a frequency": schedule('{rrule: "BYDAY=2TU", at: "22:00", duration: 3h}'),
    "a rule of every hour": schedule('{rrule: "FREQ=HOURLY", at: "22:00", duration: 3h}'),
    "a rule of intervals without a begin": schedule(
        '{rrule: "FREQ=WEEKLY;INTERVAL=2", at: "22:00", duration: 3h}'
    ),
    "a time without a zero": schedule('{rrule: "FREQ=DAILY", at: "1:00", duration: 3h}'),
    "an offset of hours": schedule('{rrule: "FREQ=DAILY", at: "22:00", offset: 6h, duration: 3h}'),
    "a calendar that is not there": schedule("{ics: calendars/board.ics}"),
    "a calendar elsewhere": schedule("{ics: ../board.ics}"),
    "a city as a zone": {**WORKING, "schedules/night.yaml": MIDNIGHT.replace("UTC", "Berlin")},
    "a short name as a zone": {**WORKING, "schedules/night.yaml": MIDNIGHT.replace("UTC", "CEST")},
    "an offset as a zone": {**WORKING, "schedules/night.yaml": MIDNIGHT.replace("UTC", '"+02:00"')},
    "a zone misspelt": {**WORKING, "schedules/night.yaml": MIDNIGHT.replace("UTC", "Europe/Berln")},
    "no zone": {**WORKING, "schedules/night.yaml": MIDNIGHT.replace("timezone: UTC\n", "")},
    "windows as a mapping": {
        **WORKING,
        "schedules/night.yaml": "kind: Schedule\nname: night\ntimezone: UTC\n"
        'windows: {start: "02:00", duration: 3h}\n',
    },
    "no windows": {
        **WORKING,
        "schedules/night.yaml": "kind: Schedule\nname: night\ntimezone: UTC\nwindows: []\n",
    },
    "a calendar that is no calendar": file("calendars/c.ics", "BEGIN:VEVENT\n"),
    # freezes
    "a freeze that ends before it begins": freeze(FREEZE.replace("2027-01-04", "2026-01-04")),
    "a freeze without a reason": freeze(FREEZE.replace("reason: year end\n", "")),
    "a freeze without an end": freeze(FREEZE.replace("until: 2027-01-04\n", "")),
    "a freeze from start to end": freeze("start: 2026-12-20\nend: 2027-01-04\ntimezone: UTC\nreason: r\n"),
    "a day by points": freeze(FREEZE.replace("2026-12-20", "20.12.2026")),
    "a day by slashes": freeze(FREEZE.replace("2026-12-20", "12/20/2026")),
    "a day that does not exist": freeze(FREEZE.replace("2027-01-04", "2027-02-30")),
    "an instant with its zone": freeze(FREEZE.replace("2026-12-20", "2026-12-20T18:00:00Z")),
    "a freeze that allows critical": freeze(FREEZE + "allow: critical\n"),
    "a freeze in a misnamed folder": file("freeze/f.yaml", f"kind: Freeze\nname: f\n{FREEZE}"),
    "a freeze at the top": file("year-end.yaml", f"kind: Freeze\nname: f\n{FREEZE}"),
    "a freeze in capitals": file("Freezes/f.yaml", f"kind: Freeze\nname: f\n{FREEZE}"),
    "a freeze that is hidden": file("freezes/.f.yaml", f"kind: Freeze\nname: f\n{FREEZE}"),
    "a freeze with another suffix": file("freezes/f.yml", f"kind: Freeze\nname: f\n{FREEZE}"),
    "a freeze in a folder below": file("freezes/2026/f.yaml", f"kind: Freeze\nname: f\n{FREEZE}"),
    # exceptions and approvals
    "a hold without an end": exception(HOLD),
    "a hold for ever": exception(f"{HOLD}expires: never\n"),
    "a hold without a reason": exception("packages: nginx\naction: hold\n" + WEEK),
    "a hold with a version in its name": exception(HOLD.replace("nginx", "nginx=1.22") + WEEK),
    "packages in one text": exception(HOLD.replace("nginx", '"nginx redis"') + WEEK),
    "a version as a number": exception(f"{HOLD}versions: 1.10\n{WEEK}"),
    "a version without a sign": exception(f'{HOLD}versions: "1.10"\n{WEEK}'),
    "an action that is unknown": exception(HOLD.replace("hold", "pin") + WEEK),
    "a lonely package key": exception(HOLD.replace("packages", "package") + WEEK),
    "a digest cut short": approval(f"plan: sha256:cd6f35493b46\n{WEEK}"),
    "a digest without its kind": approval(f"plan: {'a' * 64}\n{WEEK}"),
    "an approval of nothing": approval(WEEK),
    "an approval of both": approval(f"plan: {PIN}\nversions: {{nginx: '1'}}\n{WEEK}"),
    "an approval of patterns": approval(f'versions: {{"nginx*": "1.22"}}\n{WEEK}'),
    "an approval of a list": approval(f"versions: [nginx]\n{WEEK}"),
    "an approval without an end": approval(f"plan: {PIN}\n"),
    # hosts and rollouts
    "a host in capitals": host("name: Web-01\n"),
    "a host with a point of a domain at its end": host("name: web-01.example.org.\n"),
    "labels of a host as a list": host("name: web-01\nlabels: [web]\n"),
    "a label of a host that is a number": host("name: web-01\nlabels: {tier: 1}\n"),
    "a machine id by dashes": host("name: web-01\nmachine_id: 4b1d0c7f-9e2a-4d5f-8a6b-3c2d1e0f9a8b\n"),
    "a private key": host('name: web-01\nreport_key: "-----BEGIN OPENSSH PRIVATE KEY-----"\n'),
    "two hosts of one name": {**host("name: web-01\n"), "hosts/i.yaml": "kind: Host\nname: web-01\n"},
    "a ring that is not there": policy("rollout: {name: monthly, ring: frist}\n")
    | {"rollouts/r.yaml": RINGS},
    "a rollout that is not there": policy("rollout: {name: weekly, ring: first}\n")
    | {"rollouts/r.yaml": RINGS},
    "one ring": file("rollouts/r.yaml", "kind: Rollout\nname: r\nrings: [{name: a}]\n"),
    "health of a ring as a number": file("rollouts/r.yaml", RINGS + "healthy: 95\n"),
    "two policies that differ for one host": {
        **policy("action: plan\n"),
        "policies/q.yaml": "kind: Policy\nname: q\npriority: 5\naction: download\n",
        **host("name: web-01\n"),
    },
    # files
    "an unknown kind": file("policies/p.yaml", "kind: Polcy\nname: p\n"),
    "no kind": file("policies/p.yaml", "name: p\nupdates: all\n"),
    "a kind in small letters": file("policies/p.yaml", "kind: policy\nname: p\nbudget: 1h\n"),
    "a document of Kubernetes' form": file(
        "policies/p.yaml",
        "apiVersion: v1\nkind: Policy\nmetadata:\n  name: p\nspec:\n  updates: all\n",
    ),
    "a document in the wrong folder": file("policies/h.yaml", "kind: Host\nname: web-01\n"),
    "an empty file": file("policies/p.yaml", ""),
    "a file of comments": file("policies/p.yaml", "# to be written\n"),
    "a list of documents": file("policies/p.yaml", "- kind: Policy\n  name: p\n"),
    "a text": file("policies/p.yaml", "Policy\n"),
    "a tab": file("policies/p.yaml", "kind: Policy\n\tname: p\n"),
    "an indent too much": file("policies/p.yaml", "kind: Policy\n name: p\n"),
    "a colon in a text": file("policies/p.yaml", "kind: Policy\nname: p\ndescription: why: because\n"),
    "an open quote": file("policies/p.yaml", 'kind: Policy\nname: "p\n'),
    "an open bracket": file("policies/p.yaml", "kind: Policy\nname: p\nschedule: [night\n"),
    "a key twice": file("policies/p.yaml", "kind: Policy\nname: p\nupdates: all\nupdates: none\n"),
    "an anchor": file("policies/p.yaml", "kind: Policy\nname: &p p\nbudget: 1h\n"),
    "a merge key": file("policies/p.yaml", "kind: Policy\nname: p\n<<: {budget: 1h}\n"),
    "a tag": file("policies/p.yaml", "kind: Policy\nname: !!str p\nbudget: 1h\n"),
    "an unresolved conflict": file(
        "policies/p.yaml",
        "kind: Policy\nname: p\n<<<<<<< HEAD\nbudget: 1h\n=======\nbudget: 2h\n>>>>>>> branch\n",
    ),
    "a template": file("policies/p.yaml", "kind: Policy\nname: {{ name }}\nbudget: 1h\n"),
    "Latin-1": file("policies/p.yaml", "kind: Policy\nname: p\ndescription: für alle\n".encode("latin-1")),
    "UTF-16": file("policies/p.yaml", "kind: Policy\nname: p\n".encode("utf-16")),
    "a file of another suffix": file("policies/p.txt", "kind: Policy\nname: p\n"),
    "a copy of an editor": file("policies/p.yaml~", "kind: Policy\nname: p\n"),
    "a README among policies": file("policies/README.md", "# Policies\n"),
    "an unknown key of the repository": file("patchledger.yaml", "require: '>=0.1'\n"),
    "a requirement that is none": file("patchledger.yaml", "requires: 0.1\n"),
    "a requirement in words": file("patchledger.yaml", "requires: latest\n"),
    "a requirement of later": file("patchledger.yaml", "requires: '>=99'\n"),
    "a repository file of another suffix": file("patchledger.yml", "requires: '>=0.1'\n"),
    "a key of two roles": {
        **host(f'name: web-01\nreport_key: "{KEY}"\n'),
        "trust/allowed_signers": f"ops {KEY}\n",
    },
    "a script that nobody pins": file("scripts/apt-update.sh", "#!/bin/sh\n"),
}
"""What is refused, or warned of."""

RIGHT: dict[str, Tree] = {
    "a rule with its own name": schedule('{rrule: "RRULE:FREQ=DAILY", at: "22:00", duration: 3h}'),
    "a byte order mark": file("policies/p.yaml", b"\xef\xbb\xbfkind: Policy\nname: p\nbudget: 1h\n"),
    "lines of Windows": file("policies/p.yaml", "kind: Policy\r\nname: p\r\nbudget: 1h\r\n"),
    "a time without quotes": schedule("{start: 22:00, duration: 3h}"),
    "NO as a label": host("name: web-01\nlabels: {country: NO}\n"),
    "yes as a label": host("name: web-01\nlabels: {managed: yes}\n"),
    "JSON": file("policies/p.yaml", '{"kind": "Policy", "name": "p", "budget": "1h"}\n'),
    "one entry where many may stand": policy(
        "health: {units: nginx, tcp: 'localhost:80'}\nallow_removals: foo\n"
    ),
    "several documents": file("policies/p.yaml", "---\nkind: Policy\nname: p\nbudget: 1h\n---\n"),
    "a comment behind a value": policy("budget: 1h # an hour\n"),
    "a version of two numbers in quotes": exception(f'{HOLD}versions: ">= 1.10"\n{WEEK}'),
    "a day of a freeze alone": freeze(FREEZE.replace("2027-01-04", "2026-12-20")),
    "a local time": freeze(FREEZE.replace("2026-12-20", '"2026-12-20 18:00"')),
    "a README, CI files and a licence beside the policy": {
        **WORKING,
        "README.md": "# Policy\n",
        "LICENSE": "",
        ".gitlab-ci.yml": "check: {script: patchledger policy check}\n",
        "docs/freeze.yaml": f"kind: Freeze\nname: f\n{FREEZE}",
    },
    "a document of Kubernetes beside the policy": file("deploy.yaml", "apiVersion: v1\nkind: Policy\n"),
    "an expectation": file("expectations/e.yaml", "kind: Expectation\nname: e\nexpect: {action: apply}\n"),
}
"""What looks like a mistake and is none."""
