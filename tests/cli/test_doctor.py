"""``doctor`` on a machine of a folder: what is well, what is wrong, and what it never shows or changes."""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main
from tests.e2e.site import Site
from tests.labs.apt import AptLab
from tests.labs.signing import Keys, SignedRepository
from tests.labs.webhook import Receiver, receive

SECRET = "correct-horse-battery"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from receive(Receiver())


@pytest.fixture
def lab(apt_world: AptLab, tmp_path: Path) -> AptLab:
    return apt_world.copy(tmp_path / "machine")


@pytest.fixture
def site(lab: AptLab, tmp_path: Path, receiver: Receiver) -> Site:
    address = tmp_path / "ops.url"
    address.touch(mode=0o600)
    address.write_text(f"json://ada:{SECRET}@127.0.0.1:{receiver.port}/\n")
    site = Site.create(tmp_path / "site", environment={**lab.environment, "PROXY_PASSWORD": SECRET})
    site.configure(
        environment={**lab.environment, "PROXY_PASSWORD": SECRET}, notifiers={"ops": {"file": str(address)}}
    )
    return site


Doctor = Callable[..., tuple[int, dict[tuple[str, str], str]]]


@pytest.fixture
def doctor(site: Site, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Return a function that runs doctor: exit code, and hints by level and message."""

    def run(*options: str) -> tuple[int, dict[tuple[str, str], str]]:
        capsys.readouterr()
        code = main(["--config", str(site.config), "doctor", "--format", "json", *options])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert SECRET not in json.dumps(document)
        return code, {(one["level"], one["message"]): one["hint"] for one in document["findings"]}

    return run


def levels(found: dict[tuple[str, str], str], level: str) -> list[str]:
    return [message for of, message in found if of == level]


def content(folder: Path) -> dict[str, str]:
    """Return a digest of every file below ``folder``."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_a_healthy_host_is_told_so_and_nothing_changes(
    site: Site, doctor: Doctor, lab: AptLab, receiver: Receiver
) -> None:
    before = content(site.folder), content(lab.root)
    code, found = doctor()
    assert (code, levels(found, "problem")) == (0, [])
    well = levels(found, "ok")
    assert any(message.startswith("the policy can be fetched: main is at") for message in well)
    assert f"reports may be pushed to hosts/web-01 of {site.reports}" in well
    assert "apt-update.sh and common.sh are those that were delivered" in well
    assert "ops answers" in well
    assert (content(site.folder), content(lab.root)) == before
    assert receiver.bodies == [], "nothing was sent"


def test_all_that_is_wrong_is_told_at_once(site: Site, doctor: Doctor, tmp_path: Path) -> None:
    site.state.mkdir()
    site.state.chmod(0o777)
    hook = site.hook("pre", "10-open", "exit 0")
    hook.chmod(0o777)
    site.hook("post", "20-off", "exit 0").chmod(0o644)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        address = tmp_path / "down.url"
        address.touch(mode=0o600)
        address.write_text(f"json://ada:{SECRET}@127.0.0.1:{taken.getsockname()[1]}/\n")
        site.configure(
            policy={"remote": str(tmp_path / "nowhere")},
            reports={"remote": str(tmp_path / "nowhere.git"), "signing_key": str(address)},
            notifiers={"down": {"file": str(address)}, "open": {"file": str(site.config)}},
            manager="apt",
            environment={"APT_CONFIG": "/nonexistent", "PROXY_PASSWORD": SECRET},
        )
        code, found = doctor()
    wrong = levels(found, "problem")
    assert code == 2, "a notifier's file that holds no address is a matter of the configuration"
    for words in (
        "cannot fetch the policy",
        "cannot push to",
        "reports.signing_key",
        f"state_dir {site.state}: others may write to it",
        f"pre.d/10-open is refused: {hook} may be written to by others",
        "down: the service cannot be reached",
        "notifier open: its secret is not one apprise URL",
    ):
        assert any(words in message for message in wrong), (words, wrong)
    assert all(found["problem", message] for message in wrong), "every problem has a hint"
    assert "post.d/20-off is no hook: it is not executable" in levels(found, "warning")


def test_routes_to_a_notifier_that_the_host_does_not_have_are_told(site: Site, doctor: Doctor) -> None:
    routes = "notify: [{to: opps, on: failed}, {to: ops, on: applied}]\n"
    site.commit({"policies/routes.yaml": f"kind: Policy\nname: routes\n{routes}"})
    said = "messages go to opps by the policy, and this host has no such notifier (it has ops)"

    assert main(["--config", str(site.config), "run"]) == 0
    code, found = doctor("--offline")

    assert code == 0
    assert found["warning", said].startswith("add it by `patchledger adjust --notifier NAME=FILE`")
    (condition,) = [one for one in site.report()["conditions"] if one["type"] == "SettingWithoutEffect"]
    assert condition["message"] == said
    site.commit({"policies/routes.yaml": f"kind: Policy\nname: routes\n{routes.replace('opps', 'ops')}"})
    assert main(["--config", str(site.config), "run"]) == 0
    assert said not in levels(doctor("--offline")[1], "warning")
    assert "SettingWithoutEffect" not in [one["type"] for one in site.report()["conditions"]]


def test_who_may_sign_policy_is_told(site: Site, doctor: Doctor, tmp_path: Path) -> None:
    _, found = doctor()
    assert "signatures are not asked for (trust.mode is none)" in levels(found, "ok")
    keys = Keys(tmp_path / "keys")
    ada, ben = keys.ssh("ada@example.org"), keys.ssh("ben@example.org")
    listed = tmp_path / "allowed_signers"
    site.configure(trust={"mode": "signed", "allowed_signers": str(listed), "repository": "x"})
    soon = datetime.now(UTC) + timedelta(days=10)
    listed.write_text(ada.line() + ben.line(f'valid-before="{soon:%Y%m%d}"'))
    code, found = doctor()
    assert code == 3
    assert any(message.endswith(" is not signed") for message in levels(found, "problem"))
    assert "2 keys of this host's own list may sign policy" in levels(found, "ok")
    assert f"{listed}:2: the key of ben@example.org ends on {soon:%Y-%m-%d}" in levels(found, "warning")
    SignedRepository(site.policy).commit({}, ada)
    listed.write_text(ada.line())
    code, found = doctor()
    assert code == 0
    assert any(message.endswith(", signed by ada@example.org") for message in levels(found, "ok"))
    # That a forge is trusted makes up for no key, and is told beside them.
    forge = tmp_path / "forge"
    forge.write_text(ben.line())
    merged = {"key": str(forge), "accounts": ["ada@example.org"]}
    site.configure(
        trust={"mode": "signed", "allowed_signers": str(listed), "repository": "x", "forge": merged}
    )
    for text, said in ((ada.line('valid-before="20200101"'), "nobody of"), ("oops\n", "holds no public key")):
        listed.write_text(text)
        _, found = doctor()
        assert any(said in message for message in levels(found, "problem"))
        assert any("is trusted for merges by 1 account" in message for message in levels(found, "ok"))


def test_the_program_that_checks_a_forge_is_missed_as_well(
    site: Site, doctor: Doctor, tmp_path: Path
) -> None:
    """People may sign by ssh, and the forge by OpenPGP: then each merge is refused."""
    keys = Keys(tmp_path / "keys")
    listed, forge, programs = tmp_path / "allowed_signers", tmp_path / "forge", tmp_path / "bin"
    listed.write_text(keys.ssh("ada@example.org").line())
    forge.write_text(keys.openpgp("forge.example").line())
    programs.mkdir()
    (programs / "ssh-keygen").symlink_to("/usr/bin/ssh-keygen")
    site.configure(
        environment={"PATH": str(programs)},
        trust={
            "mode": "signed",
            "allowed_signers": str(listed),
            "repository": "x",
            "forge": {"key": str(forge), "accounts": ["ada@users.forge.example"]},
        },
    )
    missing = "gpg is missing: no signature can be verified"
    assert missing in levels(doctor("--offline")[1], "problem")
    (programs / "gpg").symlink_to("/usr/bin/gpg")
    assert missing not in levels(doctor("--offline")[1], "problem")


def test_a_key_of_its_own_reports_that_is_revoked_is_told(site: Site, doctor: Doctor, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    ada, own = keys.ssh("ada@example.org"), keys.ssh("web-01")
    listed, revoked = tmp_path / "allowed_signers", tmp_path / "revoked"
    listed.write_text(ada.line())
    key = own.settings["user.signingkey"]
    site.configure(
        reports={"remote": str(site.reports), "signing_key": key},
        trust={
            "mode": "signed",
            "allowed_signers": str(listed),
            "revoked": str(revoked),
            "repository": "x",
        },
    )
    revoked.write_text(ada.fingerprint)
    assert f"reports are signed with {key}" in levels(doctor("--offline")[1], "ok")
    revoked.write_text(own.line())
    code, found = doctor("--offline")
    assert code == 2
    assert f"reports.signing_key {key}: this key is revoked by {revoked}" in levels(found, "problem")


def test_what_is_said_of_guests_in_vain_is_told(site: Site, doctor: Doctor, lab: AptLab) -> None:
    guests = {"from": ["lxc"], "wait": "2h", "labels": {"nobody": {"env": "prod"}}}
    site.configure(environment=lab.environment, guests=guests)
    code, found = doctor("--offline")
    assert code == 0
    told = [message for message in levels(found, "warning") if "guest" in message]
    assert told == ["guest nobody is named, and it is not there"]
    assert any("left out (`patchledger guests`)" in message for message in levels(found, "ok"))


def test_what_no_server_is_asked_for_is_left_out(site: Site, doctor: Doctor, tmp_path: Path) -> None:
    site.configure(policy={"remote": str(tmp_path / "nowhere")}, manager="apt")
    code, found = doctor("--offline")
    assert code == 0
    assert not [message for _, message in found if "policy" in message]


def test_a_package_manager_that_is_named_and_not_there_is_told(
    site: Site, doctor: Doctor, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to("/usr/bin/sh")
    (programs / "pacman").symlink_to("/usr/bin/pacman")
    site.configure(environment={"PATH": str(programs)}, manager="zypper")
    code, found = doctor("--offline")
    assert code == 2
    assert "manager: there is no zypper on this machine; it has pacman" in levels(found, "problem")


def test_a_wrong_configuration_does_not_keep_the_rest_from_being_seen(site: Site, doctor: Doctor) -> None:
    site.config.write_text("host: web-01\npolicy: {remote: /x}\nspeling: 1\n")
    code, found = doctor()
    assert code == 2
    assert any("speling" in message for message in levels(found, "problem"))
    assert any(message.startswith("git version") for message in levels(found, "ok"))


def test_an_unreachable_remote_is_transient(site: Site, doctor: Doctor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        site.configure(
            policy={"remote": f"http://127.0.0.1:{taken.getsockname()[1]}/policy.git"}, manager="apt"
        )
        code, found = doctor()
    assert code == 5
    assert any("the server cannot be reached" in message for message in levels(found, "problem"))


def test_a_machine_left_half_done_is_a_problem(doctor: Doctor, lab: AptLab) -> None:
    (lab.root / "var/lib/dpkg/updates").mkdir(exist_ok=True)
    (lab.root / "var/lib/dpkg/updates/0001").write_text("")
    code, found = doctor("--offline")
    assert code == 1
    assert any(message.startswith("left half done: ") for message in levels(found, "problem"))


def test_for_people_it_is_a_list_with_hints(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.config.chmod(0o644)
    assert main(["--config", str(site.config), "doctor", "--offline"]) == 0
    said = capsys.readouterr().out
    assert f"hint: chmod 600 {site.config}" in " ".join(said.split())
    assert "warning" in said.splitlines()[-1]
    assert "\x1b" not in said
    assert SECRET not in said


def test_a_credential_that_the_unit_passes_is_looked_at(site: Site, doctor: Doctor, tmp_path: Path) -> None:
    """Where the unit passes credentials, they are looked at as the tick would."""
    folder = tmp_path / "passed"
    folder.mkdir()
    (folder / "ops").write_text("not an address " + SECRET)
    site.configure(notifiers={"ops": {"credential": "ops"}}, manager="apt")
    os.environ["CREDENTIALS_DIRECTORY"] = str(folder)
    try:
        code, found = doctor("--offline")
    finally:
        del os.environ["CREDENTIALS_DIRECTORY"]
    assert code == 2
    assert "notifier ops: its secret is not one apprise URL" in levels(found, "problem")
