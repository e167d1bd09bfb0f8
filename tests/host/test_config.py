"""The configuration is read whole or not at all, and every mistake is told with its line."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import Misuse
from reconciler.host.config import Config, digest_of_rules, load_config

SMALLEST = "host: web-01\npolicy: {remote: /srv/policy.git}\n"


def config(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_the_smallest_configuration_and_its_defaults(tmp_path: Path) -> None:
    read = load_config(config(tmp_path, SMALLEST))
    assert read == Config.model_validate({"host": "web-01", "policy": {"remote": "/srv/policy.git"}})
    assert (read.policy.ref, read.reports.remote, read.state_dir) == (
        "main",
        None,
        Path("/var/lib/patchledger"),
    )
    assert (read.reports.heartbeat, read.git.timeout) == (timedelta(hours=24), timedelta(minutes=5))


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    text = SMALLEST.replace("}", ", ref: stable/main}") + (
        "labels: {env: production}\n"
        "reports: {remote: 'ssh://git@git.example/reports.git', signing_key: /etc/k, heartbeat: 12h}\n"
        "git: {known_hosts: /etc/kh, identity: /etc/id, ca_file: /etc/ca, credential: /etc/token,\n"
        "  timeout: 90s}\n"
        f"trust: {{mode: none, floor: {'a' * 40}}}\n"
        "retention: {runs: 5}\n"
        "notifiers: {ops: {credential: ops-url}, me: {file: /etc/me}}\n"
        "root: /srv/image\nenvironment: {https_proxy: 'http://proxy.example:3128'}\n"
        "state_dir: /srv/state\nlog_dir: /srv/log\n"
    )
    read = load_config(config(tmp_path, text))
    assert read.labels == {"env": "production"}
    assert read.notifiers["me"].file == Path("/etc/me")
    assert read.environment["https_proxy"] == "http://proxy.example:3128"


def test_what_is_said_of_guests_has_defaults(tmp_path: Path) -> None:
    usual = load_config(config(tmp_path, f"{SMALLEST}guests: {{from: proxmox}}\n")).guests
    assert usual is not None
    assert (usual.parallel, usual.wait, usual.environment) == (2, timedelta(hours=1), {})
    assert usual.hooks_dir == Path("/etc/patchledger/guest-hooks")
    text = "guests: {from: lxc, hooks_dir: /h, wait: 0s, environment: {A: b}, parallel: 4}\n"
    said = load_config(config(tmp_path, SMALLEST + text)).guests
    assert said is not None
    assert (said.parallel, said.wait, said.environment) == (4, timedelta(0), {"A": "b"})


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("host: Web_01\npolicy: {remote: /x}\n", 1, "host"),
        ("host: a..b\npolicy: {remote: /x}\n", 1, "git branch"),
        ("host: a.lock\npolicy: {remote: /x}\n", 1, "git branch"),
        ("host: a\n", 1, "policy"),
        (SMALLEST + "polcy: {}\n", 3, "did you mean policy"),
        (SMALLEST + "state_dir: here\n", 3, "absolute"),
        (SMALLEST + "trust: {mode: signed}\n", 3, "needs allowed_signers and repository"),
        (SMALLEST + "trust: {repository: x}\n", 3, "mode: signed"),
        (SMALLEST + "trust: {mode: gpg}\n", 3, "trust.mode"),
        (SMALLEST + "trust: {floor: abc}\n", 3, "trust.floor"),
        (SMALLEST + "notifiers: {ops: {}}\n", 3, "needs exactly one of credential and file"),
        (SMALLEST + "git: {timeout: 90}\n", 3, "git.timeout"),
        (SMALLEST + "labels: {env: [a]}\n", 3, "labels.env"),
        (SMALLEST + "guests: {}\n", 3, "guests.from"),
        (SMALLEST + "guests: {from: [docker]}\n", 3, "guests.from"),
        (SMALLEST + "guests: {from: []}\n", 3, "guests.from"),
        (SMALLEST + "guests: {from: lxc, parallel: 0}\n", 3, "guests.parallel"),
        (SMALLEST + "guests: {from: lxc, parallel: 65}\n", 3, "guests.parallel"),
        (SMALLEST + "guests: {from: lxc, parallel: '2'}\n", 3, "guests.parallel"),
        (SMALLEST + "guests: {from: lxc, parallel: true}\n", 3, "guests.parallel"),
        (SMALLEST + "guests: {from: lxc, wait: 60}\n", 3, "guests.wait"),
        (SMALLEST + "guests: {from: lxc, wait: -1h}\n", 3, "guests.wait"),
        (SMALLEST + "guests: {from: lxc, environment: {a-b: c}}\n", 3, "guests.environment"),
        (SMALLEST + "guests: {from: lxc, environment: {A: 1}}\n", 3, "guests.environment.A"),
        (SMALLEST + "guests: {from: lxc, hooks_dir: here}\n", 3, "guests.hooks_dir"),
        (
            SMALLEST + "guests: {from: lxc, hooks_dir: /etc/patchledger/hooks}\n",
            3,
            "would run for each guest",
        ),
        (SMALLEST + "guests: {from: lxc, hooks_dir: /etc/patchledger/hooks/g}\n", 3, "guests.hooks_dir"),
        (SMALLEST + "guests: {from: lxc, hooks_dir: /etc/patchledger}\n", 3, "guests.hooks_dir"),
        (SMALLEST + "hooks_dir: /etc/patchledger/guest-hooks\nguests: {from: lxc}\n", 4, "guests.hooks_dir"),
        (SMALLEST + "guests: {from: lxc, snapshots: {}}\n", 3, "guests.snapshots"),
        (SMALLEST + "guests: {from: lxc, only: {ids: a}, except: {ids: b}}\n", 3, "keep one of the two"),
        (SMALLEST + "guests: {from: lxc, only: {}}\n", 3, "names no guest"),
        (SMALLEST + "guests: {from: lxc, only: {ids: [Web_1]}}\n", 3, "guests.only.ids"),
        (SMALLEST + "guests: {from: lxc, except: {tags: ['a b']}}\n", 3, "guests.except.tags"),
        (SMALLEST + "guests: {from: lxc, labels: {101: {}}}\n", 3, 'write "101" with quotes'),
        (SMALLEST + "guests: {from: lxc, labels: {a: {_x: y}}}\n", 3, "guests.labels"),
        (SMALLEST + "host: twice\n", 3, "host"),
        (SMALLEST + "---\nhost: b\n", 1, "exactly one YAML document"),
        ("", 1, ""),
        (SMALLEST + "labels: &a {}\nenvironment: *a\n", 3, ""),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = config(tmp_path, text)
    with pytest.raises(Misuse) as caught:
        load_config(path)
    assert f"{path}:{line}:" in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = config(tmp_path, SMALLEST)
    path.write_bytes(SMALLEST.encode() + b"labels: {env: caf\xe9}\n")
    with pytest.raises(Misuse, match="UTF-8"):
        load_config(path)


@pytest.mark.parametrize(
    ("policy", "reports"),
    [
        ("/srv/ops.git", "file:///srv/ops.git/"),
        ("/srv/ops", "/srv/ops/.git"),
        ("https://git.example.org/ops/all.git", "git@git.example.org:ops/all.git"),
        ("ssh://git@git.example.org:2222/ops/all", "ssh://other@GIT.example.org/ops/all.git/"),
    ],
)
def test_one_repository_for_both_is_for_signed_policy_alone(
    tmp_path: Path, policy: str, reports: str
) -> None:
    text = f"host: a\npolicy: {{remote: '{policy}'}}\nreports: {{remote: '{reports}'}}\n"
    with pytest.raises(
        Misuse, match=r"config.yaml:3: reports.remote: is the policy repository too"
    ) as caught:
        load_config(config(tmp_path, text))
    assert "trust.mode: signed" in caught.value.message
    signed = "trust: {mode: signed, allowed_signers: /etc/signers, repository: x}\n"
    assert load_config(config(tmp_path, text + signed)).report_remote == reports


@pytest.mark.parametrize(
    ("policy", "reports"),
    [
        ("/srv/policy.git", "/srv/reports.git"),
        ("/srv/ops", "/srv/ops.git"),
        ("https://git.example.org/ops/all.git", "https://other.example.org/ops/all.git"),
        ("git@git.example.org:ops/policy.git", "git@git.example.org:ops/policy-reports.git"),
    ],
)
def test_two_repositories_are_two(tmp_path: Path, policy: str, reports: str) -> None:
    text = f"host: a\npolicy: {{remote: '{policy}'}}\nreports: {{remote: '{reports}'}}\n"
    assert load_config(config(tmp_path, text)).report_remote == reports


def test_of_several_report_repositories_the_id_chooses_one(tmp_path: Path) -> None:
    several = "reports: {remote: [/srv/reports-1.git, /srv/reports-2.git, /srv/reports-3.git]}\n"
    text = "host: {host}\npolicy: {{remote: /srv/policy.git}}\n"
    chosen = set()
    for number in range(20):
        found = load_config(config(tmp_path, text.format(host=f"web-{number}") + several))
        assert sorted(found.report_remotes) == [f"/srv/reports-{one}.git" for one in (1, 2, 3)]
        assert found.report_remote == found.report_remotes[0]
        chosen.add(found.report_remote)
    assert len(chosen) == 3


@pytest.mark.parametrize(
    ("remote", "wrong"),
    [
        ("[]", "reports.remote"),
        ("[/srv/a.git, '']", "reports.remote[1]"),
        ("[/srv/a.git, file:///srv/a.git/]", "names the repository /srv/a.git twice"),
        (
            "['https://git.example.org/ops/a.git', 'git@git.example.org:ops/a']",
            "names the repository git.example.org/ops/a twice",
        ),
        ("[/srv/a.git, /srv/policy.git]", "is the policy repository too"),
    ],
)
def test_a_list_of_report_repositories_is_looked_through(tmp_path: Path, remote: str, wrong: str) -> None:
    text = f"host: a\npolicy: {{remote: /srv/policy.git}}\nreports: {{remote: {remote}}}\n"
    with pytest.raises(Misuse) as caught:
        load_config(config(tmp_path, text))
    assert wrong in caught.value.message


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_it_is_refused_where_others_may_change_it(tmp_path: Path, mode: int) -> None:
    with pytest.raises(Misuse, match="others can change") as caught:
        load_config(config(tmp_path, SMALLEST, mode))
    assert "chmod go-w" in caught.value.hint


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is a folder"):
        load_config(tmp_path)


def test_a_folder_in_which_others_can_replace_the_file_is_refused(tmp_path: Path) -> None:
    path = config(tmp_path, SMALLEST)
    tmp_path.chmod(0o777)
    with pytest.raises(Misuse, match="put another in its place"):
        load_config(path)
    tmp_path.chmod(0o1777)  # sticky, as /tmp is: only owners replace their files
    assert load_config(path).host == "web-01"


@pytest.mark.root
def test_a_folder_of_somebody_else_further_up_is_refused(tmp_path: Path) -> None:
    """Its owner could put another folder in the place of ours, however private that one is."""
    ours = tmp_path / "theirs" / "ours"
    ours.mkdir(parents=True, mode=0o700)
    path = config(ours, SMALLEST)
    os.chown(ours.parent, 65534, 65534)
    with pytest.raises(Misuse, match="theirs belongs to user 65534"):
        load_config(path)


@pytest.mark.parametrize("text", ["{A=B: c}", "{'': c}", "{'A B': c}", '{A: "b\\0c"}', "{1A: c}"])
def test_a_variable_that_no_process_can_be_given_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misuse, match="environment"):
        load_config(config(tmp_path, SMALLEST + f"environment: {text}\n"))


def test_what_is_said_of_guests_is_among_the_rules_of_a_host(tmp_path: Path) -> None:
    def digest(guests: str) -> str:
        return digest_of_rules(load_config(config(tmp_path, f"{SMALLEST}{guests}")))

    proxmox = "guests: {from: proxmox"
    rules = ("", ", wait: 5m", ", only: {ids: [101]}", ", except: {ids: [101]}", ", environment: {A: x}")
    told = [digest(f"{proxmox}{more}}}\n") for more in rules]
    told += [digest(""), digest("guests: {from: incus}\n")]
    assert len(set(told)) == len(told)
    for same in (", parallel: 7", ", labels: {'101': {env: x}}", ", hooks_dir: /srv/hooks"):
        assert digest(f"{proxmox}{same}}}\n") == told[0]
    assert digest(f"{proxmox}, environment: {{A: a secret}}}}\n") == told[4], "no value of a variable"
