"""What becomes of ``--refresh``, with a good and with every kind of bad repository."""

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question, RefreshOutcome
from reconciler.targets.local import LocalTarget
from tests.labs.dnf import DnfLab
from tests.labs.naming import moved
from tests.labs.rpm import Rpm


def exit_code(lab: DnfLab, script: PatchScript) -> int:
    return script.run(
        LocalTarget(lab.environment), ["--refresh", "--root", str(lab.root)], timeout=60
    ).exit_code


def test_a_refresh_finds_what_was_published(own_lab: DnfLab, own_dnf: ScriptedManager) -> None:
    own_lab.repository.publish(Rpm("plain", "1.2-1"))
    assert own_dnf.refresh().outcome is RefreshOutcome.REFRESHED
    versions = moved(own_dnf.resolve(Question()).changes)
    assert versions["plain"] == "1.2-1"


def test_nothing_is_found_before_a_refresh(own_lab: DnfLab, own_dnf: ScriptedManager) -> None:
    own_lab.repository.publish(Rpm("plain", "1.2-1"))
    versions = moved(own_dnf.resolve(Question()).changes)
    assert versions["plain"] == "1.1-1"


def test_one_dead_repository_is_not_passed_over_and_keeps_no_other_from_being_read(
    own_lab: DnfLab, own_dnf: ScriptedManager, script: PatchScript
) -> None:
    # By its name it comes first, and the configuration says skip_if_unavailable=1.
    own_lab.configure_repository("dead", "http://user:hunter2@127.0.0.1:9/x")
    own_lab.repository.publish(Rpm("plain", "1.2-1"))
    refresh = own_dnf.refresh()
    assert refresh.outcome is RefreshOutcome.FAILED
    assert "127.0.0.1:9" in refresh.detail
    assert "hunter2" not in refresh.detail
    assert exit_code(own_lab, script) == 21
    versions = moved(own_dnf.resolve(Question()).changes)
    assert versions["plain"] == "1.2-1"
    assert {one.name for one in own_dnf.observe(datetime.now(UTC)).sources} == {"lab", "dead"}


def test_a_repository_that_may_be_missing_is_told_from_others(
    own_lab: DnfLab, own_dnf: ScriptedManager
) -> None:
    # What the main section says is about no repository.
    own_lab.configure_repository("base", "http://127.0.0.1:9/x", more="skip_if_unavailable = 0")
    own_lab.configure_repository("dead", "http://127.0.0.1:9/x")
    own_lab.configure_repository("third", "http://127.0.0.1:9/x", more="skip_if_unavailable = True")
    # A file may end within a line, and the next one begins with what is about another repository.
    base = own_lab.root / "etc/yum.repos.d/base.repo"
    base.write_text(base.read_text().replace("skip_if_unavailable = 0", "").strip())
    (own_lab.root / "etc/yum.repos.d/clone.repo").write_text(
        "[clone]\nname=clone\nenabled=0\nbaseurl=http://127.0.0.1:9/x\nskip_if_unavailable=1\n"
    )
    assert own_dnf.refresh().missing == ("base", "dead", "third")
    seen = own_dnf.observe(datetime.now(UTC))
    assert {one.name for one in seen.sources if one.may_be_missing} == {"third"}
    assert own_dnf.resolve(Question()).exit_code == 0


def test_a_repository_that_was_read_once_may_be_missing_too(
    own_lab: DnfLab, own_dnf: ScriptedManager
) -> None:
    own_lab.repository.publish(Rpm("lima", "1.2-1"))
    shutil.copytree(own_lab.repository.folder, own_lab.folder / "third")
    own_lab.configure_repository("third", f"file://{own_lab.folder}/third", more="skip_if_unavailable=1")
    assert own_dnf.refresh().missing == ()
    own_lab.repository.withdraw(Rpm("lima", "1.2-1"))
    shutil.rmtree(own_lab.folder / "third")
    assert own_dnf.refresh().missing == ("third",)
    assert moved(own_dnf.resolve(Question()).changes)["lima"] == "1.2-1"
    assert moved(own_dnf.resolve(Question(without=("third",))).changes)["lima"] == "1.1-1"


def test_a_repository_that_is_gone(own_lab: DnfLab, script: PatchScript) -> None:
    own_lab.repository.folder.rename(own_lab.folder / "elsewhere")
    assert exit_code(own_lab, script) == 21


def test_metadata_that_are_not_signed(own_lab: DnfLab, own_dnf: ScriptedManager, script: PatchScript) -> None:
    verify_metadata(own_lab)
    assert own_dnf.refresh().outcome is RefreshOutcome.FAILED
    assert exit_code(own_lab, script) == 22


def test_metadata_that_a_stranger_signed(
    own_lab: DnfLab, own_dnf: ScriptedManager, script: PatchScript, tmp_path: Path
) -> None:
    verify_metadata(own_lab)
    sign(own_lab.repository.folder / "repodata/repomd.xml", tmp_path / "g")
    assert own_dnf.refresh().outcome is RefreshOutcome.FAILED
    assert exit_code(own_lab, script) == 22


def verify_metadata(lab: DnfLab) -> None:
    path = lab.root / "etc/yum.repos.d/lab.repo"
    path.write_text(path.read_text() + "repo_gpgcheck=1\n")


def sign(file: Path, home: Path) -> None:
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    for args in (
        ["--quick-gen-key", "stranger@example.invalid", "ed25519", "sign", "never"],
        ["--armor", "--detach-sign", "-o", f"{file}.asc", str(file)],
    ):
        subprocess.run([*gpg, *args], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)


def test_an_ordinary_user_may_not(lab: DnfLab, script: PatchScript) -> None:
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh")
    for folder in (lab.folder.parent, lab.folder.parent.parent):
        folder.chmod(0o755)
    dnf = ScriptedManager(DNF, LocalTarget(lab.environment, as_nobody), script, root=lab.root)
    assert dnf.refresh().outcome is RefreshOutcome.NOT_PERMITTED
