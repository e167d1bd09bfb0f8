"""What unattended-upgrades did is what the converted policy says; what it cannot say is told."""

from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy.conversion import Converted, Machine
from reconciler.policy.from_unattended_upgrades import convert
from reconciler.policy.problems import Problem
from reconciler.policy.sources import written
from tests.policy.updaters import (
    BOOKWORM,
    DEBIAN,
    FEDORA,
    JAMMY,
    PERIODIC,
    UBUNTU,
    exceptions_of,
    policy_of,
    schedule_of,
    told,
)

OWN = "Unattended-Upgrade::"
FOR_BOOKWORM = (
    "is written for bookworm, and the Policy matches debian-12 alone "
    "(for hosts of another release, write a second Policy)"
)
SOURCES = {
    "main": {"o": "Debian", "l": "Debian", "n": "bookworm", "a": "stable", "site": "deb.debian.org"},
    "updates": {"o": "Debian", "l": "Debian", "n": "bookworm-updates", "a": "stable-updates"},
    "security": {
        "o": "Debian",
        "l": "Debian-Security",
        "n": "bookworm-security",
        "a": "stable-security",
        "site": "security.debian.org",
    },
    "backports": {"o": "Debian Backports", "l": "Debian Backports", "n": "bookworm-backports"},
    "docker": {"o": "Docker", "l": "Docker CE", "n": "bookworm", "a": "bookworm", "site": "docker.example"},
    "odd": {"o": "A, B", "l": "x", "n": "", "a": ""},
    "jammy": {"o": "Ubuntu", "l": "Ubuntu", "n": "jammy", "a": "jammy"},
    "jammy-updates": {"o": "Ubuntu", "l": "Ubuntu", "n": "jammy", "a": "jammy-updates"},
    "jammy-security": {"o": "Ubuntu", "l": "Ubuntu", "n": "jammy", "a": "jammy-security"},
    "esm": {"o": "UbuntuESM", "l": "UbuntuESM", "n": "jammy", "a": "jammy-infra-security"},
}


def run(*texts: str, machine: Machine = BOOKWORM) -> Converted | Problem:
    names = ("50unattended-upgrades", "20auto-upgrades", "52local")
    return convert(list(zip(names, texts, strict=False)), machine)


def admitted(converted: Converted | Problem) -> list[str]:
    sources = policy_of(converted).sources
    return [name for name, fields in SOURCES.items() if sources is None or sources.admit("", written(fields))]


def listed(option: str, values: Sequence[str]) -> str:
    entries = "".join(f' "{value}";' for value in values)
    return f"{OWN}{option} {{{entries} }};\n"


def patterns(*lines: str) -> str:
    return listed("Origins-Pattern", lines)


def about(option: str, converted: Converted | Problem) -> list[str]:
    return [line.partition(f"{option}: ")[2] for line in told(converted) if f" {option}: " in line]


# --- What distributions ship ------------------------------------------------------------------------------


def test_debian_as_shipped() -> None:
    converted = run(DEBIAN, PERIODIC)
    policy = policy_of(converted)

    assert (policy.updates, policy.action, policy.schedule) == ("all", "apply", ("unattended-upgrades",))
    assert (policy.match.manager, policy.match.os) == (("apt",), ("debian-12",))
    assert admitted(converted) == ["main", "security"]
    (window,) = schedule_of(converted).windows
    assert window.model_dump(mode="json", exclude={"timezone"}) == {
        "start": "06:00",
        "duration": "3h",
        "splay": "1h",
    }
    assert exceptions_of(converted) == {}
    assert policy.autoremove == "new-unused"
    assert told(converted) == [
        f"50unattended-upgrades:5: {OWN}Origins-Pattern: {FOR_BOOKWORM}",
    ]


def test_ubuntu_as_shipped() -> None:
    converted = run(UBUNTU, PERIODIC, machine=JAMMY)

    assert policy_of(converted).match.os == ("ubuntu-22.04",)
    assert admitted(converted) == ["jammy", "jammy-security", "esm"]
    assert about(f"{OWN}DevRelease", converted)


def test_a_policy_for_a_release_says_so_or_asks_for_one() -> None:
    found = run(DEBIAN, PERIODIC, machine=FEDORA)

    assert isinstance(found, Problem)
    assert str(found).startswith(f"50unattended-upgrades:5: {OWN}Origins-Pattern: ")
    assert str(found).endswith("none is known here (name a host's os-release file with --os-release)")


# --- Which updates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        patterns("origin=Debian,codename=${distro_codename}-security,label=Debian-Security"),
        patterns("origin=Debian,label=Debian-Security", "o=Ubuntu,a=*-security"),
        f'{OWN}Allowed-Origins {{ "${{distro_id}}:${{distro_codename}}-security"; }};',
    ],
)
def test_security_origins_alone_are_security_updates_of_any_release(text: str) -> None:
    policy = policy_of(run(text, PERIODIC, machine=FEDORA))

    assert (policy.updates, policy.sources, policy.match.os) == ("security", None, None)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("o=Debian", ["main", "updates", "security"]),
        ("origin=Debian,suite=stable*", ["main", "updates", "security"]),
        ("o=Debian, archive = stable", ["main"]),
        ("site=docker.example", ["docker"]),
        ("o=Debian*,n=bookworm-backports", ["backports"]),
        (r"o=A\\, B".replace(r"\\", "\\"), ["odd"]),
        ("l=x,n=", ["odd"]),
        ("o=debian", []),
        ("n=${distro_codename}", ["main", "docker"]),
        ("$distro_id", None),
        ("v=12", None),
        ("o=Debian=x", None),
        ("l=D*,label=*n", None),
        ("o=Docker,origin=Docker", ["docker"]),
        ("o=${distro}", None),
    ],
)
def test_a_pattern_admits_what_unattended_upgrades_would(line: str, names: list[str] | None) -> None:
    converted = run(patterns(line), PERIODIC)

    if names is None:
        assert policy_of(converted).updates == "none"
        assert about(f"{OWN}Origins-Pattern", converted)
    else:
        assert admitted(converted) == names


def matches(line: str, fields: dict[str, str]) -> bool:
    """Compare as unattended-upgrades does, for keys of one letter and values without commas."""
    pairs = [token.split("=") for token in line.split(",")]
    return all(fnmatchcase(fields.get(key, ""), value) for key, value in pairs)


TOKENS = [
    f"{key}={value}"
    for key in ("o", "l", "n", "a")
    for value in (
        "Debian",
        "Debian*",
        "bookworm",
        "*",
        "bookworm-?*",
        "[DU]*",
        "stable",
        "Ubuntu",
        "jammy*",
        "",
    )
]


@given(
    st.lists(
        st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3, unique_by=lambda token: token[0]).map(
            ",".join
        ),
        min_size=1,
        max_size=4,
    )
)
def test_the_policy_admits_the_same_sources(lines: Sequence[str]) -> None:
    expected = [name for name, fields in SOURCES.items() if any(matches(line, fields) for line in lines)]

    assert admitted(run(patterns(*lines), PERIODIC)) == expected


def test_an_origin_and_a_suite_are_a_pattern_too() -> None:
    commas = policy_of(
        run('Unattended-Upgrade::Allowed-Origins { "A\\, B:x"; "Docker CE:x*"; "a b"; };', PERIODIC)
    )

    assert commas.sources is not None
    assert commas.sources.only == ('o="A, B",a=x', "o=Docker CE,a=x*", "o=a,a=b")


def test_everything_needs_no_sources_and_nothing_is_none() -> None:
    everything, nothing = run(f'{OWN}Allowed-Origins {{ "*:*"; }};', PERIODIC), run(PERIODIC)

    assert (policy_of(everything).updates, policy_of(everything).sources) == ("all", None)
    assert policy_of(nothing).updates == "none"
    assert "allows nothing" in "".join(told(nothing))


def test_a_component_is_more_than_was_allowed_and_so_nothing_is_applied() -> None:
    converted = run(patterns("o=Debian,n=bookworm,component=main"), PERIODIC)

    assert admitted(converted) == ["main"]
    assert policy_of(converted).action == "plan"
    assert "nothing is applied until" in about(f"{OWN}Origins-Pattern", converted)[0]
    assert policy_of(run(patterns("o=Debian,n=bookworm,c=*"), PERIODIC)).action == "apply"


# --- Packages ---------------------------------------------------------------------------------------------


def test_a_blacklist_is_an_exception_that_blocks() -> None:
    text = f'{OWN}Package-Blacklist {{ "linux-"; "libc6$"; "(lib)?xen"; }};'
    converted = run(DEBIAN, PERIODIC, text)

    found = exceptions_of(converted)["package-blacklist"]
    assert (found.packages, found.action) == (("linux-*", "libc6", "libxen*", "xen*"), "block")
    assert found.reason == "Unattended-Upgrade::Package-Blacklist of 52local"
    assert found.expires == date(2027, 11, 29)
    assert policy_of(converted).action == "apply"
    assert "every Exception has an end" in about(f"{OWN}Package-Blacklist", converted)[0]


def test_an_expression_without_a_pattern_keeps_everything_from_being_applied() -> None:
    converted = run(DEBIAN, PERIODIC, f'{OWN}Package-Blacklist {{ "(?!vim)"; "nano"; }};')

    assert exceptions_of(converted)["package-blacklist"].packages == ("nano*",)
    assert policy_of(converted).action == "plan"
    assert about(f"{OWN}Package-Blacklist", converted)[0].startswith('"(?!vim)" says more than a pattern can')


def test_a_whitelist_is_all_that_is_wanted() -> None:
    converted = run(
        DEBIAN, PERIODIC, f'{OWN}Package-Whitelist {{ "nginx"; }};{OWN}Package-Blacklist {{ "n"; }};'
    )

    assert policy_of(converted).updates == "none"
    assert exceptions_of(converted)["package-whitelist"].action == "include"
    narrower = run(DEBIAN, PERIODIC, f'{OWN}Package-Whitelist {{ "(?!nginx)"; }};')
    assert (policy_of(narrower).updates, policy_of(narrower).action) == ("none", "apply")
    assert admitted(converted) == ["main", "security"]


# --- When, and how far ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("periodic", "action"),
    [
        ('Unattended-Upgrade "1"', "apply"),
        ('Unattended-Upgrade "always"', "apply"),
        ('Unattended-Upgrade "12h"', "apply"),
        ('Unattended-Upgrade "0"', "plan"),
        ('Unattended-Upgrade "soon"', "plan"),
        ('Download-Upgradeable-Packages "1"', "download"),
        ('Enable "0"; APT::Periodic::Unattended-Upgrade "1"', "plan"),
    ],
)
def test_the_periodic_job_says_how_far(periodic: str, action: str) -> None:
    assert policy_of(run(DEBIAN, f"APT::Periodic::{periodic};")).action == action


def test_without_the_periodic_file_nothing_is_applied_and_that_is_said() -> None:
    converted = run(DEBIAN)

    assert policy_of(converted).action == "plan"
    assert about("APT::Periodic::Unattended-Upgrade", converted)


def windows(*texts: str) -> list[dict[str, str]]:
    keys = ("start", "rrule", "at", "from")
    found = schedule_of(run(DEBIAN, PERIODIC, *texts)).model_dump(mode="json", by_alias=True)["windows"]
    return [{key: window[key] for key in keys if key in window} for window in found]


def test_days_intervals_and_the_time_of_reboots_are_windows() -> None:
    days = f'{OWN}Update-Days {{ "Fri"; "1"; "Sunday"; }};'
    weekly = 'APT::Periodic::Unattended-Upgrade "7";'
    reboot = f'{OWN}Automatic-Reboot "true";{OWN}Automatic-Reboot-Time "2:30";'

    assert windows(days) == [{"start": "Mon,Fri,Sun 06:00"}]
    assert windows(weekly) == [{"rrule": "FREQ=DAILY;INTERVAL=7", "at": "06:00", "from": "2026-11-29"}]
    assert windows(reboot) == [{"start": "02:30"}]


def test_days_in_another_language_are_told_and_nothing_is_applied_without_one() -> None:
    converted = run(DEBIAN, PERIODIC, f'{OWN}Update-Days {{ "Mo"; }};')

    assert policy_of(converted).action == "plan"
    assert about(f"{OWN}Update-Days", converted) == ['"Mo" is no day in English (write it as Mon or 1)']


@pytest.mark.parametrize(
    ("lists", "refresh"),
    [("1", ("1d", "3d")), ("7", ("7d", "10d")), ("12h", ("12h", "3d")), ("always", None)],
)
def test_package_lists_are_refreshed_as_often(lists: str, refresh: tuple[str, str] | None) -> None:
    policy = policy_of(run(DEBIAN, f'{PERIODIC}APT::Periodic::Update-Package-Lists "{lists}";'))

    found = policy.refresh and policy.refresh.model_dump(mode="json")
    assert refresh == (found and (found["every"], found["stale_after"]))


# --- Care -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        (f'{OWN}MinimalSteps "false"', "steps", "single"),
        ('Unattended-Upgrades::MinimalSteps "0"', "steps", "single"),
        (f'{OWN}Automatic-Reboot "yes"', "reboot", {"when": "if-required"}),
        (f'{OWN}Automatic-Reboot "1";{OWN}Automatic-Reboot-Time "+15"', "reboot.notice", "15m"),
        (
            f'{OWN}Automatic-Reboot "1";{OWN}Automatic-Reboot-WithUsers "false"',
            "inhibit",
            {"sessions": "defer"},
        ),
        (f'{OWN}OnlyOnACPower "false"', "inhibit", {"battery": "ignore"}),
        (f'{OWN}Skip-Updates-On-Metered-Connections "false"', "inhibit", {"metered": "ignore"}),
        ('Dpkg::Options { "--force-confdef"; "--force-confold"; }', "conffiles", "keep"),
        ('DPkg::Options:: "--force-confnew"', "conffiles", "new"),
        (f'{OWN}Postpone-For-Days "5"', "min_age", {"security": "5d", "other": "5d"}),
        (f'{OWN}Mail "root"', "notify.on", ["applied", "failed", "interrupted", "overrun", "reboot"]),
        (f'{OWN}Mail "root";{OWN}MailReport "always"', "notify.on", ["every-run"]),
        (f'{OWN}Mail "root";{OWN}MailOnlyOnError "true"', "notify.on", ["failed", "interrupted", "overrun"]),
    ],
)
def test_an_option_becomes_a_setting(option: str, key: str, value: object) -> None:
    found = policy_of(run(DEBIAN, PERIODIC, f"{option};")).model_dump(mode="json", exclude_unset=True)

    for part in key.split("."):
        found = found[part][0] if part == "notify" else found[part]
    assert found == value


@pytest.mark.parametrize(
    "option",
    [
        f'{OWN}Mail "ops@example.org"',
        f'{OWN}Sender "host@example.org"',
        f'{OWN}InstallOnShutdown "true"',
        f'{OWN}Remove-Unused-Dependencies "true"',
        f'{OWN}SyslogEnable "true"',
        f'{OWN}Something-New "x"',
        'APT::Periodic::AutocleanInterval "7"',
        'Acquire::http::Dl-Limit "70"',
        'DPkg::Options:: "--force-unsafe-io"',
    ],
)
def test_what_has_no_counterpart_is_told_with_its_line(option: str) -> None:
    name = option.partition(" ")[0].removesuffix("::")
    lines = told(run(DEBIAN, PERIODIC, f"\n{option};"))

    assert [line for line in lines if line.startswith(f"52local:2: {name}: ")]


@pytest.mark.parametrize(
    "option",
    [
        f'{OWN}InstallOnShutdown "false"',
        f'{OWN}Skip-Updates-On-Metered-Connections "true"',
        f'{OWN}AutoFixInterruptedDpkg "true"',
        f'{OWN}Mail ""',
        'APT::Periodic::AutocleanInterval "0"',
        'APT::NeverAutoRemove:: "linux"',
        'DPkg::Pre-Invoke { "true"; }',
    ],
)
def test_what_changes_nothing_is_not_told(option: str) -> None:
    assert [line for line in told(run(DEBIAN, PERIODIC, f"{option};")) if line.startswith("52local")] == []


# --- Any text ---------------------------------------------------------------------------------------------

WORDS = (
    *("Allowed-Origins", "Origins-Pattern", "Package-Blacklist", "Package-Whitelist", "Update-Days", "Mail"),
    *(
        "Automatic-Reboot",
        "Automatic-Reboot-Time",
        "Postpone-For-Days",
        "MailReport",
        "Automatic-Reboot-WithUsers",
    ),
)
VALUES = (
    *(
        "o=Debian,n=${distro_codename}",
        "${distro_id}:x",
        "a:b:c",
        "linux-",
        "(",
        "x$",
        "Mon",
        "1",
        "true",
        "02:00",
    ),
    *(
        "+5",
        "25:00",
        "",
        "é",
        "\u2028",
        "*",
        "o=*",
        "o=a\\,b",
        'a"b',
        "9" * 30,
        "o=\x7f",
        "n=[",
        "$$",
        "c=main",
    ),
)
LINES = st.one_of(
    st.builds(listed, st.sampled_from(WORDS), st.lists(st.sampled_from(VALUES), max_size=3)),
    st.builds('Unattended-Upgrade::{} "{}";'.format, st.sampled_from(WORDS), st.sampled_from(VALUES)),
)


@given(st.lists(LINES, max_size=6).map("\n".join))
def test_any_configuration_becomes_a_good_policy_or_one_line(text: str) -> None:
    converted = run(text, PERIODIC)

    if isinstance(converted, Problem):
        assert str(converted).startswith(f"{converted.file}:{converted.line}: ")
    else:
        policy_of(converted)
        assert all(
            line.startswith(("50unattended-upgrades:", "20auto-upgrades:")) for line in told(converted)
        )


@pytest.mark.parametrize(
    ("kernels", "new", "autoremove"),
    [
        ("true", "true", "new-unused"),
        ("true", "false", "kernels"),
        ("false", "false", None),
        ("false", "true", None),
    ],
)
def test_what_is_removed_because_it_is_unused(kernels: str, new: str, autoremove: str | None) -> None:
    options = f'{OWN}Remove-Unused-Kernel-Packages "{kernels}"; {OWN}Remove-New-Unused-Dependencies "{new}";'
    converted = run(DEBIAN, PERIODIC, options)
    assert policy_of(converted).autoremove == autoremove
    said = about(f"{OWN}Remove-Unused-Kernel-Packages", converted)
    assert bool(said) == ((kernels, new) == ("false", "true"))


def test_what_was_unused_before_is_not_removed() -> None:
    (said,) = about(
        f"{OWN}Remove-Unused-Dependencies", run(DEBIAN, f'{OWN}Remove-Unused-Dependencies "true";')
    )
    assert "what was unused before any run of ours is not removed (run `apt-get autoremove` once)" in said
