"""Answers to a setup: where they come from, what is wrong with them, and the configuration they make."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Misuse
from reconciler.host.config import Config, load_config
from reconciler.host.install.answers import (
    Answers,
    Draft,
    config_text,
    configuration,
    host_id,
    merged,
    present_answers,
    read_answers,
    shown_text,
)

MISTAKES = """\
host: Web_01
labels: {env: 3}
policy: {remotes: https://git.example.org/policy.git, ref: -x}
reports:
  heartbeat: 24
trust: {mode: gpg}
notifiers:
  ops: {address: "hunter2 not an address"}
  sms: {address: "json://a/b", credential: x}
  ../x: {address_file: relative}
tick: 90s
updaters: kill
guests: all
"""


def private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def complete(**more: object) -> Draft:
    return Draft({"host": "web-01", "policy": {"remote": "/srv/policy"}, **more})


def answers(draft: Draft) -> Answers:
    found = draft.check()
    assert isinstance(found, Answers), found
    return found


def test_all_mistakes_of_a_file_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    found = read_answers(private(tmp_path / "a.yaml", MISTAKES)).check()
    assert isinstance(found, list)
    places = [line.removeprefix(f"{tmp_path}/a.yaml:").split(": ")[:2] for line in found]
    assert places == [
        ["1", "host"],
        ["2", "labels.env"],
        ["3", "policy.ref"],
        ["3", "policy.remote"],
        ["3", "policy.remotes"],
        ["5", "reports.heartbeat"],
        ["6", "trust.mode"],
        ["8", "notifiers.ops.address"],
        ["9", "notifiers.sms"],
        ["10", "notifiers.../x"],
        ["10", "notifiers.../x.address_file"],
        ["11", "tick"],
        ["12", "updaters"],
        ["13", "guests"],
    ]
    assert "hunter2" not in "\n".join(found)
    assert any("did you mean remote?" in line for line in found)


def test_a_mistake_is_told_in_the_words_of_its_place(tmp_path: Path) -> None:
    file = read_answers(private(tmp_path / "a.yaml", "host: a\npolicy: {remote: /x}\ntick: 0\n"))
    draft = file.with_answer(("host",), "A", "--host").with_answer(("policy", "ref"), "-", "--policy-ref")
    found = draft.check()
    assert isinstance(found, list)
    assert [line.split(": ")[0] for line in sorted(found)] == [
        "--host",
        "--policy-ref",
        f"{tmp_path}/a.yaml:3",
    ]


def test_what_is_missing_names_the_option() -> None:
    assert Draft().check() == [
        "host: is required (give --host or --answers FILE)",
        "policy: is required (give --policy-remote or --answers FILE)",
    ]


def test_one_answer_is_judged_by_itself() -> None:
    draft = Draft().with_answer(("tick",), "15")
    assert draft.mistakes(("tick",)) == ["has no unit (write 15m for minutes, 15h for hours or 15d for days)"]
    assert draft.mistakes(("host",)) == ["is required (give an id, such as web-01)"]
    assert draft.with_answer(("tick",), None).answer(("tick",)) is None


def test_an_address_in_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "a.yaml", "notifiers: {ops: {address: json://user:hunter2@localhost}}\n")
    path.chmod(0o640)
    with pytest.raises(Misuse, match="others may read it") as refused:
        read_answers(path)
    assert "hunter2" not in str(refused.value)
    path.chmod(0o600)
    assert "hunter2" not in repr(read_answers(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "is not a mapping of keys"),
        ("a: 1\n---\nb: 2\n", "must hold exactly one YAML document"),
        ("host: [\n", "is not YAML"),
    ],
)
def test_what_is_no_answers_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Misuse, match=said):
        read_answers(private(tmp_path / "a.yaml", text))


def test_an_answers_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "a.yaml", "host: a\n")
    path.chmod(0o622)
    with pytest.raises(Misuse, match="others can change"):
        read_answers(path)
    with pytest.raises(Misuse) as refused:
        read_answers(tmp_path / "none.yaml")
    assert refused.value.hint == "give --answers FILE"


def test_adjusting_keeps_what_is_not_answered_anew() -> None:
    config = configuration(
        answers(complete(labels={"env": "test"}, git={"timeout": "1m", "identity": "/k"}, tick="30m")), {}
    )
    above = Draft({"git": {"identity": "/other"}, "labels": {"role": "web"}})
    found = answers(merged(present_answers(config, "leave"), above))
    assert (found.tick, found.updaters) == (config.tick, "leave")
    assert (str(found.git.identity), found.git.timeout) == ("/other", config.git.timeout)
    assert found.labels == {"role": "web"}


def test_adjusting_keeps_which_guests_are_meant_and_a_new_answer_replaces_them() -> None:
    guests = {"from": ["proxmox"], "except": {"ids": [105]}, "labels": {"101": {"env": "prod"}}}
    config = configuration(answers(complete(guests=guests)), {})
    again = answers(merged(present_answers(config, "leave"), Draft({"tick": "30m"})))
    assert (again.guests, config.guests is not None) == (config.guests, True)
    below = present_answers(config, "leave")
    other = answers(merged(below, Draft({"guests": {"from": "lxc", "only": {"tags": "web"}}})))
    assert other.guests is not None
    assert (other.guests.except_, other.guests.labels) == (None, {})


def test_the_configuration_holds_no_address() -> None:
    found = answers(complete(notifiers={"ops": {"address": "json://u:hunter2@localhost"}}))
    text = config_text(configuration(found, {"ops": {"credential": "notifier-ops"}}))
    assert "hunter2" not in text + repr(found)
    assert "credential: notifier-ops" in text


def test_values_of_the_environment_are_not_shown() -> None:
    config = configuration(
        answers(complete(environment={"TOKEN": "hunter2", "B": "x\ny: z"}, manager="apt")), {}
    )
    shown = shown_text(config_text(config))
    assert "hunter2" not in shown
    assert "  TOKEN: ***" in shown
    assert "hunter2" not in shown_text("environment: {TOKEN: hunter2}\nhost: a\n")
    assert "host: web-01" in shown
    in_one_line = shown_text('{"host": "a", "environment": {"TOKEN": "hun\\"ter2"}}\n')
    assert in_one_line == "(not shown, since it holds values of `environment` in a form of its own)\n"


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(
    labels=st.dictionaries(TEXTS, TEXTS, max_size=4),
    environment=st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), TEXTS, max_size=4),
    remote=TEXTS.filter(lambda text: text.isprintable() and text == text.rstrip()).map("/{}".format),
    minutes=st.integers(1, 1440),
)
def test_a_configuration_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    labels: dict[str, str],
    environment: dict[str, str],
    remote: str,
    minutes: int,
) -> None:
    config = Config.model_validate(
        {
            "host": "web-01",
            "labels": labels,
            "environment": environment,
            "policy": {"remote": remote},
            "tick": f"{minutes}m",
            "guests": {
                "from": ["lxc", "incus"],
                "except": {"tags": ["x", 7]},
                "labels": {"101": {"env": remote}},
            },
        }
    )
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    private(path, config_text(config))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("Web_01.Example.org.", "web-01.example.org"),
        ("localhost", ""),
        ("a..b", "a.b"),
        ("-x-", "x"),
        ("db.lock", "db"),
        ("", ""),
    ],
)
def test_a_hosts_name_suggests_an_id(name: str, suggested: str) -> None:
    assert host_id(name) == suggested


@given(st.text(max_size=80))
def test_what_is_suggested_is_an_id(name: str) -> None:
    suggested = host_id(name)
    if suggested:
        assert answers(Draft({"host": suggested, "policy": {"remote": "/x"}})).host == suggested
