"""The models: which values they take, what they refuse, and in which words."""

import inspect
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from reconciler.host import config
from reconciler.host.install import answers
from reconciler.planning.notices import events
from reconciler.policy import documents, values
from reconciler.policy.documents import (
    KINDS,
    Approval,
    Document,
    Freeze,
    Host,
    PackageException,
    Policy,
    Repository,
    Rollout,
    Schedule,
    Settings,
)
from reconciler.policy.values import as_duration, format_duration
from reconciler.policy.yamltext import parse_documents, validate
from reconciler.process import run

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0tVgMq3VtCN1jKQ7d0kk3cIVJkC1rEwXo5l2sBRoCk web-01"
PIN = "sha256:" + "a" * 64
MODELS: dict[str, type[Document]] = dict(KINDS)


def read(text: str) -> Any:
    """Return the document in ``text``, or what is wrong with it, each as one line without its place."""
    found, problems = parse_documents(text.encode(), "f")
    assert problems == []
    assert isinstance(found[0].data, dict)
    result = validate(MODELS[found[0].data["kind"]], found[0], "f")
    if isinstance(result, list):
        return [str(problem).removeprefix("f:") for problem in result]
    return result


def policy(line: str) -> Any:
    return read(f"kind: Policy\nname: p\n{line}\n")


def schedule(entry: str) -> Any:
    return read(f"kind: Schedule\nname: s\ntimezone: Europe/Berlin\nwindows:\n- {entry}\n")


def test_a_policy_may_set_nothing_and_every_setting_is_then_unset() -> None:
    found = policy("")

    assert isinstance(found, Policy)
    assert {getattr(found, name) for name in Settings.model_fields} == {None}
    assert found.priority == 0


def test_policies_and_settings_have_the_same_settings() -> None:
    own = set(Policy.model_fields) - {"kind", "name", "description", "priority", "match"}

    assert own == set(Settings.model_fields)


def test_every_key_of_every_kind_is_described() -> None:
    undescribed = [
        f"{kind}.{name}"
        for kind, model in KINDS.items()
        for name, told in model.model_json_schema()["properties"].items()
        if not told.get("description")
    ]

    assert undescribed == []


def test_the_events_of_routes_are_those_that_notifications_have() -> None:
    assert set(get_args(documents.Event)) == {str(event) for event in events.Event}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("6h", 21600),
        ("0d", 0),
        ("1h30m", 5400),
        ("2w", 1209600),
        ("1w2d3h4m5s", 788645),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert as_duration(text) == timedelta(seconds=seconds)


@given(st.integers(min_value=0, max_value=10**8))
def test_a_duration_written_down_is_read_back_the_same(seconds: int) -> None:
    length = timedelta(seconds=seconds)

    assert as_duration(format_duration(length)) == length


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("budget: 30", "3: budget: has no unit (write 30m for minutes, 30h for hours or 30d for days)"),
        ('budget: "30"', "3: budget: has no unit (write 30m for minutes, 30h for hours or 30d for days)"),
        ("budget: 30 min", "3: budget: is not a duration (write 30m)"),
        ("budget: 1m1h", "3: budget: is not a duration (write 90s, 30m, 6h, 14d, 2w or 1h30m)"),
        ("budget: -5m", "3: budget: is not a duration (write a length, without a sign)"),
        ("budget: [5m]", "3: budget: is not a duration (write 90s, 30m, 6h, 14d, 2w or 1h30m)"),
        ("budget: 0m", "3: budget: must be longer than zero"),
        ("budget:", "3: budget: has no value (give it one, or leave the key out)"),
        (
            "updates: securty",
            '3: updates: "securty" is not one of all, security, none (did you mean security?)',
        ),
        ("updates: true", "3: updates: true is not one of all, security, none"),
        ("actoin: plan", "3: actoin: is not a key here (did you mean action?)"),
        ("reboot: {wen: never}", "3: reboot.wen: is not a key here (did you mean when?)"),
        ("priority: high", '3: priority: "high" is not a whole number'),
        ('priority: "5"', '3: priority: "5" is not a whole number'),
        ("priority: 1001", "3: priority: 1001 is more than 1000"),
        ("priority: -1", "3: priority: -1 is less than 0"),
        ("description: 5", '3: description: 5 is not a text (write "5" with quotes)'),
        ("refresh: 6h", '3: refresh: "6h" is not a mapping of keys'),
        ("allow_removals: {nginx: all}", "3: allow_removals: a mapping is not a list"),
        ("security_sources: Kali", '3: security_sources: "Kali" is no pattern of apt\'s sources'),
        ("security_sources: [{o: x}]", "3: security_sources[0]: "),
        ("security_sources: ['o=Foo, Inc.']", "a value with a comma stands in double quotes"),
        ("security_sources: ['o=x,q=y']", "is no pattern of apt's sources"),
        ("sources: [a]", "3: sources: "),
        ("sources: {only: ['o=x,q=y']}", "is no pattern of package sources"),
        ("sources: {except: ['a\"b']}", "is no pattern of package sources"),
        ("concurrency: {group: web}", "3: concurrency.slots: is required"),
        ("concurrency: {group: web, slots: 0}", "3: concurrency.slots: 0 is less than 1"),
        ("scripts: {apt-update.sh: abc}", '3: scripts.apt-update.sh: "abc" is not a SHA-256 pin'),
        (f'scripts: {{run.sh: "{PIN}"}}', '3: scripts.run.sh: "run.sh" is not the name of a patch script'),
        ("notify: [{to: ops, on: [aplied]}]", "did you mean applied?"),
        ("notify: [{to: ops, on: []}]", "3: notify[0].on: needs at least 1, has 0"),
        ('health: {tcp: ["127.0.0.1"]}', "3: health.tcp[0]: is not host:port"),
        ('health: {tcp: ["a:70000"]}', "3: health.tcp[0]: is not host:port"),
        ('health: {http: ["ftp://a/"]}', "3: health.http[0]: is not a URL"),
        ('health: {http: ["http://a:0/"]}', "3: health.http[0]: is not a URL"),
        ('health: {http: ["http:///x"]}', "3: health.http[0]: is not a URL"),
        ('health: {http: ["http://a b/"]}', "3: health.http[0]: is not a URL"),
        ('health: {http: ["http://u:p@a/"]}', "3: health.http[0]: holds user information"),
        ('health: {units: ["rm -rf /"]}', '3: health.units[0]: "rm -rf /" is not the name of a systemd unit'),
        ("match: {nam: a}", "3: match.nam: is not a key here (did you mean name?)"),
        ("match: {labels: {env: 1.10}}", '3: match.labels.env: 1.1 is not a text (write "1.10" with quotes)'),
        ("match: {labels: {env: true}}", 'write "true" with quotes'),
        ("match: {labels: {}}", "3: match.labels: needs at least 1, has 0"),
        ("match: {labels: {-x: a}}", '3: match.labels.-x: "-x" is not a label\'s name'),
        ("match: {manager: yum}", '3: match.manager: "yum" is not one of apt, dnf, zypper, pacman'),
        ("match: {not: {}}", "3: match.not: is empty, so nothing at all is selected"),
        ("match: {not: {not: {os: [a, 1]}}}", "3: match.not.not.os[1]: 1 is not a text"),
        (
            "match: {manager: [apt, pacman]}\nupdates: security",
            "4: updates: pacman cannot tell security updates",
        ),
        ("rollout: {name: a}", "3: rollout.ring: is required"),
    ],
)
def test_a_wrong_policy_is_told_where_and_how(line: str, told: str) -> None:
    problems = policy(line)

    assert len(problems) == 1, problems
    assert told in problems[0]


def test_single_values_may_stand_for_lists_of_one() -> None:
    found = policy("schedule: night\nmatch: {name: a, labels: {env: b}, os: c, manager: apt}")

    assert found.schedule == ("night",)
    assert found.match.name == ("a",)
    assert found.match.labels == {"env": ("b",)}
    assert found.match.os == ("c",)
    assert found.match.manager == ("apt",)


def test_documents_do_not_change() -> None:
    found = policy("updates: all")

    with pytest.raises(ValueError, match="frozen"):
        found.updates = "none"


@pytest.mark.parametrize(
    "entry",
    [
        '{start: "Sun 02:00", duration: 3h}',
        '{cron: "0 22 * * 6", duration: 4h, timezone: UTC}',
        '{rrule: "FREQ=MONTHLY;BYDAY=2TU", at: "22:00", offset: 4d, duration: 4h, splay: 20m}',
        '{rrule: "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", at: 22:00, from: 2026-01-05, duration: 4h}',
        "{ics: calendars/change-board.ics}",
    ],
)
def test_windows_are_read(entry: str) -> None:
    assert isinstance(schedule(entry), Schedule)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('{start: "Sun 02:00"}', "5: windows[0].duration: is required"),
        (
            '{start: "Sun 02:00", cron: "0 2 * * *", duration: 3h}',
            "needs exactly one of start, cron, rrule and ics",
        ),
        ("{duration: 3h}", "5: windows[0]: needs exactly one of start, cron, rrule and ics"),
        ("night", "5: windows[0]: needs exactly one of start, cron, rrule and ics"),
        ('{start: "Sunn 02:00", duration: 3h}', "5: windows[0].start: "),
        (
            '{start: "Sun 02:00 UTC", duration: 3h}',
            "5: windows[0].start: names the zone UTC beside `timezone`",
        ),
        ('{start: "Sun 02:00", duration: 3h, at: "10:00"}', "5: windows[0].at: is not a key here"),
        ('{cron: "61 * * * *", duration: 3h}', "5: windows[0].cron: "),
        ('{rrule: "FREQ=MONTHLY;BYDAY=2TU", duration: 3h}', "5: windows[0].at: is required"),
        ('{rrule: "FREQ=OFTEN", at: "22:00", duration: 3h}', "5: windows[0].rrule: "),
        ('{rrule: "FREQ=DAILY;INTERVAL=2", at: "22:00", duration: 3h}', "needs a `from: DATE`"),
        (
            '{rrule: "FREQ=DAILY", at: "24:00", duration: 3h}',
            '5: windows[0].at: "24:00" is not a time of day',
        ),
        (
            '{rrule: "FREQ=DAILY", at: "22:00", offset: 3h, duration: 3h}',
            "5: windows[0].offset: is not in whole days",
        ),
        ("{ics: change-board.ics}", '5: windows[0].ics: "change-board.ics" is not the path of a calendar'),
        ("{ics: calendars/a.ics, duration: 3h}", "5: windows[0].duration: is not a key here"),
        (
            '{start: "Sun 02:00", duration: 3h, splay: 4h}',
            "5: windows[0].splay: 4h is not shorter than the window (3h)",
        ),
        ('{start: "Sun 02:00", duration: 3h, timezone: Berlin}', "did you mean Europe/Berlin?"),
    ],
)
def test_a_wrong_window_is_told_where_and_how(entry: str, told: str) -> None:
    problems = schedule(entry)

    assert len(problems) == 1, problems
    assert told in problems[0]


@pytest.mark.parametrize("zone", ["Berlin", "Europe/Berln", "europe/berlin"])
def test_the_nearest_time_zone_is_offered(zone: str) -> None:
    problems = read(f"kind: Schedule\nname: s\ntimezone: {zone}\nwindows: [{{ics: calendars/a.ics}}]\n")

    assert len(problems) == 1
    assert "did you mean Europe/Berlin" in problems[0]


def freeze(start: str, end: str) -> Any:
    return read(f"kind: Freeze\nname: f\nfrom: {start}\nuntil: {end}\ntimezone: Europe/Berlin\nreason: r\n")


def test_a_bare_date_at_the_end_of_a_freeze_lasts_through_its_day() -> None:
    found = freeze("2026-12-20", "2026-12-20")

    assert isinstance(found, Freeze)
    assert found.from_ == date(2026, 12, 20)
    compiled = found.compiled()
    assert compiled.start == datetime(2026, 12, 19, 23, tzinfo=UTC)
    assert compiled.end == datetime(2026, 12, 20, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("2026-12-20", "2026-12-19", "4: until: is not after `from`"),
        ("2026-12-20 10:00", "2026-12-20 10:00", "4: until: is not after `from`"),
        ("2026-12-20", "2026-02-30", "4: until: does not exist in the calendar"),
        ("2026-12-20", "9999-12-31", "4: until: lies outside 1970 to 9000"),
        ("0001-01-01", "2026-12-31", "3: from: lies outside 1970 to 9000"),
        ("20.12.2026", "2026-12-30", "3: from: is not a date"),
        ("2026-12-20T10:00Z", "2026-12-30", "3: from: carries a zone of its own"),
        ("2026-12-20 10:00+01:00", "2026-12-30", "3: from: carries a zone of its own"),
        ("20261220", "2026-12-30", "3: from: is not a date"),
    ],
)
def test_a_wrong_freeze_is_told_where_and_how(start: str, end: str, told: str) -> None:
    problems = freeze(start, end)

    assert len(problems) == 1, problems
    assert told in problems[0]


def exception(rest: str) -> Any:
    return read(f"kind: Exception\nname: e\naction: hold\nreason: r\n{rest}\n")


def test_an_exception_ends_with_its_day_in_its_zone() -> None:
    found = exception("packages: nginx\nexpires: 2026-12-31\ntimezone: America/New_York")

    assert isinstance(found, PackageException)
    assert found.ends() == datetime(2027, 1, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["nginx", "nginx*", "lib[ab]?", "libc6:amd64", "g++", "linux-image-6.1.0-13-amd64"]
)
def test_package_names_and_patterns(name: str) -> None:
    assert exception(f'packages: ["{name}"]\nexpires: 2026-12-31').packages == (name,)


@pytest.mark.parametrize("versions", [">= 1.22.1-9", ">= 1, < 2", "= 1:2.3~rc1+b2", "!= 3"])
def test_version_ranges(versions: str) -> None:
    assert exception(f'packages: a\nversions: "{versions}"\nexpires: 2026-12-31').versions == versions


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("packages: nginx", "expires: is required"),
        ("packages: []\nexpires: 2026-12-31", "5: packages: needs at least 1, has 0"),
        ("packages: a b\nexpires: 2026-12-31", '5: packages: "a b" is not a package name or pattern'),
        ('packages: "--force"\nexpires: 2026-12-31', "is not a package name or pattern"),
        ("packages: a\nversions: 1.2\nexpires: 2026-12-31", "6: versions: 1.2 is not a text"),
        ('packages: a\nversions: "1.2"\nexpires: 2026-12-31', "is not a range of versions"),
        ('packages: a\nversions: ">= 1 < 2"\nexpires: 2026-12-31', "is not a range of versions"),
        ("packages: a\nexpires: 31.12.2026", "6: expires: is not a date"),
        ("packages: a\nexpires: 2026-12-31\nowner: ''", '7: owner: "" is empty'),
    ],
)
def test_a_wrong_exception_is_told_where_and_how(rest: str, told: str) -> None:
    problems = exception(rest)

    assert len(problems) == 1, problems
    assert told in problems[0]


def approval(rest: str) -> Any:
    return read(f"kind: Approval\nname: a\nexpires: 2026-12-31\n{rest}\n")


def test_an_approval_is_of_a_plan_or_of_versions() -> None:
    assert approval(f"plan: {PIN}").plan == PIN
    assert approval('versions: {openssl: "3.0.17-1~deb12u3"}').versions == {"openssl": "3.0.17-1~deb12u3"}
    assert isinstance(approval(f"plan: {PIN}"), Approval)


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("", "1: needs exactly one of plan and versions"),
        (f'plan: {PIN}\nversions: {{a: "1"}}', "1: needs exactly one of plan and versions"),
        ("plan: sha256:12", '4: plan: "sha256:12" is not a SHA-256 pin'),
        ("versions: {a: 1.10}", 'write "1.10" with quotes'),
        ('versions: {"a*": "1"}', '4: versions.a*: "a*" is not a package name'),
        ("versions: {}", "4: versions: needs at least 1, has 0"),
    ],
)
def test_a_wrong_approval_is_told_where_and_how(rest: str, told: str) -> None:
    problems = approval(rest)

    assert len(problems) == 1, problems
    assert told in problems[0]


def test_a_host_with_everything() -> None:
    found = read(
        f'kind: Host\nname: web-01\nlabels: {{env: a}}\nmachine_id: "{"0" * 32}"\nreport_key: {KEY}\n'
    )

    assert isinstance(found, Host)
    assert found.report_key == KEY


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("name: Web", '2: name: "Web" is not a host id'),
        ("name: a\nlabels: {env: [a]}", "3: labels.env: a list is not a text"),
        ('name: a\nmachine_id: "12"', '3: machine_id: "12" is not a machine id'),
        ("name: a\nreport_key: ssh-rsa AAAA", "3: report_key: is not an SSH public key"),
        (f"name: a\nreport_key: {KEY[:48]}", "3: report_key: is not an SSH public key"),  # cut off
        (f"name: a\nreport_key: {KEY[:32]}", "3: report_key: is not an SSH public key"),
        (
            f"name: a\nreport_key: {KEY.replace('ed25519', 'rsa', 1)}",
            "3: report_key: is not an SSH public key",
        ),
    ],
)
def test_a_wrong_host_is_told_where_and_how(rest: str, told: str) -> None:
    problems = read(f"kind: Host\n{rest}\n")

    assert len(problems) == 1, problems
    assert told in problems[0]


def test_a_rollout_knows_the_order_of_its_rings() -> None:
    found = read("kind: Rollout\nname: r\nrings: [{name: a}, {name: b, healthy: 100%}]\n")

    assert isinstance(found, Rollout)
    assert [found.position(name) for name in ("a", "b", "c")] == [0, 1, None]
    assert [ring.healthy for ring in found.rings] == [None, 100]
    assert found.healthy == 95
    assert found.model_dump(mode="json")["healthy"] == "95%"


def test_what_pydantic_calls_has_a_signature_that_every_interpreter_tells() -> None:
    """Pydantic asks for signatures, and since Python 3.13 ``str.format`` has none that it takes."""
    markers = [
        marker
        for module in (documents, config, answers)
        for name in vars(module)
        for marker in _markers(getattr(module, name))
    ]
    called = [getattr(marker, "func", None) for marker in markers]

    assert values.format_percent in called
    assert [one for one in called if one is not None and not inspect.isfunction(one)] == []


def _markers(annotation: object) -> Iterator[object]:
    """Yield what stands beside the types of an annotation, or of a model's fields, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for field in annotation.model_fields.values():
            yield from (*field.metadata, *_markers(field.annotation))
        return
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            yield from _markers(inner)


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("rings: [{name: a}]", "3: rings: needs at least 2, has 1"),
        ("rings: [{name: a}, {name: a}]", "3: rings[1].name: is the name of an earlier ring, too"),
        ("rings: [{name: a}, {name: b}]\nhealthy: 95", "4: healthy: is not a percentage"),
        ("rings: [{name: a}, {name: b}]\nhealthy: 101%", "4: healthy: is not a percentage"),
    ],
)
def test_a_wrong_rollout_is_told_where_and_how(rest: str, told: str) -> None:
    problems = read(f"kind: Rollout\nname: r\n{rest}\n")

    assert len(problems) == 1, problems
    assert told in problems[0]


def test_the_repository_file_says_what_it_requires() -> None:
    found = validate(Repository, parse_documents(b'requires: ">=1.4, <2"\n', "f")[0][0], "f")

    assert isinstance(found, Repository)
    assert found.requires == ">=1.4, <2"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/healthz", "https://web:8443", "http://[::1]:80/x?y=z@w#v", "http://a.example?x"]
)
def test_urls_and_endpoints(url: str) -> None:
    assert policy(f'health: {{http: ["{url}"], tcp: ["[::1]:443", "localhost:1"]}}').health.http == (url,)


def test_no_source_is_read_to_understand_a_document_or_a_configuration() -> None:
    """All that the descriptions of schemas are made from stays unread: every tick would pay for it."""
    program = """
import linecache, reconciler.host.config, reconciler.policy.documents
from reconciler.policy.documents import Host
Host(kind="Host", name="web-01")
print(sorted(linecache.cache))
"""
    done = run([sys.executable, "-c", program])

    assert (done.text, done.error_text) == ("[]\n", "")
