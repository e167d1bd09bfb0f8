"""setup, adjust and cleanup as people call them, in a folder of their own instead of on the whole system."""

import io
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler import process
from reconciler.cli import main
from reconciler.cli.showing.interfaces import schema
from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.gitops.signed_reports import own_public_key
from reconciler.host.config import load_config
from reconciler.host.install.installation import Layout
from reconciler.host.install.installer import Installer
from reconciler.host.state.folder import StateFolder
from tests.e2e.site import git
from tests.labs.signing import Keys, SignedRepository
from tests.labs.webhook import Receiver, receive

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-very-secret"


@dataclass(frozen=True)
class Place:
    """Two repositories, and a folder to set a host up in."""

    folder: Path
    receiver: Receiver
    told: pytest.CaptureFixture[str]

    @property
    def tested(self) -> list[str]:
        """What each test of a notifier was called: it sends what opens an incident, then what closes it."""
        titles = [body["title"] for body in self.receiver.bodies]
        assert titles[1::2] == [one.replace(": failed", ": recovered") for one in titles[::2]]
        return [one.removesuffix(": failed") for one in titles[::2]]

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "config.yaml"

    @property
    def policy(self) -> Path:
        return self.folder / "policy"

    @property
    def options(self) -> tuple[str, ...]:
        program = self.folder / "bin" / "patchledger"
        return ("--unit-dir", str(self.folder / "units"), "--program", str(program), "--no-plan")

    @property
    def address(self) -> str:
        return f"json://{SECRET}:x@127.0.0.1:{self.receiver.port}/"

    def answers(self, **more: object) -> Path:
        """Write an answers file with these beside the usual answers."""
        usual: dict[str, object] = {
            "host": "web-01",
            "labels": {"env": "test"},
            "policy": {"remote": str(self.policy)},
            "reports": {"remote": str(self.folder / "reports.git")},
            "notifiers": {"ops": {"address": self.address, "keep": "file"}},
            "state_dir": str(self.folder / "state"),
            "log_dir": str(self.folder / "log"),
            "hooks_dir": str(self.folder / "etc" / "hooks"),
            "manager": "apt",
        }
        path = self.folder / "answers.yaml"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key}: {json.dumps(one)}\n" for key, one in {**usual, **more}.items()))
        return path

    def run(self, verb: str, *arguments: str) -> tuple[int, str, str]:
        """Run a verb: exit code, standard output, standard error."""
        self.told.readouterr()
        more = self.options if verb in {"setup", "adjust"} else ()
        code = main(["--config", str(self.config), verb, *more, *arguments])
        said = self.told.readouterr()
        return code, said.out, said.err

    def set_up(self, **more: object) -> tuple[int, str, str]:
        return self.run("setup", "--answers", str(self.answers(**more)), "--yes")

    def files(self) -> dict[str, tuple[int, bytes | None]]:
        """Return everything there is: mode and content by path; each key that is made is another one."""
        return {
            str(path.relative_to(self.folder)): (
                stat.S_IMODE(path.stat().st_mode),
                path.read_bytes() if path.is_file() and not path.match("report_key*") else None,
            )
            for path in sorted(self.folder.rglob("*"))
            if path.name != "answers.yaml" and "objects" not in path.parts
        }


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Place]:
    folder = tmp_path / "place"
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "patchledger"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m reconciler "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    git(folder, "init", "-q", "-b", "main", "policy")
    (folder / "policy" / "policies").mkdir()
    (folder / "policy" / "policies" / "base.yaml").write_text("kind: Policy\nname: base\n")
    git(folder / "policy", "add", "-A")
    git(folder / "policy", "commit", "-q", "-m", "first policy")
    git(folder, "init", "-q", "--bare", "-b", "main", "reports.git")
    for receiver in receive(Receiver()):
        yield Place(folder, receiver, capsys)


def test_a_host_is_set_up_by_an_answers_file(place: Place) -> None:
    code, _, err = place.set_up()
    assert code == 0
    config = load_config(place.config)
    assert (config.host, config.labels) == ("web-01", {"env": "test"})
    secret = place.folder / "etc" / "secrets" / "ops"
    assert secret.read_text() == f"{place.address}\n"
    assert config.notifiers["ops"].file == secret
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place.config, secret)} == {0o600}
    assert "the policy can be fetched: main is at" in err
    assert "reports may be pushed to hosts/web-01" in err
    assert place.tested == ["[patchledger] web-01: test of the notifier ops"]
    timer = (place.folder / "units" / "patchledger.timer").read_text()
    assert "OnCalendar=*:0/15" in timer
    assert (
        f'ExecStart="{place.folder}/bin/patchledger" --config "{place.config}" run'
        in (place.folder / "units" / "patchledger.service").read_text()
    )


def test_a_signed_policy_begins_at_the_head_that_setup_verified(place: Place) -> None:
    ada = Keys(place.folder / "keys").ssh("ada@example.org")
    listed = place.folder / "allowed_signers"
    listed.write_text(ada.line(), encoding="utf-8")
    trust = {"mode": "signed", "allowed_signers": str(listed), "repository": "example/policy"}
    code, _, err = place.set_up(trust=trust)
    assert code == 3
    assert "is not signed" in err
    assert not place.config.exists()
    head = SignedRepository(place.policy).commit({"patchledger.yaml": "repository: example/policy\n"}, ada)
    code, _, err = place.set_up(trust=trust)
    assert code == 0, err
    assert "signed by ada@example.org" in err
    assert load_config(place.config).trust.floor == head


def test_no_floor_is_chosen_anew_by_itself(place: Place) -> None:
    """Another floor has a host follow another history, and a server may serve an old one just now."""
    ada = Keys(place.folder / "keys").ssh("ada@example.org")
    listed = place.folder / "allowed_signers"
    listed.write_text(ada.line(), encoding="utf-8")
    trust = {"mode": "signed", "allowed_signers": str(listed), "repository": "example/policy"}
    policy = SignedRepository(place.policy)
    first = policy.commit({"patchledger.yaml": "repository: example/policy\n"}, ada)
    second = policy.commit({"a": "1"}, ada)
    assert place.set_up(trust=trust)[0] == 0
    policy.commit({"a": "2"}, ada)
    assert place.set_up(trust=trust)[0] == 0
    assert load_config(place.config).trust.floor == second
    git(place.policy, "reset", "-q", "--hard", first)
    code, _, err = place.set_up(trust=trust)
    assert code == 1
    assert f"trust.floor {second} is not in the history" in err
    assert load_config(place.config).trust.floor == second
    assert place.set_up(trust={**trust, "floor": first})[0] == 0, "a person may"


def test_a_host_that_kept_its_state_begins_nowhere_anew(place: Place) -> None:
    """Without its configuration, after cleanup for instance: its state knows how far it had come."""
    ada = Keys(place.folder / "keys").ssh("ada@example.org")
    listed = place.folder / "allowed_signers"
    listed.write_text(ada.line(), encoding="utf-8")
    trust = {"mode": "signed", "allowed_signers": str(listed), "repository": "example/policy"}
    policy = SignedRepository(place.policy)
    first = policy.commit({"patchledger.yaml": "repository: example/policy\n"}, ada)
    second = policy.commit({"a": "1"}, ada)
    assert place.set_up(trust=trust)[0] == 0
    assert place.run("run")[0] == 0
    place.config.unlink()
    git(place.policy, "reset", "-q", "--hard", first)
    code, _, err = place.set_up(trust=trust)
    assert code == 1
    assert f"does not continue commit {second}, which this host accepted before" in err
    assert not place.config.exists()
    for name in ("trust.json", "policy.git/refs/patchledger/accepted"):
        (place.folder / "state" / name).rename(place.folder / "aside")  # either of them tells
        assert place.set_up(trust=trust)[0] == 1
        (place.folder / "aside").rename(place.folder / "state" / name)
    assert place.set_up(trust={**trust, "floor": first})[0] == 0, "a person may"
    place.config.unlink()
    git(place.policy, "reset", "-q", "--hard", second)
    third = policy.commit({"a": "2"}, ada)
    assert place.set_up(trust=trust)[0] == 0
    assert load_config(place.config).trust.floor == third


def test_a_key_that_ended_since_keeps_nobody_from_adjusting_a_host_that_is_well(place: Place) -> None:
    """What is in force stays so; by the keys of now alone, whoever changes a label would be refused."""
    keys = Keys(place.folder / "keys")
    ada, ben = keys.ssh("ada@example.org"), keys.ssh("ben@example.org")
    listed = place.folder / "allowed_signers"
    listed.write_text(ada.line() + ben.line(), encoding="utf-8")
    trust = {"mode": "signed", "allowed_signers": str(listed), "repository": "example/policy"}
    policy = SignedRepository(place.policy)
    policy.commit({"patchledger.yaml": "repository: example/policy\n"}, ada)
    assert place.set_up(trust=trust)[0] == 0
    policy.commit({"a": "1"}, ben)
    listed.write_text(ada.line() + ben.line('valid-before="20260101"'), encoding="utf-8")
    code, _, err = place.run("adjust", "--yes", "--label", "env=other")
    assert code == 3, "nobody had accepted it"
    assert "which is valid no longer" in err
    listed.write_text(ada.line() + ben.line(), encoding="utf-8")
    assert place.run("run")[0] == 0
    listed.write_text(ada.line() + ben.line('valid-before="20260101"'), encoding="utf-8")
    code, _, err = place.run("adjust", "--yes", "--label", "env=other")
    assert code == 0, err
    assert load_config(place.config).labels == {"env": "other"}
    assert "to enrol this host" in err
    policy.commit({"a": "2"}, ben)
    assert place.run("adjust", "--yes", "--label", "env=third")[0] == 3


def counted(place: Place, killed_at: int = 0) -> tuple[Path, dict[str, str]]:
    """Return where calls of ssh-keygen that verify are counted, and the environment in which they are.

    Whoever makes the one of this number is killed by it.
    """
    calls, instead = place.folder / "calls", place.folder / "counting" / "ssh-keygen"
    instead.parent.mkdir()
    calls.touch()
    killing = f'[ "$(wc -l < {calls})" -ne {killed_at} ] || kill -9 $PPID'
    verifying = f'case "$*" in "-Y verify"*) echo >>{calls}; {killing} ;; esac'
    instead.write_text(f'#!/bin/sh\n{verifying}\nexec /usr/bin/ssh-keygen "$@"\n')
    instead.chmod(0o755)
    return calls, {"PATH": f"{instead.parent}:{os.environ['PATH']}"}


def test_a_long_line_is_verified_on_where_setup_was_killed(place: Place) -> None:
    ada = Keys(place.folder / "keys").ssh("ada@example.org")
    policy = SignedRepository(place.policy)
    floor = policy.commit({"patchledger.yaml": "repository: example/policy\n"}, ada)
    policy.line(119, ada)
    listed = place.folder / "allowed_signers"
    listed.write_text(ada.line(), encoding="utf-8")
    trust = {
        "mode": "signed",
        "allowed_signers": str(listed),
        "repository": "example/policy",
        "floor": floor,
    }
    calls, environment = counted(place, killed_at=110)
    answers = str(place.answers(trust=trust, environment=environment))
    argv = [sys.executable, "-m", "reconciler", "--config", str(place.config), "setup", *place.options]
    here, there = os.openpty()
    try:
        killed = subprocess.run(
            [*argv, "--answers", answers, "--yes"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place.folder)},
            stdout=subprocess.DEVNULL,
            stderr=there,
            check=False,
        )
        said = os.read(here, 4000).decode()
    finally:
        os.close(here)
        os.close(there)
    assert killed.returncode == -9
    assert "patchledger: 100 of 119 policy commits are verified" in said
    assert not place.config.exists()
    code, _, err = place.run("setup", "--answers", answers, "--yes")
    assert code == 0, err
    # The first hundred are not asked of again; and of the whole line once more, to enrol, the last alone.
    assert len(calls.read_text()) == 110 + 19 + 1
    assert not list(place.config.parent.glob(".*")), "nothing of it stays"


def test_a_line_is_verified_once_however_often_setup_looks_at_it(place: Place) -> None:
    keys = Keys(place.folder / "keys")
    ada, ben = keys.ssh("ada@example.org"), keys.ssh("ben@example.org")
    policy = SignedRepository(place.policy)
    policy.commit(
        {"patchledger.yaml": "repository: example/policy\n", "trust/allowed_signers": ben.line()}, ada
    )
    head = policy.line(40, ben)[-1]
    listed = place.folder / "allowed_signers"
    listed.write_text(ada.line(), encoding="utf-8")
    trust = {"mode": "signed", "allowed_signers": str(listed), "repository": "example/policy"}
    calls, environment = counted(place)
    code, _, err = place.set_up(trust=trust, environment=environment)
    assert code == 0, err
    assert load_config(place.config).trust.floor == head
    # Where the line begins is asked first: at the newest commit by a key of the own list.
    assert len(calls.read_text()) == (1 + 41) + (1 + 1)


def test_what_a_setup_that_was_interrupted_keeps_goes_with_cleanup(place: Place) -> None:
    assert place.set_up()[0] == 0
    kept = Layout(place.config).policy_copy
    (kept / "policy.git").mkdir(parents=True)
    assert place.run("cleanup", "--yes")[0] == 0
    assert not place.config.parent.exists()


def test_the_host_gets_a_key_of_its_own_that_signs_its_reports(place: Place) -> None:
    code, _, err = place.set_up()
    assert code == 0
    key = load_config(place.config).reports.signing_key
    assert key == place.folder / "etc" / "report_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert own_public_key(key).startswith("ssh-ed25519 ")
    public = key.with_name("report_key.pub").read_text()
    assert public == f"{own_public_key(key)} web-01\n"
    assert f"done: make the SSH key {key}" in err
    assert not list(key.parent.glob(".*"))
    made = key.read_bytes()
    _, _, err = place.set_up(labels={"env": "other"})
    assert "SSH key" not in err
    assert key.read_bytes() == made
    assert place.run("cleanup", "--yes")[0] == 0
    assert not list(key.parent.glob("report_key*"))


def test_setup_prints_the_document_that_enrols_the_host(place: Place) -> None:
    code, out, err = place.set_up(labels={"env": "test", "of a document": "never"})
    assert code == 0
    key = own_public_key(place.folder / "etc" / "report_key")
    own = Path("/etc/machine-id").read_text().strip()
    assert out.splitlines() == [
        "kind: Host",
        'name: "web-01"',
        "labels:",
        '  "env": "test"',
        *([f'machine_id: "{own}"'] if own else []),
        f'report_key: "{key} web-01"',
    ]
    assert "let the policy repository have this as hosts/web-01.yaml" in err
    (place.policy / "hosts").mkdir()
    (place.policy / "hosts" / "web-01.yaml").write_text(out)
    assert place.run("policy", "check", str(place.policy))[0] == 0
    git(place.policy, "add", "-A")
    git(place.policy, "commit", "-q", "-m", "enrol web-01")
    code, out, err = place.set_up()
    assert (code, out) == (0, "")
    assert "this host is enrolled by hosts/web-01.yaml:1@" in err


def test_a_branch_that_enrols_is_pushed_with_a_credential_that_is_kept_nowhere(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "glpat-0123456789"
    path = place.answers()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{token}\n"))
    code, out, err = place.run("setup", "--answers", str(path), "--yes", "--enrol-with", "-")
    assert code == 0, err
    assert "pushed it as branch enrol/web-01" in err
    assert git(place.policy, "show", "enrol/web-01:hosts/web-01.yaml") == out.strip()
    assert git(place.policy, "diff", "--name-only", "main", "enrol/web-01") == "hosts/web-01.yaml"
    written = [path for path in place.folder.rglob("*") if path.is_file()]
    assert not [path for path in written if token.encode() in path.read_bytes()]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{token}\n"))
    code, _, err = place.run("adjust", "--yes", "--enrol-with", "-")
    assert code == 1
    assert "branch is there already" in err


def test_a_host_that_signs_no_reports_is_not_enrolled_in_silence(place: Place) -> None:
    path = place.answers(reports={})
    code, _, err = place.run("setup", "--answers", str(path), "--yes", "--enrol-with", "/dev/null")
    assert code == 2
    assert "this host cannot be enrolled: no key signs its reports" in err


def test_people_change_a_document_that_they_wrote(place: Place) -> None:
    (place.policy / "hosts").mkdir()
    (place.policy / "hosts" / "all.yaml").write_text("kind: Host\nname: web-01\nlabels: {env: gold}\n")
    git(place.policy, "add", "-A")
    git(place.policy, "commit", "-q", "-m", "name web-01")
    path = place.answers()
    code, out, err = place.run("setup", "--answers", str(path), "--yes", "--enrol-with", "/dev/null")
    assert code == 2
    assert '  "env": "gold"' in out
    assert "no branch was pushed, since hosts/all.yaml:1@" in err
    assert place.config.exists()
    assert place.run("adjust", "--yes")[0] == 0


def test_setup_names_policies_that_would_apply_to_guests_by_accident(place: Place) -> None:
    """Here there are none of them: whom a policy would apply to is a test of tests/planning."""
    code, _, err = place.set_up(guests={"from": ["lxc"]})
    assert code == 0, err
    assert "says nothing of guests" not in err


def test_a_key_that_is_there_is_taken_and_stays(place: Place) -> None:
    key = place.folder / "etc" / "report_key"
    key.parent.mkdir(mode=0o700)
    Path(Keys(place.folder / "keys").ssh("web-01").settings["user.signingkey"]).rename(key)
    before = key.read_bytes()
    code, _, err = place.set_up()
    assert (code, "SSH key" in err) == (0, False)
    assert load_config(place.config).reports.signing_key == key
    assert place.run("cleanup", "--yes")[0] == 0
    assert key.read_bytes() == before


def test_a_key_that_an_answer_names_is_made_there_and_goes_with_the_answer(place: Place) -> None:
    other = place.folder / "etc" / "keys" / "reports"
    reports = {"remote": str(place.folder / "reports.git"), "signing_key": str(other)}
    code, _, err = place.set_up(reports=reports)
    assert code == 0, err
    assert stat.S_IMODE(other.parent.stat().st_mode) == 0o700
    assert other.exists()
    assert place.set_up()[0] == 0
    assert load_config(place.config).reports.signing_key != other
    assert not other.exists()


def test_a_key_that_cannot_be_used_is_told_before_anything_is_changed(place: Place) -> None:
    key = place.folder / "mine"
    key.write_text("no key\n")
    key.chmod(0o600)
    reports = {"remote": str(place.folder / "reports.git"), "signing_key": str(key)}
    code, _, err = place.set_up(reports=reports)
    assert code == 2
    assert f"reports.signing_key {key}: " in err
    assert not place.config.exists()


def test_without_a_report_repository_there_is_no_key(place: Place) -> None:
    assert place.set_up(reports={})[0] == 0
    assert load_config(place.config).reports.signing_key is None
    assert not list((place.folder / "etc").glob("report_key*"))


def test_doing_it_twice_changes_nothing(place: Place) -> None:
    place.set_up()
    before = place.files()
    code, _, err = place.set_up()
    assert code == 0
    assert "nothing to do: this host is set up as answered" in err
    assert place.files() == before


def test_a_test_message_is_sent_where_an_address_is_new_or_another_one(place: Place) -> None:
    place.set_up()
    assert len(place.tested) == 1
    code, _, err = place.set_up()
    assert (code, len(place.tested)) == (0, 1)
    assert "ok: notifier ops answers; nothing was sent" in err
    assert place.run("adjust", "--yes", "--label", "a=b")[0] == 0
    assert len(place.tested) == 1
    other = f"{place.address}elsewhere/"
    assert place.set_up(notifiers={"ops": {"address": other, "keep": "file"}})[0] == 0
    assert len(place.tested) == 2
    both = {"ops": {"address": other, "keep": "file"}, "chat": {"address": other, "keep": "file"}}
    assert place.set_up(notifiers=both)[0] == 0
    assert place.tested[2:] == ["[patchledger] web-01: test of the notifier chat"]


def test_several_report_repositories_are_set_up_kept_and_taken_back(place: Place) -> None:
    several = [str(place.folder / f"reports-{number}.git") for number in range(3)]
    for path in several:
        git(place.folder, "init", "-q", "--bare", "-b", "main", path)
    options = [word for path in several for word in ("--report-remote", path)]
    code, out, err = place.run("setup", "--answers", str(place.answers()), *options, "--yes")
    assert code == 0, err
    own = load_config(place.config).report_remote
    assert load_config(place.config).report_remotes[0] == own
    assert sorted(load_config(place.config).report_remotes) == several
    assert f"reports may be pushed to hosts/web-01 of {own}" in out + err
    assert place.run("adjust", "--yes", "--label", "env=other")[0] == 0
    assert load_config(place.config).report_remote == own
    assert place.run("adjust", "--yes", "--report-remote", several[0])[0] == 0
    assert f"remote: {several[0]}\n" in place.config.read_text()


def test_a_dry_run_shows_everything_and_changes_nothing(place: Place) -> None:
    path = str(place.answers(environment={"TOKEN": SECRET}))
    before = place.files()
    code, out, err = place.run("setup", "--answers", path, "--dry-run")
    assert code == 0
    assert place.files() == before
    assert place.receiver.bodies == []
    assert "notifier ops answers; nothing was sent" in err
    assert f"write {place.config} (the configuration, mode 0600)" in out
    assert "    +host: web-01" in out
    assert "    +OnCalendar=*:0/15" in out
    assert SECRET not in out + err
    code, out, _ = place.run("setup", "--answers", path, "--dry-run", "--format", "json")
    valid("setup-result", out)
    assert (code, json.loads(out)["actions"][0]) == (0, f"make the folder {place.config.parent} (mode 0700)")
    place.set_up()
    _, out, _ = place.run("setup", "--answers", str(place.answers(tick="1h")), "--dry-run")
    changed = [line for line in out.splitlines() if not line.startswith(" ")]
    assert changed == [
        f"change {place.folder}/etc/installed.json (what is installed, mode 0600)",
        f"change {place.config} (the configuration, mode 0600)",
        f"change {place.folder}/units/patchledger.timer (unit, mode 0644)",
    ]


def test_answers_come_from_options(place: Place) -> None:
    address = place.folder / "address"
    address.touch(mode=0o600)
    address.write_text(place.address)
    code, _, err = place.run(
        "setup",
        *("--yes", "--host", "db-01", "--label", "env=prod", "--label", "role=db", "--tick", "30m"),
        *("--policy-remote", str(place.policy), "--notifier", f"ops={address}", "--keep-secrets", "file"),
        *("--answers", str(place.answers(notifiers={}))),
    )
    assert code == 0, err
    config = load_config(place.config)
    assert (config.host, config.labels) == ("db-01", {"env": "prod", "role": "db"})
    assert str(config.tick) == "0:30:00"
    assert len(place.tested) == 1


def test_an_address_comes_on_standard_input(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.write(write, f"{place.address}\n".encode())
    os.close(write)
    with os.fdopen(read) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        code, _, err = place.run(
            "setup",
            *("--yes", "--notifier", "ops=-", "--keep-secrets", "file"),
            *("--answers", str(place.answers(notifiers={}))),
        )
    assert code == 0, err
    assert len(place.tested) == 1


def test_a_label_is_added_to_those_of_the_host_and_dropped_by_name(place: Place) -> None:
    place.set_up(labels={"env": "staging", "role": "web"})

    code, _, err = place.run("adjust", "--yes", "--label", "env=production", "--label", "site=berlin")
    assert code == 0, err
    assert load_config(place.config).labels == {"env": "production", "role": "web", "site": "berlin"}
    assert "patchledger:   -  env: staging\npatchledger:   +  env: production\n" in err
    assert place.run("adjust", "--yes", "--remove-label", "site")[0] == 0
    assert load_config(place.config).labels == {"env": "production", "role": "web"}
    code, _, err = place.run("adjust", "--yes", "--remove-label", "rle")
    assert code == 2
    assert "--remove-label rle: there is no such label\n  hint: the labels are env, role\n" in err


def test_adjust_begins_with_the_present_answers(place: Place) -> None:
    place.set_up()
    answers = place.folder / "more.yaml"
    answers.touch(mode=0o600)
    answers.write_text("labels: {env: prod}\ntick: 1h\n")
    code, _, err = place.run("adjust", "--answers", str(answers), "--yes")
    assert code == 0, err
    config = load_config(place.config)
    assert (config.labels, str(config.tick), config.host) == ({"env": "prod"}, "1:00:00", "web-01")
    assert str(config.notifiers["ops"].file) == str(place.folder / "etc" / "secrets" / "ops")
    assert len(place.tested) == 1, "the notifier that is kept was only asked"
    code, _, err = place.run("adjust", "--yes", "--tick", "20m")
    assert code == 0, err
    assert "OnCalendar=*:0/20" in (place.folder / "units" / "patchledger.timer").read_text()


def test_adjust_needs_a_setup(place: Place) -> None:
    code, _, err = place.run("adjust", "--yes")
    assert code == 2
    assert err == f"patchledger: {place.config}: this host is not set up\n  hint: run `patchledger setup`\n"


def test_what_an_administrator_changed_is_kept(place: Place) -> None:
    place.set_up()
    edited = f"# by hand\n{place.config.read_text()}retention: {{runs: 7}}\n"
    place.config.write_text(edited)
    place.run("adjust", "--yes", "--tick", "1h")
    assert load_config(place.config).retention.runs == 7
    (copy,) = place.config.parent.glob("config.yaml.before-setup-*")
    assert copy.read_text() == edited


@pytest.mark.root
def valid(name: str, text: str) -> None:
    """Refuse what a command printed and its schema does not know."""
    Draft202012Validator(schema(name)).validate(json.loads(text))


def test_programs_read_what_was_done(place: Place) -> None:
    answers = str(place.answers())
    _, out, _ = place.run("setup", "--answers", answers, "--yes", "--format", "json")
    valid("setup-result", out)
    assert "kind: Host" in json.loads(out)["enrol"]
    valid("setup-result", place.run("adjust", "--yes", "--tick", "1h", "--format", "json")[1])
    valid("cleanup", place.run("cleanup", "--dry-run", "--format", "json")[1])
    valid("cleanup", place.run("cleanup", "--yes", "--format", "json")[1])


def test_cleanup_leaves_nothing(place: Place) -> None:
    before = place.files()
    place.set_up()
    code, out, _ = place.run("cleanup", "--dry-run")
    assert code == 0
    assert f"remove {place.folder}/state and all that is in it" in out
    assert place.config.exists()
    code, _, err = place.run("cleanup", "--yes")
    assert code == 0, err
    assert place.files() == before
    code, _, err = place.run("cleanup", "--yes")
    assert (code, err.splitlines()[0]) == (
        2,
        f"patchledger: {place.config.parent}: setup has installed nothing here",
    )


def test_folders_above_that_were_made_go_as_well(place: Place) -> None:
    deep = replace(place, folder=place.folder / "x" / "pl")
    before = place.files()
    answers = place.answers(
        state_dir=str(deep.folder / "srv/a/state"), log_dir=str(deep.folder / "srv/b/log")
    )
    units = ("--unit-dir", str(deep.folder / "units" / "deep"), *place.options[2:])
    config = ("--config", str(deep.config))
    assert main([*config, "setup", "--answers", str(answers), "--yes", *units]) == 0
    assert main([*config, "cleanup", "--yes"]) == 0
    assert place.files() == before


def test_a_folder_that_cannot_be_removed_is_named_and_keeps_nothing_else(place: Place) -> None:
    place.set_up()
    moved = place.folder / "other-disk"
    (place.folder / "state").rename(moved)
    (place.folder / "state").symlink_to(moved)
    code, _, err = place.run("cleanup", "--yes", "--purge")
    assert code == 1
    assert f"{place.folder}/state: is a link; it is left, with what it leads to ({moved})" in err
    assert moved.is_dir()
    assert not place.config.exists()
    assert not (place.folder / "etc").exists()


def test_what_is_secret_in_an_address_is_not_shown(place: Place) -> None:
    remote = f"https://user:{SECRET}@127.0.0.1:1/x?token={SECRET}"
    code, out, err = place.run("setup", "--dry-run", "--host", "web-01", "--policy-remote", remote)
    assert (code, out) == (2, "")
    assert "--policy-remote: 'https://***@127.0.0.1:1/x?***' holds a password (put it into a file" in err
    assert SECRET not in out + err


@pytest.mark.parametrize(
    "address",
    [
        f"https://user:{SECRET}@127.0.0.1:9/r.git",
        f"ssh://user:{SECRET}@127.0.0.1/r.git",
        f"user:{SECRET}@127.0.0.1:r.git",
        f"https://127.0.0.1:9/r.git?token={SECRET}",
        f"https://ghp_{SECRET.replace('-', '')}@127.0.0.1:9/r.git",
        "ext::sh -c x",
        "reports.git",
    ],
)
@pytest.mark.parametrize("key", ["policy", "reports"])
@pytest.mark.parametrize("how", ["--unchecked", "--dry-run"])
def test_a_configuration_that_works_is_never_replaced_by_one_that_every_tick_refuses(
    place: Place, key: str, address: str, how: str
) -> None:
    assert place.set_up()[0] == 0
    before = place.files()
    answers = place.answers(**{key: {"remote": address}})
    code, out, err = place.run("setup", "--answers", str(answers), "--yes", how)
    assert (code, out) == (2, "")
    assert f"{key}.remote: " in err
    assert f"{answers}:" in err
    assert place.files() == before
    assert SECRET.replace("-", "") not in (out + err).replace("-", "")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"root": "/nowhere/root"}, "root: there is no folder /nowhere/root"),
        ({"policy": {"remote": "/nowhere", "ref": "a..b"}}, "'a..b' is not a branch"),
        (
            {"policy": {"remote": "https://127.0.0.1:9/p"}, "git": {"credential": "/nowhere"}},
            "/nowhere does not",
        ),
        ({"notifiers": {"ops": {"credential": "gone"}}}, "there is no encrypted credential gone"),
    ],
)
def test_what_no_server_can_mend_is_never_passed_over(
    place: Place, more: dict[str, object], said: str
) -> None:
    assert place.set_up()[0] == 0
    before = place.config.read_bytes()
    code, _, err = place.run("setup", "--answers", str(place.answers(**more)), "--yes", "--unchecked")
    assert (code, said in err) == (2, True), err
    assert "nothing was changed; mend that first" in err
    assert place.config.read_bytes() == before


def test_a_package_manager_that_this_machine_lacks_is_never_passed_over(place: Place) -> None:
    """Every tick would end with what its script misses."""
    programs = place.folder / "programs"
    programs.mkdir()
    for name in ("sh", "apt-get", "dpkg"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    assert place.set_up()[0] == 0
    before = place.config.read_bytes()
    answers = place.answers(manager="zypper", environment={"PATH": str(programs)})
    code, _, err = place.run("setup", "--answers", str(answers), "--yes", "--unchecked")
    assert code == 2
    assert "manager: there is no zypper on this machine; it has apt\n" in err
    assert "hint: leave it out, and the distribution's own is taken" in err
    assert place.config.read_bytes() == before
    (programs / "dpkg").unlink()
    (programs / "apt-get").unlink()
    answers = place.answers(environment={"PATH": str(programs)})
    answers.write_text(answers.read_text().replace('manager: "apt"\n', ""))
    code, _, err = place.run("setup", "--answers", str(answers), "--yes", "--unchecked")
    assert code == 2
    assert "manager: no package manager found on this machine" in err
    assert place.config.read_bytes() == before


def test_a_password_that_a_present_file_holds_is_not_shown_by_what_replaces_it(place: Place) -> None:
    place.set_up()
    place.config.write_text(f"{{host: web-01, policy: {{remote: 'https://u:{SECRET}@127.0.0.1:9/p'}}}}\n")
    _, out, err = place.run("setup", "--answers", str(place.answers()), "--dry-run")
    assert "https://***@127.0.0.1:9/p" in out
    assert SECRET not in out + err
    code, out, err = place.run("adjust", "--yes", "--label", "a=b")
    assert code == 2
    assert SECRET not in out + err


def test_of_a_file_that_is_not_there_nothing_is_taken_away(place: Place) -> None:
    _, out, _ = place.run("setup", "--answers", str(place.answers()), "--dry-run")
    assert [line for line in out.splitlines() if line.startswith("    -")] == []


def test_cleanup_leaves_what_is_not_ours_and_names_it(place: Place) -> None:
    place.set_up()
    hook = place.folder / "etc" / "hooks" / "pre.d" / "10-stop"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\n")
    key = place.folder / "etc" / "deploy_key"
    key.write_text("key\n")
    code, _, err = place.run("cleanup", "--yes")
    assert code == 0
    assert f"left: {place.folder}/etc/hooks" in err
    assert sorted(path.name for path in (place.folder / "etc").iterdir()) == ["deploy_key", "hooks"]
    place.set_up()
    assert place.run("cleanup", "--yes", "--purge")[0] == 0
    assert sorted(path.name for path in (place.folder / "etc").iterdir()) == ["deploy_key"]


def test_cleanup_waits_for_a_run_and_for_what_one_left(place: Place) -> None:
    place.set_up()
    state = place.folder / "state"
    (state / "lock").touch(mode=0o600)
    (state / "journal.json").write_text("{}")
    code, _, err = place.run("cleanup", "--yes")
    assert code == 1
    assert "a run was interrupted" in err
    with StateFolder(state).locked():
        code, _, err = place.run("cleanup", "--yes", "--purge")
    assert code == 5
    assert "another patchledger run is at work" in err
    assert place.run("cleanup", "--yes", "--purge")[0] == 0
    assert not state.exists()


def test_cleanup_keeps_reports_that_were_not_pushed(place: Place) -> None:
    place.set_up()
    queue = place.folder / "state" / "reports.git"
    sink = ReportQueue(queue, str(place.folder / "reports.git"), Identity("web-01"))
    sink.commit("hosts/web-01", {"report.json": b"{}"}, "web-01: report", datetime.now(UTC), keep_runs=1)
    (queue.parent / "trust.json").write_text("{}")
    code, _, err = place.run("cleanup", "--yes")
    assert code == 0
    assert f"left: {queue}" in err
    assert [path.name for path in queue.parent.iterdir()] == ["reports.git"]
    assert sink.unpushed() == ("hosts/web-01",)


def test_cleanup_keeps_their_second_copy_where_the_queue_is_gone(place: Place) -> None:
    place.set_up()
    copy = place.folder / "state" / "reports.unpushed"
    copy.mkdir()
    (copy.parent / "trust.json").write_text("{}")
    code, _, err = place.run("cleanup", "--yes")
    assert (code, f"left: {copy}" in err) == (0, True)
    assert list(copy.parent.iterdir()) == [copy]


# --- Bad input ------------------------------------------------------------------------------------------


def test_all_mistakes_of_the_answers_are_told_at_once(place: Place) -> None:
    path = place.answers(host="Web_01", tick="90s", polcy={"remote": "x"}, trust={"floor": "main"})
    code, _, err = place.run("setup", "--answers", str(path), "--yes", "--policy-ref=-x")
    assert code == 2
    *lines, hint = [line.removeprefix("patchledger: ") for line in err.splitlines()]
    assert [line.split(" ")[0 if line.startswith("--") else 1].rstrip(":") for line in lines] == [
        "host",
        "--policy-ref",
        "tick",
        "polcy",
        "trust.floor",
    ]
    assert [line.split(" ")[0] for line in lines if not line.startswith("--")] == [
        f"{path}:{number}:" for number in (1, 10, 11, 12)
    ]
    assert hint == "  hint: mend the answers; nothing was changed"
    assert not place.config.parent.exists()


@pytest.mark.root
@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ({"policy": {"remote": "/nowhere/policy"}}, 1, "there is no such git repository"),
        ({"policy": {"remote": "https://127.0.0.1:9/p.git"}}, 5, "the server cannot be reached"),
        ({"reports": {"remote": "/nowhere/reports.git"}}, 1, "cannot push to /nowhere/reports.git"),
        (
            {"policy": {"remote": "https://u:hunter2@127.0.0.1:9/p"}},
            2,
            "policy.remote: 'https://***@127.0.0.1:9/p' holds",
        ),
        ({"notifiers": {"ops": {"address": "json://127.0.0.1:9", "keep": "file"}}}, 5, "cannot be reached"),
        (
            {"notifiers": {"ops": {"address": "nosuch://x", "keep": "file"}}},
            2,
            "does not understand the address",
        ),
        ({"notifiers": {"ops": {"address_file": "/nowhere"}}}, 2, "notifier ops: cannot read /nowhere"),
    ],
)
def test_what_fails_its_test_changes_nothing(
    place: Place, more: dict[str, object], code: int, said: str
) -> None:
    found, _, err = place.set_up(**more)
    assert (found, said in err) == (code, True), err
    assert "hunter2" not in err
    assert not place.config.parent.exists()


def test_everything_that_fails_is_told_and_can_be_passed_over(place: Place) -> None:
    bad = {"policy": {"remote": "/nowhere/policy"}, "reports": {"remote": "/nowhere/reports"}}
    code, _, err = place.set_up(**bad)
    assert code == 1
    assert err.count("there is no such git repository") == 2
    assert "a test message was sent to ops" in err
    code, _, err = place.run("setup", "--answers", str(place.answers(**bad)), "--yes", "--unchecked")
    assert code == 0
    assert load_config(place.config).policy.remote == "/nowhere/policy"


def test_a_notifier_that_refuses_says_so_without_its_secret(place: Place) -> None:
    place.receiver.status = 401
    code, out, err = place.set_up()
    assert code == 1
    assert "notifier ops: the service refused user or password" in err
    assert SECRET not in out + err


def test_a_dry_run_tells_what_would_fail_and_still_shows_the_rest(place: Place) -> None:
    bad = {"ops": {"address": "json://127.0.0.1:9", "keep": "file"}}
    code, out, err = place.run("setup", "--answers", str(place.answers(notifiers=bad)), "--dry-run")
    assert code == 5
    assert "notifier ops: the service cannot be reached" in err
    assert f"write {place.config}" in out


def test_two_at_once(place: Place) -> None:
    with Installer(Layout(place.config), print).locked():
        code, _, err = place.set_up()
    assert code == 5
    assert err == (
        "patchledger: another patchledger setup, adjust or cleanup is at work "
        f"(pid {os.getpid()})\n  hint: wait for it to end\n"
    )
    assert place.set_up()[0] == 0


def test_a_folder_that_cannot_be_written_is_one_line(place: Place) -> None:
    place.answers()
    place.folder.joinpath("etc").touch()  # as good as a file system that refuses, and root is refused too
    code, _, err = place.set_up()
    assert code == 2
    assert err.splitlines()[0] == f"patchledger: {place.folder}/etc: File exists"
    assert len(err.splitlines()) == 2


def test_setup_asks_nobody(place: Place) -> None:
    code, _, err = place.run("setup")
    assert code == 2
    assert err == (
        "patchledger: setup asks questions, and there is no terminal to answer on\n"
        "  hint: give --yes, with --answers FILE or options\n"
    )


@pytest.mark.root
def test_a_secret_is_never_kept_in_plain_text_by_itself(place: Place) -> None:
    """Where there is no systemd-creds, that is an error, unless a plain file was asked for."""
    answers = place.answers(notifiers={"ops": {"address": place.address}})
    without = 'mount --bind /dev/null /usr/bin/systemd-creds; exec "$@"'
    done = process.run(
        [
            *("unshare", "--mount", "sh", "-ec", without, "sh"),
            *(str(place.folder / "bin" / "patchledger"), "--config", str(place.config)),
            *("setup", *place.options, "--yes", "--answers", str(answers)),
        ]
    )
    assert done.returncode == 2, done.error_text
    assert "the address of ops cannot be encrypted: there is no systemd-creds" in done.error_text
    assert "keep: file" in done.error_text
    assert not list(place.folder.rglob("ops"))


def test_setup_that_was_killed_is_completed(place: Place) -> None:
    """Which steps there are, and that each may be the last one, is tested with the plans."""
    place.set_up(notifiers={})
    whole = place.files()
    place.run("cleanup", "--yes")
    path = place.answers(notifiers={})
    for step in (1, 4, 8):
        done = process.run(
            [
                *(sys.executable, "-c", KILLED.format(step=step), "--config", str(place.config)),
                *("setup", *place.options, "--yes", "--answers", str(path)),
            ],
            env={"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == -signal.SIGKILL, done.error_text
        assert place.files() != whole
        code, _, err = place.set_up(notifiers={})
        assert code == 0, err
        assert place.files() == whole, f"after {step} steps"
        assert place.run("cleanup", "--yes")[0] == 0


KILLED = """
import os, signal, sys
from reconciler.cli import main
from reconciler.cli.verbs import setup
from reconciler.host.install import installer
steps = iter(range({step}))
class Mortal(installer.Installer):
    def _do(self, action):
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._do(action)
setup.Installer = Mortal
sys.exit(main())
"""


def test_the_schema_knows_a_good_file_and_a_bad_one() -> None:
    schema = json.loads((ROOT / "schemas" / "setup.schema.json").read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)
    good = {"policy": {"remote": "/x"}, "notifiers": {"ops": {"address": "json://a", "keep": "file"}}}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "updaters": "kill"})
    assert not validator.is_valid({**good, "polcy": {}})
