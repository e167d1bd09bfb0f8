"""A made-up policy repository of a thousand documents, the same on every machine."""

import random
from collections.abc import Callable
from pathlib import Path

SEED = 20261122
KINDS = {
    "policies": 250,
    "schedules": 40,
    "freezes": 20,
    "exceptions": 240,
    "approvals": 60,
    "hosts": 380,
    "rollouts": 10,
}
"""How many documents of each kind: 1,000 in all."""

_ENVIRONMENTS = ("production", "staging", "test")
_ROLES = ("web", "db", "cache", "queue", "mail", "build", "proxy", "desktop")
_SITES = ("berlin", "lyon", "austin", "osaka")
_ZONES = ("Europe/Berlin", "Europe/Paris", "America/Chicago", "Asia/Tokyo", "UTC")
_PACKAGES = (
    "nginx",
    "openssl",
    "postgresql-15",
    "linux-image-amd64",
    "curl",
    "openjdk-17-jre",
    "samba",
    "bind9",
)
_EXTRAS = (
    (0.5, "reboot: {when: if-required, notice: 10m}\nremovals: forbid\non_failure: report\n"),
    (0.4, 'health:\n  units: [ssh, cron]\n  tcp: ["127.0.0.1:22"]\n  settle: 30s\n'),
    (
        0.3,
        "notify:\n  - {to: ops, on: [failed, recovered]}\n  - {to: board, on: [weekly-digest]}\n",
    ),
)
"""Settings beside the usual ones, each in this share of the policies."""

_HEADER = "# yaml-language-server: $schema=../schemas/policy.schema.json\n"


def write(folder: Path) -> list[Path]:
    """Write all documents below ``folder``, one a file but for exceptions, and return the files."""
    chance = random.Random(SEED)  # noqa: S311 - made-up documents, no secrets
    written = []
    for kind, count in KINDS.items():
        (folder / kind).mkdir(parents=True)
        texts = [_WRITERS[kind](number, chance) for number in range(count)]
        together = 4 if kind == "exceptions" else 1
        for start in range(0, count, together):
            file = folder / kind / f"{start:04}.yaml"
            file.write_text(_HEADER + "---\n".join(texts[start : start + together]), encoding="utf-8")
            written.append(file)
    return written


def _labels(chance: random.Random) -> str:
    environment, role, site = map(chance.choice, (_ENVIRONMENTS, _ROLES, _SITES))
    return f"{{env: {environment}, role: {role}, site: {site}}}"


def _policy(number: int, chance: random.Random) -> str:
    text = f"""\
kind: Policy
name: policy-{number:03}
description: What {chance.choice(_ROLES)} servers of site {chance.choice(_SITES)} need beside the rest.
priority: {number}
match:
  labels: {_labels(chance)}
  not: {{name: "{chance.choice(_ROLES)}-0*"}}
updates: {chance.choice(("all", "security"))}
action: {chance.choice(("plan", "apply"))}
schedule: [schedule-{chance.randrange(KINDS["schedules"]):02}]
min_age: {{security: {chance.randrange(3)}d, other: {chance.randrange(3, 15)}d}}
budget: {chance.randrange(20, 90)}m
"""
    return text + "".join(extra for share, extra in _EXTRAS if chance.random() < share)


def _schedule(number: int, chance: random.Random) -> str:
    hour = chance.randrange(24)
    entry = chance.choice(
        (
            f'start: "Sun {hour:02}:00"',
            f'start: "Mon..Fri {hour:02}:30"',
            f'cron: "{chance.randrange(60)} {hour} * * {chance.randrange(7)}"',
            f'rrule: "FREQ=MONTHLY;BYDAY={chance.randrange(1, 5)}TU"\n    at: "{hour:02}:00"\n    offset: 4d',
        )
    )
    zone = chance.choice(_ZONES)
    return (
        f"kind: Schedule\nname: schedule-{number:02}\ntimezone: {zone}\n"
        f"windows:\n  - {entry}\n    duration: {chance.randrange(3, 7)}h\n    splay: 20m\n"
    )


def _freeze(number: int, chance: random.Random) -> str:
    return f"""\
kind: Freeze
name: freeze-{number:02}
match: {{labels: {{env: {chance.choice(_ENVIRONMENTS)}}}}}
from: 2027-{number % 12 + 1:02}-10
until: 2027-{number % 12 + 1:02}-{chance.randrange(12, 28)}
timezone: {chance.choice(_ZONES)}
reason: stocktaking number {number}
allow: {chance.choice(("none", "security"))}
"""


def _exception(number: int, chance: random.Random) -> str:
    package = chance.choice(_PACKAGES)
    return f"""\
kind: Exception
name: exception-{number:03}
packages: ["{package}", "{package}-*"]
versions: ">= {chance.randrange(1, 9)}.{chance.randrange(20)}.{chance.randrange(9)}-{chance.randrange(1, 5)}"
action: {chance.choice(("hold", "block", "allow-as-dependency"))}
match: {{labels: {_labels(chance)}}}
reason: regression {number} of this version, being looked at by its maintainers
owner: {chance.choice(_ROLES)}-team
ticket: CHG-{1000 + number}
expires: 2099-{chance.randrange(1, 13):02}-{chance.randrange(1, 28):02}
"""


def _approval(number: int, chance: random.Random) -> str:
    return f"""\
kind: Approval
name: approval-{number:02}
plan: sha256:{chance.randbytes(32).hex()}
match: {{labels: {_labels(chance)}}}
reason: reviewed in CHG-{2000 + number}
expires: 2099-{chance.randrange(1, 13):02}-19
"""


def _host(number: int, chance: random.Random) -> str:
    return f"""\
kind: Host
name: {chance.choice(_ROLES)}-{number:04}
labels: {_labels(chance)}
machine_id: {chance.randbytes(16).hex()}
"""


def _rollout(number: int, chance: random.Random) -> str:
    return f"""\
kind: Rollout
name: rollout-{number:02}
rings:
  - {{name: first, soak: {chance.randrange(1, 4)}d}}
  - {{name: second, healthy: 98%}}
  - {{name: rest}}
soak: 1d
healthy: 95%
min_hosts: 2
"""


_WRITERS: dict[str, Callable[[int, random.Random], str]] = {
    "policies": _policy,
    "schedules": _schedule,
    "freezes": _freeze,
    "exceptions": _exception,
    "approvals": _approval,
    "hosts": _host,
    "rollouts": _rollout,
}


def full() -> dict[str, str]:
    """Return documents that come near every limit of a revision, by path: the most a tick has to bear."""
    schedules = {f"full-{number}": entries for number, entries in enumerate(_full_windows())}
    names = ", ".join(schedules)
    found = {
        "policies/everything.yaml": f"{_FULL_POLICY}schedule: [{names}]\n",
        "calendars/board.ics": _board(),
        "trust/allowed_signers": f"ops@example.org {_PUBLIC_KEY}\n" * 10_000,
    }
    for name, entries in schedules.items():
        windows = "".join(f"- {entry}\n" for entry in entries)
        found[f"schedules/{name}.yaml"] = (
            f"kind: Schedule\nname: {name}\ntimezone: Europe/Berlin\nwindows:\n{windows}"
        )
    makers = (
        ("hosts", 4000, _full_host),
        ("exceptions", 3000, _full_exception),
        ("freezes", 1000, _full_freeze),
    )
    for folder, number, make in makers:
        for start in range(0, number, 500):
            text = "---\n".join(make(each) for each in range(start, start + 500))
            found[f"{folder}/{start:05}.yaml"] = text
    return found


_FULL_POLICY = """\
kind: Policy
name: everything
upgrade: full
removals: allow
refresh: {every: 520w, stale_after: 520w}
"""
_PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0tVgMq3VtCN1jKQ7d0kk3cIVJkC1rEwXo5l2sBRoCk"
_NEVER = (
    '{rrule: "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYMONTHDAY=15", at: "02:00", duration: 3h}'
)
_COUNTED = '{rrule: "FREQ=WEEKLY;BYDAY=%s;COUNT=100000", from: 1970-01-05, at: "02:00", duration: 3h}'


def _full_windows() -> list[list[str]]:
    weekly = [f'{{start: "Sun {number % 24:02}:{number % 60:02}", duration: 3h}}' for number in range(950)]
    entries = [
        "{ics: calendars/board.ics}",
        *["{start: minutely, duration: 24h}"] * 2,
        *[_NEVER] * 49,
        _COUNTED % "MO",
        *weekly,
    ]
    return [entries[start : start + 100] for start in range(0, len(entries), 100)]


def _board() -> str:
    events = "".join(_event(number) for number in range(950))
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//benchmark//EN\r\n{events}END:VCALENDAR\r\n"


def _event(number: int) -> str:
    rule = "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29\r\n" if number < 50 else ""  # noqa: PLR2004 - some of them
    more = "".join(f"X-FIELD-{each}:text\r\n" for each in range(10))
    return (
        f"BEGIN:VEVENT\r\nUID:{number}\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:Change {number}\r\n{rule}{more}"
        f"DTSTART;TZID=Europe/Berlin:{2024 + number % 9}0229T{number % 24:02}0000\r\nDURATION:PT4H\r\n"
        "CATEGORIES:board\r\nEND:VEVENT\r\n"
    ).replace("0229T", f"{number % 12 + 1:02}{number % 28 + 1:02}T")


def _full_host(number: int) -> str:
    return f"kind: Host\nname: host-{number}\nlabels: {{env: production, role: web}}\n"


def _full_exception(number: int) -> str:
    return (
        f"kind: Exception\nname: hold-{number}\npackages: [package-{number}]\naction: hold\n"
        "reason: a regression\nexpires: 2030-01-01\n"
    )


def _full_freeze(number: int) -> str:
    day = f"{2027 + number // 250}-{number % 12 + 1:02}-{number % 28 + 1:02}"
    return (
        f"kind: Freeze\nname: freeze-{number}\nfrom: {day}\nuntil: {day}\ntimezone: UTC\nreason: a holiday\n"
    )
