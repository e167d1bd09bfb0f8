"""Around a transaction, as values: whose failure it is, what may restart, what needrestart says."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Stalled
from reconciler.planning.runs.hooks_and_health import (
    NEVER,
    CheckResult,
    HookOutcome,
    HookResult,
    KernelState,
    Leftovers,
    as_check,
    never_reason,
    newly_failing,
    parse_needrestart,
    to_restart,
)

GOOD, BAD = True, False


def checks(**states: bool) -> tuple[CheckResult, ...]:
    return tuple(CheckResult(name, ok) for name, ok in states.items())


@pytest.mark.parametrize(
    ("before", "after", "ours"),
    [
        ({"a": GOOD}, {"a": GOOD}, []),
        ({"a": GOOD}, {"a": BAD}, ["a"]),
        ({"a": BAD}, {"a": BAD}, []),
        ({"a": BAD}, {"a": GOOD}, []),
        ({}, {"a": BAD}, ["a"]),  # A unit that has failed only now was in no list before.
        ({"a": BAD}, {}, []),
        ({"a": GOOD, "b": BAD}, {"b": BAD, "c": BAD, "a": BAD}, ["c", "a"]),
    ],
)
def test_what_fails_anew_is_ours(before: dict[str, bool], after: dict[str, bool], ours: list[str]) -> None:
    assert [check.name for check in newly_failing(checks(**before), checks(**after))] == ours


def test_a_check_told_twice_counts_once_and_if_either_fails() -> None:
    after = (CheckResult("a", GOOD), CheckResult("a", BAD, "first"), CheckResult("a", BAD, "second"))
    assert newly_failing((), after) == (CheckResult("a", BAD, "first"),)
    assert newly_failing((CheckResult("a", GOOD), CheckResult("a", BAD)), after) == ()


@given(
    st.lists(st.builds(CheckResult, st.sampled_from("abcde"), st.booleans())),
    st.lists(st.builds(CheckResult, st.sampled_from("abcde"), st.booleans())),
)
def test_nothing_that_failed_before_is_ours(before: list[CheckResult], after: list[CheckResult]) -> None:
    found = newly_failing(before, after)
    assert {check.name for check in found} == {check.name for check in after if not check.ok} - {
        check.name for check in before if not check.ok
    }
    assert newly_failing(after, after) == ()


@pytest.mark.parametrize(
    ("result", "check"),
    [
        (
            HookResult("health", "10-shop", HookOutcome.OK, 0, 0.1, "fine\n"),
            CheckResult("script 10-shop", GOOD),
        ),
        (
            HookResult("health", "x", HookOutcome.FAILED, 2, 0.1, "first\n the shop is shut \n\n"),
            CheckResult("script x", BAD, "exit code 2: the shop is shut"),
        ),
        (HookResult("health", "x", HookOutcome.FAILED, 2), CheckResult("script x", BAD, "exit code 2")),
        (HookResult("health", "x", HookOutcome.FAILED, -9), CheckResult("script x", BAD, "signal 9")),
        (
            HookResult("health", "x", HookOutcome.FAILED, None, 0.0, "cannot start x: nothing there"),
            CheckResult("script x", BAD, "cannot start x: nothing there"),
        ),
        (
            HookResult("health", "x", HookOutcome.TIMED_OUT, None, 60.0, "…"),
            CheckResult("script x", BAD, "did not end in time"),
        ),
        (
            HookResult("health", "x", HookOutcome.REFUSED, output="x belongs to user 7"),
            CheckResult("script x", BAD, "refused: x belongs to user 7"),
        ),
    ],
)
def test_a_health_script_is_a_check(result: HookResult, check: CheckResult) -> None:
    assert as_check(result) == check


def test_a_long_last_line_is_cut() -> None:
    result = HookResult("health", "x", HookOutcome.FAILED, 1, 0.0, "y" * 5000)
    assert len(result.reason) < 250
    assert result.reason.endswith("…")


# --- What may restart -----------------------------------------------------------------------------------

KEPT = (
    *(
        "dbus.service",
        "dbus-broker.service",
        "gdm.service",
        "gdm3.service",
        "lightdm.service",
        "sddm.service",
    ),
    *(
        "networking.service",
        "NetworkManager.service",
        "systemd-networkd.service",
        "network",
        "wpa_supplicant@x",
    ),
    *("lxc.service", "lxcfs.service", "lxc-net.service", "libvirtd.service", "docker.service", "docker"),
    *("containerd.service", "podman.service", "podman-restart.service", "systemd-logind.service"),
    *("getty@tty1.service", "serial-getty@ttyS0.service", "user@1000.service", "systemd-manager"),
    *("apt-daily.service", "apt-daily-upgrade.service", "unattended-upgrades.service", "patchledger.service"),
)
FREE = (
    *("nginx.service", "ssh.service", "cron.service", "systemd-journald.service", "systemd-udevd.service"),
    *(
        "postgresql@15-main.service",
        "apache2",
        "mydbus.service",
        "my-docker-registry.service",
        "user-db.service",
    ),
    *("rsyslog.service", "systemd-resolved.service", "networkd-dispatcher.service"),
)


@pytest.mark.parametrize("service", KEPT)
def test_some_services_are_never_restarted(service: str) -> None:
    assert to_restart(Leftovers(services=(service,)), ()) == ((), (service,))
    assert never_reason(service)


@pytest.mark.parametrize("service", FREE)
def test_others_may_be(service: str) -> None:
    assert to_restart(Leftovers(services=(service,)), ()) == ((service,), ())
    assert never_reason(service) == ""


def test_policy_adds_to_the_list_by_name_or_pattern() -> None:
    leftovers = Leftovers(services=("a.service", "apache2", "b@1.service", "nginx.service", "x.socket"))
    assert to_restart(leftovers, ["nginx", "b@*", "apache2.service", "x"]) == (
        ("a.service", "apache2", "x.socket"),
        ("b@1.service", "nginx.service"),
    )
    assert never_reason("nginx.service", ["ng*"]) == "policy never restarts ng*"


def test_the_built_in_list_is_documented_with_its_reasons() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "health.md").read_text(encoding="utf-8")
    rows = page.partition("| services | why |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    documented = [
        (pattern, reason)
        for patterns, reason in (row.strip("| ").split(" | ") for row in rows)
        for pattern in patterns.replace("`", "").split(", ")
    ]
    assert sorted(documented) == sorted(NEVER)


# --- What needrestart says ------------------------------------------------------------------------------

# Written after needrestart's README.batch.md; the container's lines and those of the microcode as version 3.6
# prints them on a machine whose firmware cannot be read; the question mark stands for nothing.
FULL = """\
NEEDRESTART-VER: 3.6
NEEDRESTART-KCUR: 6.1.0-18-amd64
NEEDRESTART-KEXP: 6.1.0-20-amd64
NEEDRESTART-KSTA: 3
NEEDRESTART-UCSTA: 1
NEEDRESTART-UCCUR: 0x1000065
NEEDRESTART-UCEXP: ?
NEEDRESTART-SVC: ssh.service
NEEDRESTART-SVC: dbus.service
NEEDRESTART-SVC: ssh.service
NEEDRESTART-CONT: LXC web1
NEEDRESTART-SESS: metabase @ user manager service
NEEDRESTART-SESS: root @ session #28017
"""


def test_all_of_an_answer_is_read() -> None:
    assert parse_needrestart(FULL.replace("?", "")) == Leftovers(
        services=("dbus.service", "ssh.service"),
        kernel="pending",
        kernel_detail="6.1.0-18-amd64 runs, 6.1.0-20-amd64 is installed",
        containers=("LXC web1",),
        sessions=("metabase @ user manager service", "root @ session #28017"),
    )


@pytest.mark.parametrize(
    ("lines", "kernel", "detail"),
    [
        ("", "unknown", ""),  # In a container it says nothing of kernels.
        ("KCUR: 6.1.0-18-amd64\nKSTA: 0", "unknown", "6.1.0-18-amd64 runs"),
        ("KCUR: 6.1.0-18-amd64\nKEXP: 6.1.0-18-amd64\nKSTA: 1", "current", "6.1.0-18-amd64 runs"),
        ("KCUR: 6.1.0-18-amd64\nKEXP: 6.1.0-18-amd64\nKSTA: 2", "abi-compatible", "6.1.0-18-amd64 runs"),
        ("KCUR: a\nKEXP: b\nKSTA: 3", "pending", "a runs, b is installed"),
        ("KCUR: \nKSTA: 0", "unknown", ""),
    ],
)
def test_the_kernels_state(lines: str, kernel: KernelState, detail: str) -> None:
    text = "NEEDRESTART-VER: 3.6\n" + "".join(f"NEEDRESTART-{line}\n" for line in lines.splitlines())
    assert parse_needrestart(text) == Leftovers(kernel=kernel, kernel_detail=detail)


def test_keys_that_are_not_known_are_passed_over() -> None:
    text = "NEEDRESTART-VER: 4.0\nNEEDRESTART-NEWKEY: 1\nNEEDRESTART-NEWKEY: 2\nNEEDRESTART-SVC: a.service\n"
    assert parse_needrestart(text).services == ("a.service",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "NEEDRESTART-VER: \n",
        "NEEDRESTART-SVC: a.service\n",
        "NEEDRESTART-SVC: a.service\nNEEDRESTART-VER: 3.6\n",
        "NEEDRESTART-VER: 3.6\nNEEDRESTART-VER: 3.6\n",
        "NEEDRESTART-VER: 3.6\n\nNEEDRESTART-KSTA: 1\n",
        "NEEDRESTART-VER: 3.6\nNEEDRESTART-KSTA: 9\n",
        "NEEDRESTART-VER: 3.6\nNEEDRESTART-KSTA: 1\nNEEDRESTART-KSTA: 3\n",
        "NEEDRESTART-VER: 3.6\nNEEDRESTART-SVC: \n",
        "NEEDRESTART-VER: 3.6\nNEEDRESTART-SVC:\n",
        "NEEDRESTART-VER: 3.6\nScanning processes...\n",
        "NEEDRESTART-VER: 3.6\nneedrestart-svc: a.service\n",
        "Unknown option: b\n",
        "OK - Kernel: 6.1.0-18-amd64, Services: none\n",
    ],
)
def test_nothing_is_made_of_what_is_not_understood(text: str) -> None:
    with pytest.raises(Stalled, match="needrestart"):
        parse_needrestart(text)


@given(st.lists(st.sampled_from(KEPT + FREE)), st.randoms())
def test_the_order_of_lines_means_nothing(services: list[str], random: Random) -> None:
    lines = [f"NEEDRESTART-SVC: {service}" for service in services] + ["NEEDRESTART-KSTA: 1"]
    random.shuffle(lines)
    leftovers = parse_needrestart("\n".join(["NEEDRESTART-VER: 3.6", *lines]))
    assert leftovers == Leftovers(services=tuple(sorted(set(services))), kernel="current")
    free, kept = to_restart(leftovers)
    assert sorted(free + kept) == list(leftovers.services)
    assert set(free) <= set(FREE)
