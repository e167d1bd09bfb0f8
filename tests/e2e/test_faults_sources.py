"""Repositories that are away, forged, broken or out of date: told, and nothing of them is applied."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.machines import INSIDE, Debian, Plant, RedHat, Suse, code_of
from tests.e2e.site import BEFORE
from tests.labs.apt import MAIN, AptLab

LATER = INSIDE + timedelta(minutes=15)
NOW = datetime.now(UTC)


def assert_waits_for_the_source(plant: Plant, *words: str) -> None:
    """Let a run come inside the window: it must not apply what it cannot know."""
    before = plant.machine.versions()
    done = plant.tick()
    assert (code_of(done), done.runs) == (5, ())
    report = plant.report()
    assert report["decision"]["outcome"] == "metadata-stale"
    message = plant.condition("MetadataStale")["message"]
    assert any(word in message for word in words), message
    assert plant.machine.versions() == before


def assert_goes_on(plant: Plant) -> None:
    """Let the next run come when the cause is gone."""
    done = plant.tick(LATER)
    assert (code_of(done), [one.outcome for one in done.runs]) == (0, ["applied"])
    assert plant.condition("MetadataStale") is None
    assert plant.version("plain") == "1.1"


def test_a_repository_that_cannot_be_reached(plant: Plant) -> None:
    plant.want("plain")
    if isinstance(plant.machine, Debian):
        plant.machine.lab.download_copies()  # else apt's lists would be the repository itself
    assert code_of(plant.tick(BEFORE)) == 0
    away = plant.machine.repository.rename(plant.machine.repository.with_name("away"))
    assert_waits_for_the_source(plant, "repository")
    # The plan from before is shown, with the reason why it waits; it is not called empty.
    assert plant.version("plain") == "1.0"
    assert "plain" in {move["name"] for move in plant.report()["plan"]["transaction"]}
    away.rename(plant.machine.repository)
    assert_goes_on(plant)


def test_metadata_that_are_not_what_was_promised(plant: Plant) -> None:
    plant.want("plain")
    assert code_of(plant.tick(BEFORE)) == 0
    # Something new is offered, and the mirror has only a part of it yet.
    plant.machine.publish("plain", "1.2")
    index = plant.machine.index
    whole = index.read_bytes()
    index.write_bytes(whole[:-20] if plant.machine.manager == "pacman" else whole + b"x")
    assert_waits_for_the_source(plant, "sum", "match", "database", "unexpected size", "repository")
    index.write_bytes(whole)
    done = plant.tick(LATER)
    assert [one.outcome for one in done.runs] == ["applied"]
    assert plant.version("plain") == "1.2"


def stranger(lab: AptLab) -> None:
    lab.make_key("stranger")
    lab.sign(MAIN, key="stranger")


def expired_key(lab: AptLab) -> None:
    # A key that was made and signed with in the past, and has expired since.
    past = "--faked-system-time=20240101T000000!"
    lab.make_key("old", past, expires="30d")
    lab.trust("old")
    release = lab.repository / "dists" / MAIN
    (release / "InRelease").unlink()
    lab.gpg(
        past, "--local-user", "old@example.invalid", "--clearsign", "-o",
        str(release / "InRelease"), str(release / "Release"),
    )  # fmt: skip


def in_the_future(lab: AptLab) -> None:
    lab.sign(MAIN, date=NOW + timedelta(days=2))


def past_its_date(lab: AptLab) -> None:
    lab.sign(MAIN, date=NOW - timedelta(days=9), valid_until=NOW - timedelta(days=2))


def unsigned(lab: AptLab) -> None:
    (lab.repository / "dists" / MAIN / "InRelease").unlink()


@pytest.mark.parametrize("plant", ["apt"], indirect=True)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (stranger, "NO_PUBKEY"),
        (expired_key, "EXPKEYSIG"),
        (unsigned, "no longer signed"),
        (in_the_future, "not valid yet"),
        (past_its_date, "expired"),
    ],
)
def test_a_release_that_nobody_vouches_for_now(
    plant: Plant, spoil: Callable[[AptLab], None], words: str
) -> None:
    plant.want("plain")
    assert code_of(plant.tick(BEFORE)) == 0
    assert isinstance(plant.machine, Debian)
    spoil(plant.machine.lab)
    assert_waits_for_the_source(plant, words)
    plant.machine.lab.trust("lab")
    plant.machine.republish()
    assert_goes_on(plant)


@pytest.mark.parametrize("plant", ["dnf", "zypper", "pacman"], indirect=True)
def test_metadata_that_must_be_signed_and_are_not_or_by_a_stranger(plant: Plant, tmp_path: Path) -> None:
    machine = plant.machine
    plant.want("plain")
    assert code_of(plant.tick(BEFORE)) == 0
    if isinstance(machine, RedHat):
        sign(machine.repository / "repodata/repomd.xml", tmp_path / "stranger")
    if isinstance(machine, Suse):
        # What zypper once took without a signature, it takes again; a repository that is new must have one.
        machine.lab.configure_repository("signed", gpgcheck=True)
        file = machine.root / "etc/zypp/repos.d/signed.repo"
        assert_waits_for_the_source(plant, "ignature")
        file.unlink()
    else:
        configuration, old, new = {
            "dnf": ("etc/yum.repos.d/lab.repo", "enabled=1", "enabled=1\nrepo_gpgcheck=1"),
            "pacman": ("etc/pacman.conf", "\nSigLevel = Never", "\nSigLevel = Required"),
        }[machine.manager]
        file = machine.root / configuration
        text = file.read_text()
        file.write_text(text.replace(old, new))
        assert_waits_for_the_source(plant, "ignature", "GPG", "repomd.xml")
        file.write_text(text)
    assert_goes_on(plant)


def sign(file: Path, home: Path) -> None:
    """Sign a file with a key that nobody knows."""
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    for args in (
        ["--quick-gen-key", "stranger@example.invalid", "ed25519", "sign", "never"],
        ["--armor", "--detach-sign", "-o", f"{file}.asc", str(file)],
    ):
        subprocess.run([*gpg, *args], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)


@pytest.mark.parametrize("plant", ["apt"], indirect=True)
def test_a_package_that_the_mirror_lost_is_not_asked_for_in_every_tick(plant: Plant) -> None:
    plant.want("plain")
    (package,) = plant.machine.repository.rglob("plain_1.1_*.deb")
    kept = package.read_bytes()
    package.unlink()
    quarter = timedelta(minutes=15)
    codes = [code_of(plant.tick(BEFORE + number * quarter)) for number in range(6)]
    assert codes == [5, 0, 0, 0, 5, 0]
    assert len(list((plant.site.state / "runs").iterdir())) == 2
    assert plant.condition("PackagesNotFetched")["reason"] == "DownloadFailed"
    package.write_bytes(kept)
    assert code_of(plant.tick(BEFORE + timedelta(hours=4))) == 0
    assert code_of(plant.tick(BEFORE + timedelta(hours=5))) == 0
    assert plant.condition("PackagesNotFetched") is None
