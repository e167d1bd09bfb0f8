"""``windows``: what it prints, as text and JSON, and what it refuses."""

import io
import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli.arguments import build_parser
from reconciler.cli.dispatch import options_of, perform
from reconciler.cli.verbs.windows import HostWindows, WindowsOptions, run
from reconciler.errors import Misuse
from reconciler.policy.windows import Freeze, Schedule, calendar_window, rrule_window

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SUNDAY = Schedule("sunday-night", (calendar_window("Sun 02:00", 3 * HOUR, "Europe/Berlin"),))
TUESDAY = Schedule(
    "patch-tuesday",
    (rrule_window("FREQ=MONTHLY;BYDAY=2TU", "22:00", 4 * HOUR, "Europe/Berlin", offset=timedelta(days=4)),),
)
YEAR_END = Freeze("year-end", datetime(2026, 12, 19, 23, tzinfo=UTC), datetime(2027, 1, 4, 23, tzinfo=UTC))


def _host(folder: str | None) -> HostWindows:
    assert folder in (None, "policies")
    known = {each.name: each for each in (SUNDAY, TUESDAY)}
    return HostWindows((SUNDAY,), known, (YEAR_END,), budget=timedelta(minutes=30))


def _no_configuration(folder: str | None) -> HostWindows:
    raise AssertionError(f"a preview must not read a policy, but asked for {folder}")


def _asked(*argv: str) -> WindowsOptions:
    return options_of(WindowsOptions, build_parser().parse_args(["windows", *argv]))


def windows(
    *argv: str, host: Callable[[str | None], HostWindows] = _no_configuration, now: datetime = NOW
) -> str:
    stdout = io.StringIO()
    asked = _asked(*argv)
    assert run(asked, now=now, host_windows=host, stdout=stdout, stderr=io.StringIO()) == 0
    return stdout.getvalue()


def test_a_preview_as_text() -> None:
    shown = windows(
        "--start",
        "Sun 02:30",
        "--timezone",
        "Europe/Berlin",
        "--duration",
        "3h",
        "--from",
        "2027-03-20",
        "--count",
        "3",
    )
    assert shown == (
        "START                        END                          LENGTH\n"
        "Sun 2027-03-21 02:30 +01:00  Sun 2027-03-21 05:30 +01:00  3h\n"
        "Sun 2027-03-28 03:00 +02:00  Sun 2027-03-28 06:00 +02:00  3h\n"
        "Sun 2027-04-04 02:30 +02:00  Sun 2027-04-04 05:30 +02:00  3h\n"
    )


def test_a_preview_as_json() -> None:
    shown = windows(
        "--start", "Sun 02:30", "--timezone", "Europe/Berlin", "--duration", "3h",
        "--from", "2027-03-22T00:00:00+01:00", "--count", "1", "--format", "json",
    )  # fmt: skip
    assert json.loads(shown) == [
        {
            "start": "2027-03-28T03:00:00+02:00",
            "end": "2027-03-28T06:00:00+02:00",
            "schedule": None,
            "blocked_by": None,
        }
    ]


def test_cron_and_rrule_previews() -> None:
    cron = windows("--cron", "0 22 * * 6", "--duration", "90m", "--count", "1")
    assert "Sat 2026-11-28 22:00 +00:00  Sat 2026-11-28 23:30 +00:00  1h 30m" in cron
    rrule = windows("--rrule", "FREQ=MONTHLY;BYDAY=2TU", "--at", "22:00", "--offset", "4d", "--count", "1")
    assert "Sat 2026-12-12 22:00" in rrule
    anchored = windows(
        "--rrule",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=SA",
        "--at",
        "22:00",
        "--from-date",
        "2026-01-03",
        "--count",
        "1",
    )
    assert "Sat 2026-12-05 22:00" in anchored


def test_a_zone_in_the_expression_is_used() -> None:
    assert "Sun 2026-11-29 02:00 +09:00" in windows("--start", "Sun 02:00 Asia/Tokyo", "--count", "1")


@pytest.mark.lab
def test_a_preview_lists_what_starts_later_as_systemd_does() -> None:
    at = "2026-11-22 03:00:00"
    shown = json.loads(windows("--start", "*:0/20", "--from", at, "--count", "3", "--format", "json"))
    theirs = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=3", f"--base-time={at} UTC", "*:0/20"],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    ).stdout
    assert all(each["start"].replace("T", " ")[:19] in theirs for each in shown)


def test_a_preview_that_never_opens() -> None:
    assert windows("--start", "*-02-30") == "No window opens within five years.\n"
    assert json.loads(windows("--start", "*-02-30", "--format", "json")) == []


def test_this_hosts_windows_begin_with_the_open_one_and_name_freezes() -> None:
    assert windows("--count", "6", "--from", "2026-11-29T02:00Z", host=_host) == (
        "START                        END                          LENGTH  SCHEDULE      BLOCKED BY\n"
        "Sun 2026-11-29 02:00 +01:00  Sun 2026-11-29 05:00 +01:00  3h      sunday-night\n"
        "Sun 2026-12-06 02:00 +01:00  Sun 2026-12-06 05:00 +01:00  3h      sunday-night\n"
        "Sun 2026-12-13 02:00 +01:00  Sun 2026-12-13 05:00 +01:00  3h      sunday-night\n"
        "Sun 2026-12-20 02:00 +01:00  Sun 2026-12-20 05:00 +01:00  3h      sunday-night  year-end\n"
        "Sun 2026-12-27 02:00 +01:00  Sun 2026-12-27 05:00 +01:00  3h      sunday-night  year-end\n"
        "Sun 2027-01-03 02:00 +01:00  Sun 2027-01-03 05:00 +01:00  3h      sunday-night  year-end\n"
    )


def test_a_freeze_that_security_updates_pass_says_so() -> None:
    def lenient(folder: str | None) -> HostWindows:
        return replace(_host(folder), freezes=(replace(YEAR_END, allow="security"),))

    def both(folder: str | None) -> HostWindows:
        strict = replace(YEAR_END, name="audit")
        return replace(_host(folder), freezes=(replace(YEAR_END, allow="security"), strict))

    for host, passes in ((lenient, True), (both, False), (_host, False)):
        (_, line) = windows("--count", "1", "--from", "2026-12-20T02:00Z", host=host).splitlines()
        assert line.endswith(" (security updates pass)") == passes


def test_one_schedule_of_a_folder_in_another_zone() -> None:
    shown = windows(
        "--schedule",
        "patch-tuesday",
        "--policy",
        "policies",
        "--timezone",
        "UTC",
        "--count",
        "1",
        "--format",
        "json",
        host=_host,
    )
    assert json.loads(shown) == [
        {
            "start": "2026-12-12T21:00:00+00:00",
            "end": "2026-12-13T01:00:00+00:00",
            "schedule": "patch-tuesday",
            "blocked_by": None,
        }
    ]


def test_all_schedules_of_a_folder() -> None:
    shown = json.loads(windows("--policy", "policies", "--count", "4", "--format", "json", host=_host))
    assert [each["schedule"] for each in shown] == [*["sunday-night"] * 3, "patch-tuesday"]


def of_host(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[str, str]:
    folder = str(Path(__file__).parents[2] / "examples" / "policies" / "production")
    asked = build_parser().parse_args(
        ["windows", "--policy", folder, "--from", "2026-12-10", "--count", "2", *argv]
    )
    assert perform(asked) == 0
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_the_windows_of_one_host_of_a_folder_with_its_freezes(capsys: pytest.CaptureFixture[str]) -> None:
    assert of_host(capsys, "--host", "web-01", "--count", "1")[0].splitlines() == [
        "START                           END                          LENGTH     SCHEDULE",
        "Sat 2026-12-12 22:00:54 +01:00  Sun 2026-12-13 02:00 +01:00  3h 59m 6s  patch-tuesday-plus-4",
    ]
    of_january = of_host(capsys, "--host", "web-01", "--from", "2027-01-16", "--format", "json")[0]
    assert [one["schedule"] for one in json.loads(of_january)] == ["change-board", "patch-tuesday-plus-4"]


def test_a_host_that_is_not_known_or_has_no_window_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    shown, said = of_host(capsys, "--host", "web-1")

    assert shown == "No window opens within five years.\n"
    assert 'there is no Host document "web-1"; did you mean web-01?\n' in said
    assert "no Policy names a Schedule for web-1: nothing is ever applied there\n" in said
    assert of_host(capsys, "--host", "new", "--label", "env=staging")[0].count("patch-tuesday-plus-1") == 2


def test_a_host_without_schedules() -> None:
    assert windows(host=lambda _: HostWindows(())) == "No window opens within five years.\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--start", "Sun 25:00"], "the hour is from 0 to 23"),
        (["--start", ""], "the expression is empty"),
        (["--start", "Sun 02:00 Asia/Tokyo", "--timezone", "UTC"], "keep one of them"),
        (["--start", "Sun 02:00", "--timezone", "Europe/Berln"], "did you mean Europe/Berlin"),
        (["--start", "Sun 02:00", "--duration", "3"], "--duration: '3' is not a duration"),
        (["--start", "Sun 02:00", "--duration", "10s"], "one minute"),
        (["--start", "Sun 02:00", "--at", "22:00"], "belong to --rrule"),
        (["--start", "Sun 02:00", "--from", "tomorrow"], "--from: 'tomorrow' is not a date"),
        (["--start", "Sun 02:00", "--count", "0"], "--count is from 1"),
        (["--start", "Sun 02:00", "--policy", "policies"], "have no meaning"),
        (["--cron", "0 0 22 * * 6"], "6 fields"),
        (["--rrule", "FREQ=DAILY"], "needs the time of day"),
        (["--rrule", "FREQ=HOURLY", "--at", "22:00"], "below a day"),
        (["--duration", "3h"], "describe an expression"),
        (["--schedule", "monday"], "no Schedule 'monday'"),
        (["--timezone", "Europe/Berln"], "unknown time zone"),
        (["--host", "web-01"], "--host is about a policy folder"),
        (["--label", "a=b", "--policy", "policies"], "describe a host"),
        (["--host", "web-01", "--policy", "policies", "--schedule", "patch-tuesday"], "do not go together"),
        (["--start", "Sun 02:00", "--host", "web-01"], "have no meaning"),
    ],
)
def test_what_cannot_be_shown_is_misuse(argv: list[str], said: str) -> None:
    with pytest.raises(Misuse) as refused:
        windows(*argv, host=_host)
    assert said in refused.value.message


def test_a_wrong_schedule_names_the_right_ones() -> None:
    with pytest.raises(Misuse) as refused:
        windows("--schedule", "monday", host=_host)
    assert refused.value.hint == "the policy has: patch-tuesday, sunday-night"


def test_the_example_of_the_manual_is_what_is_printed() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "reference" / "windows.md").read_text()
    example = manual.partition("```console\n$ patchledger ")[2].partition("```")[0]
    command, _, expected = example.partition("\n")
    assert windows(*shlex.split(command)[1:]) == expected


def test_a_search_that_ends_says_so() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    asked = _asked("--start", "*-02-29", "--count", "4", "--format", "json")
    assert run(asked, now=NOW, host_windows=_no_configuration, stdout=stdout, stderr=stderr) == 0
    assert len(json.loads(stdout.getvalue())) == 1
    assert stderr.getvalue() == "patchledger: no further window begins in the 5 years that are searched\n"


@pytest.mark.parametrize("moment", ["9999-12-30", "0001-01-01", "1970-06-01", "2190-01-01"])
def test_a_time_out_of_reach_is_refused(moment: str) -> None:
    with pytest.raises(Misuse, match="1971 to 2189"):
        windows("--start", "Sun 02:00", "--from", moment)
