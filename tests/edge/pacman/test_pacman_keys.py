"""Who signed what is installed: keys come first, and a package of an unknown one holds up only itself."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.managers.pacman import PACMAN
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Question, Rival
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.pacman.conftest import Folder, run
from tests.labs.pacman import PacmanLab, Pkg, build_package
from tests.labs.programs import tool

OLD = (
    Pkg("lab-keyring", "1.0-1"),
    Pkg("other", "1.0-1"),
    Pkg("plain", "1.0-1"),
    Pkg("gnome-keyring", "1.0-1", (("depend", "other"),)),
)
NEW = (
    Pkg("lab-keyring", "1.1-1", (("depend", "pacman>5"),)),
    Pkg("other", "1.1-1"),
    Pkg("plain", "1.1-1"),
    Pkg("gnome-keyring", "1.1-1", (("depend", "other>=1.1"),)),
)


class Keys:
    """Two keys, of which the machine knows the first."""

    def __init__(self, folder: Path) -> None:
        self._home = {"GNUPGHOME": str(folder)}
        folder.mkdir(mode=0o700)
        for name in ("old", "new"):
            self._gpg("--quick-gen-key", f"{name}@lab", "ed25519", "sign", "never")

    def sign(self, name: str, file: Path) -> None:
        self._gpg("--local-user", f"{name}@lab", "--detach-sign", str(file))

    def fingerprint(self, name: str) -> str:
        listed = self._gpg("--list-keys", "--with-colons", f"{name}@lab")
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    def teach(self, lab: PacmanLab, name: str, file: Path, *, is_trusted: bool = True) -> None:
        self._gpg("--output", str(file), "--export", f"{name}@lab")
        place = ("--config", str(lab.configuration), "--gpgdir", str(lab.root / "etc/pacman.d/gnupg"))
        tool("pacman-key", *place, "--init")
        tool("pacman-key", *place, "--add", str(file))
        if is_trusted:
            tool("pacman-key", *place, "--lsign-key", self.fingerprint(name))

    def _gpg(self, *args: str) -> str:
        return tool("gpg", "--batch", "--quiet", "--passphrase", "", *args, env={**os.environ, **self._home})


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: the name of a socket has at most 107 bytes, and gpg makes some below it."""
    with tempfile.TemporaryDirectory(prefix="k") as folder:
        yield Path(folder)


@pytest.fixture
def keys(short: Path) -> Keys:
    return Keys(short / "keys")


@pytest.fixture
def signed(short: Path, tmp_path: Path, keys: Keys, script: PatchScript) -> PacmanLab:
    """A machine that asks for signatures, and updates of which ``plain`` is signed by an unknown key."""
    lab = PacmanLab.empty(short / "lab")
    lab.install(*OLD, Pkg("pacman", "6.0-1"))
    keys.teach(lab, "old", tmp_path / "old.gpg")
    lab.repository.mkdir()
    for package in NEW:
        file = build_package(package, lab.repository)
        keys.sign("new" if package.name == "plain" else "old", file)
    lab.publish(*NEW)
    text = lab.configuration.read_text()
    lab.configuration.write_text(
        text.replace("\nSigLevel = Never\n", "\nSigLevel = Required DatabaseNever\n")
    )
    run(lab, script, "--refresh")
    return lab


@pytest.mark.parametrize("is_learned", [False, True], ids=["unknown", "comes with the keyring"])
def test_keys_come_first_and_what_is_signed_by_an_unknown_one_is_named(
    signed: PacmanLab, keys: Keys, script: PatchScript, folder: Folder, tmp_path: Path, *, is_learned: bool
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(signed.environment), script, signed.cache)
    if is_learned:
        keys.teach(signed, "new", tmp_path / "new.gpg")
    execution = pacman.apply(Instruction(pacman.resolve(Question()).changes), folder())
    versions = signed.versions()
    assert versions["lab-keyring"] == "1.1-1"
    if is_learned:
        assert execution.exit_code == 0
        assert versions["plain"] == "1.1-1"
        return
    # Another keyring is no package of keys, and comes with the rest, which waits for the next plan.
    assert (versions["plain"], versions["other"], versions["gnome-keyring"]) == ("1.0-1", "1.0-1", "1.0-1")
    assert execution.exit_code == 28
    (failed,) = execution.failed
    assert (failed.name, failed.rivals) == ("plain", (Rival("lab-keyring", "", "1.1-1"),))
    assert keys.fingerprint("new")[-16:] in failed.message
    rest = pacman.resolve(Question(exclude=("plain",))).changes
    assert pacman.apply(Instruction(rest, exclude=("plain",)), folder()).exit_code == 0
    assert signed.versions()["other"] == "1.1-1"


def test_a_signature_that_is_not_trusted_names_its_package(
    signed: PacmanLab, keys: Keys, script: PatchScript, folder: Folder, tmp_path: Path
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(signed.environment), script, signed.cache)
    keys.teach(signed, "new", tmp_path / "new.gpg", is_trusted=False)
    execution = pacman.apply(Instruction(pacman.resolve(Question()).changes), folder())
    assert execution.exit_code == 28
    (failed,) = execution.failed
    assert failed.name == "plain"
    assert "unknown trust" in failed.message


def test_a_signature_that_the_mirror_lacks_names_its_package(
    signed: PacmanLab, script: PatchScript, folder: Folder
) -> None:
    pacman = ScriptedManager(PACMAN, LocalTarget(signed.environment), script, signed.cache)
    for file in signed.repository.glob("plain-*.sig"):
        file.unlink()
    execution = pacman.apply(Instruction(pacman.resolve(Question()).changes), folder())
    assert execution.exit_code == 28
    (failed,) = execution.failed
    assert (failed.name, failed.rivals) == ("plain", ())
    assert ".sig" in failed.message
    rest = pacman.resolve(Question(exclude=("plain",))).changes
    assert pacman.apply(Instruction(rest, exclude=("plain",)), folder()).exit_code == 0
    assert (signed.versions()["other"], signed.versions()["plain"]) == ("1.1-1", "1.0-1")
