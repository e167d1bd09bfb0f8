"""What dnf-automatic did is what the converted policy says; what it cannot say is told."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy.conversion import Converted
from reconciler.policy.from_dnf_automatic import convert
from reconciler.policy.problems import Problem
from tests.policy.updaters import DNF4, DNF5, FEDORA, exceptions_of, policy_of, schedule_of, told


def run(*texts: str) -> Converted | Problem:
    return convert([(f"{number}.conf", text) for number, text in enumerate(texts)], FEDORA)


def changed(**options: str) -> Converted | Problem:
    return run(DNF4, "[commands]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))


@pytest.mark.parametrize("text", [DNF4, DNF5])
def test_as_shipped(text: str) -> None:
    converted = run(text)
    policy = policy_of(converted)

    assert (policy.updates, policy.action, policy.match.manager) == ("all", "download", ("dnf",))
    assert (policy.notify, exceptions_of(converted)) == (None, {})
    (window,) = schedule_of(converted).model_dump(mode="json", exclude_unset=True)["windows"]
    assert window == {"start": "06:00", "duration": "3h", "splay": "1h"}
    assert [line.partition(": ")[2].partition(":")[0] for line in told(converted)] in (
        ["[commands] network_online_timeout", "[commands] apply_updates"],
        ["[commands] apply_updates", "[commands] network_online_timeout"],
    )


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"upgrade_type": "security"}, {"updates": "security"}),
        ({"upgrade_type": "distro-sync", "apply_updates": "1"}, {"updates": "all", "action": "apply"}),
        ({"upgrade_type": "bugfix", "apply_updates": "1"}, {"updates": "all", "action": "download"}),
        ({"apply_updates": "yes"}, {"action": "apply"}),
        ({"apply_updates": "True", "download_updates": "no"}, {"action": "apply"}),
        ({"download_updates": "0"}, {"action": "plan"}),
        ({"reboot": "when-needed"}, {"reboot": {"when": "if-required", "notice": "5m"}}),
        ({"reboot": "when-changed", "reboot_command": "shutdown -r now"}, {"reboot": {"when": "always"}}),
        (
            {"reboot": "when-needed", "reboot_command": "\"shutdown -r +30 'now'\""},
            {"reboot": {"notice": "30m"}},
        ),
    ],
)
def test_commands_are_settings(options: dict[str, str], settings: dict[str, object]) -> None:
    found = policy_of(changed(**options)).model_dump(mode="json", exclude_unset=True)

    for key, value in settings.items():
        assert found[key] == (found[key] | value if isinstance(value, dict) else value)


def test_a_random_sleep_delays_the_start_of_a_window_that_is_long_enough() -> None:
    (window,) = schedule_of(changed(random_sleep="9000")).model_dump(mode="json")["windows"]
    (longest,) = schedule_of(changed(random_sleep="999999")).model_dump(mode="json")["windows"]

    assert (window["splay"], window["duration"]) == ("3h30m", "6h")
    assert (longest["splay"], longest["duration"]) == ("21h", "23h")


def test_another_command_for_reboots_is_told() -> None:
    converted = changed(reboot="when-needed", reboot_command="/usr/local/bin/drain")

    assert [line for line in told(converted) if "policy names no command" in line]


def test_mail_is_a_route_whose_address_stays_on_the_hosts() -> None:
    converted = run(DNF4, "[emitters]\nemit_via = email, stdio\n")

    (route,) = policy_of(converted).notify or ()
    assert route.to == "mail"
    assert [line.split(": ")[1] for line in told(converted) if "[email]" in line] == [
        "[email] email_from",
        "[email] email_to",
        "[email] email_host",
    ]
    always = run(DNF5, "[emitters]\nemit_via = command_email\nemit_no_updates = yes\n")
    (route,) = policy_of(always).notify or ()
    assert route.on == ("every-run",)


def test_excluded_packages_are_blocked() -> None:
    converted = run(
        DNF4, "[commands]\napply_updates = yes\n[base]\nexcludepkgs = kernel*,docker-ce\n  php-*\n"
    )

    found = exceptions_of(converted)["excludepkgs"]
    assert (found.packages, found.action) == (("kernel*", "docker-ce", "php-*"), "block")
    assert found.expires == date(2027, 11, 29)
    assert policy_of(converted).action == "apply"


@pytest.mark.parametrize("option", ["excludepkgs = nginx-1.2*", "excludepkgs = 1:a", "includepkgs = nginx"])
def test_what_is_kept_out_and_cannot_be_said_keeps_everything_from_being_applied(option: str) -> None:
    converted = run(DNF4, f"[commands]\napply_updates = yes\n[base]\n{option}\n")

    assert policy_of(converted).action == "download"
    assert [line for line in told(converted) if "nothing is applied until you write" in line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[base]\nbest = true", "1.conf:2: [base] best: holds for dnf-automatic alone"),
        ("[commands]\nsomething = 1", "1.conf:2: [commands] something: has no counterpart"),
        ("[emitters]\nsystem_name = x", "1.conf:2: [emitters] system_name: is the host's id"),
        (
            "[commands]\nbase_config_file = /x",
            "1.conf:2: [commands] base_config_file: patchledger's dnf reads",
        ),
        ("[plugin]\na = b", "1.conf:2: [plugin] a: has no counterpart"),
    ],
)
def test_what_has_no_counterpart_is_told_with_its_line(text: str, line: str) -> None:
    assert [each for each in told(run(DNF4, text)) if each.startswith(line)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = b", '0.conf:1: dnf cannot read this: "a = b" is no option of a section'),
        ("[commands]\nnonsense", '0.conf:2: dnf cannot read this: "nonsense" is no option'),
        ("[commands\n", '0.conf:1: dnf cannot read this: "[commands" is no option of a section'),
        ("[commands]\n a = b", '0.conf:2: dnf cannot read this: "a = b" is no option'),
        ("[commands]\n= b", '0.conf:2: dnf cannot read this: "= b" is no option'),
    ],
)
def test_what_dnf_cannot_read_is_told_with_its_line(text: str, line: str) -> None:
    found = run(text)

    assert isinstance(found, Problem)
    assert str(found).startswith(line)


PIECES = (
    *("[commands]\n", "[base]\n", "[emitters]\n", "apply_updates", "excludepkgs", "reboot", "random_sleep"),
    *(
        "emit_via",
        " = ",
        "=",
        "\n",
        " ",
        "yes",
        "email",
        "when-needed",
        "9" * 20,
        "*",
        "a b",
        "é",
        "\u2028",
        "#",
        "[",
    ),
)


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_text_becomes_a_good_policy_or_one_line(text: str) -> None:
    converted = run(text)

    if isinstance(converted, Problem):
        assert str(converted).startswith(f"0.conf:{converted.line}: ")
    else:
        policy_of(converted)
