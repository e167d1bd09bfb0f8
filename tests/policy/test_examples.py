"""The shipped example repositories: valid, free of warnings, and what their readers and editors rely on."""

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.gitops.revision import read_folder
from reconciler.policy.deadlines import check_deadlines
from reconciler.policy.idle import check_idle
from reconciler.policy.load import PolicyFile, Rejected, Revision, load
from reconciler.policy.match import HostFacts
from reconciler.policy.overlaps import check_overlaps
from reconciler.policy.resolve import Effective, resolve
from reconciler.policy.unfollowed import unfollowed
from reconciler.policy.windows import occurrences
from reconciler.process import run

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
NAMES = ("minimal", "production", "homelab")
FILES = sorted(path for path in EXAMPLES.rglob("*.yaml"))
CHECKER = Path(sys.executable).with_name("check-jsonschema")


def revision(name: str) -> Revision:
    found = load(read_folder(EXAMPLES / name))
    assert isinstance(found, Revision), found
    return found


def shown(name: str, host: HostFacts) -> Effective:
    return resolve(revision(name), host)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_no_problem_and_no_warning(name: str) -> None:
    found = revision(name)

    assert found.warnings == ()
    assert check_overlaps(found) == ((), ())
    assert check_deadlines(found, NOW) + check_idle(found, NOW, {}) == ()
    assert found.requires


@pytest.mark.parametrize("name", NAMES)
def test_an_example_explains_itself_and_names_only_files_that_exist(name: str) -> None:
    readme = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    paths = re.findall(
        r"`((?:policies|schedules|freezes|exceptions|rollouts|calendars|hosts)/[^`]+)`", readme
    )

    assert paths
    assert [path for path in paths if not (EXAMPLES / name / path).exists()] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_file_begins_with_the_line_that_leads_an_editor_to_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)

    assert found is not None
    assert (path.parent / found[1]).resolve().is_file()


@pytest.mark.parametrize("schema", ["policy", "patchledger"])
def test_every_file_satisfies_its_schema_by_an_independent_tool(schema: str) -> None:
    wanted = [path for path in FILES if (path.name == "patchledger.yaml") == (schema == "patchledger")]
    schema_file = EXAMPLES.parents[1] / "schemas" / f"{schema}.schema.json"

    done = run([str(CHECKER), "--schemafile", str(schema_file), *map(str, wanted)], env={"PATH": os.defpath})

    assert len(wanted) >= len(NAMES)
    assert done.returncode == 0, done


def test_the_minimal_example_plans_and_never_applies() -> None:
    found = shown("minimal", HostFacts("any", {}, "debian", "12", "apt"))

    assert found.settings.action == "plan"
    assert [schedule.name for schedule in found.schedules] == ["sunday-night"]


def test_the_production_example_treats_roles_differently() -> None:
    web = shown("production", HostFacts("web-01", {}, "debian", "12", "apt"))
    database = shown("production", HostFacts("db-01", {}, "debian", "12", "apt"))
    staging = shown("production", HostFacts("stage-01", {}, "debian", "12", "apt"))

    assert (web.settings.action, web.settings.approval) == ("apply", "required")
    assert web.settings.health.units == ("ssh", "nginx")
    assert [one.value.name for one in web.freezes] == ["year-end"]
    assert (database.settings.action, database.schedules) == ("download", ())
    assert (staging.settings.updates, staging.freezes) == ("all", ())
    assert not [one for found in (web, database, staging) for one in unfollowed(found.settings) if one.holds]
    assert not web.ambiguities + database.ambiguities + staging.ambiguities


def test_the_homelab_example_tells_hypervisor_and_containers_apart() -> None:
    hosts = ("pve1", "media", "pihole", "unbound", "wiki")
    found = {name: shown("homelab", HostFacts(name, {}, "debian", "12", "apt")) for name in hosts}

    assert {name: one.settings.schedule for name, one in found.items() if one.settings.action == "apply"} == {
        "pve1": ("first-sunday-morning",),
        "media": ("sunday-night",),
        "pihole": ("sunday-night",),
        "unbound": ("sunday-later",),
    }
    assert (found["pve1"].settings.upgrade, found["media"].settings.upgrade) == ("full", "safe")
    assert found["wiki"].settings.action == "plan"
    assert [one.value.name for one in found["media"].exceptions] == ["jellyfin-transcoding"]


def test_staging_runs_days_before_production() -> None:
    web = shown("production", HostFacts("web-01", {}, "debian", "12", "apt"))
    staging = shown("production", HostFacts("stage-01", {}, "debian", "12", "apt"))
    monthly = [next(one for one in web.schedules if one.name == "patch-tuesday-plus-4")]
    begin = datetime(2026, 12, 5, tzinfo=UTC)
    until = datetime(2026, 12, 20, tzinfo=UTC)

    starts = {
        name: [one.start.date().isoformat() for one in occurrences(schedules, begin, until)]
        for name, schedules in (("staging", staging.schedules), ("production", monthly))
    }

    assert starts == {"staging": ["2026-12-09", "2026-12-10", "2026-12-17"], "production": ["2026-12-12"]}


PRODUCTION = read_folder(EXAMPLES / "production")
JUNK = [
    b"null",
    b"[]",
    b"{}",
    b"1e400",
    b"&a ",
    b"*a",
    b"\n",
    b"  ",
    b"!x ",
    b": ",
    b"\t",
    b"2026-02-30",
    b"0w",
]
JUNK += [
    b"FREQ=DAILY;UNTIL=x",
    b"*-*-31",
    b'"\\x00"',
    b"\xff",
    b"kind: Freeze\n",
    b"---\n",
    b"'",
    b'"',
    b"9" * 40,
]


@given(
    st.integers(min_value=0, max_value=len(PRODUCTION) - 1),
    st.floats(min_value=0, max_value=1),
    st.integers(min_value=0, max_value=20),
    st.sampled_from(JUNK),
)
@settings(max_examples=150)
def test_a_damaged_repository_is_refused_or_usable_and_never_a_crash(
    which: int, where: float, removed: int, junk: bytes
) -> None:
    files = list(PRODUCTION)
    victim = files[which]
    cut = int(where * len(victim.data))
    data = victim.data[:cut] + junk + victim.data[cut + removed :]
    files[which] = PolicyFile(victim.path, victim.mode, data)

    found = load(files)

    if isinstance(found, Revision):
        host = HostFacts("web-01", {}, "debian", "12", "apt")
        assert len(resolve(found, host).settings.model_dump(mode="json")) > 0
        assert check_overlaps(found)[0] == () or victim.path.startswith(("policies/", "hosts/"))
    elif isinstance(found, Rejected):
        assert all(problem.line >= 1 and problem.message for problem in found.problems)
