"""systemd-creds for real: what it encrypts, who can read it, and what it says when it cannot."""

import os
import stat
from pathlib import Path

import pytest

from reconciler.errors import Misuse
from reconciler.host.install.credentials import (
    decrypt,
    default_path,
    encrypt,
    is_available,
    why_not_decrypted,
)

SECRET = b"mailtos://ada:correct-horse-battery@example.org"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials" / "ops.cred"


def test_a_secret_comes_back_and_is_nowhere_in_clear(path: Path) -> None:
    assert is_available() == ""
    encrypt("ops", SECRET, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert b"correct-horse" not in path.read_bytes()
    assert list(path.parent.iterdir()) == [path]
    assert decrypt("ops", path) == SECRET
    assert why_not_decrypted("ops", path) == ""


def test_a_secret_is_replaced_whole(path: Path) -> None:
    encrypt("ops", SECRET, path)
    encrypt("ops", b"another", path)
    assert decrypt("ops", path) == b"another"


def test_it_belongs_to_its_name(path: Path) -> None:
    encrypt("ops", SECRET, path)
    why = why_not_decrypted("other", path)
    assert why.startswith(f"{path} does not decrypt: ")
    assert "ops" in why
    assert "correct-horse" not in why


def test_a_damaged_or_foreign_file_does_not_decrypt(path: Path) -> None:
    encrypt("ops", SECRET, path)
    path.write_bytes(path.read_bytes()[:-20])
    assert why_not_decrypted("ops", path).startswith(f"{path} does not decrypt: ")
    path.write_bytes(SECRET)
    why = why_not_decrypted("ops", path)
    assert why.startswith(f"{path} does not decrypt: ")
    assert "correct-horse" not in why


def test_what_others_could_have_put_there_is_refused(path: Path) -> None:
    encrypt("ops", SECRET, path)
    path.chmod(0o602)
    assert why_not_decrypted("ops", path) == f"{path} may be written to by others"
    path.unlink()
    assert why_not_decrypted("ops", path) == f"{path}: No such file or directory"
    path.symlink_to("/etc/hostname")
    assert why_not_decrypted("ops", path) == f"{path} is no regular file"
    path.parent.chmod(0o777)
    with pytest.raises(Misuse, match="may be written to by"):
        encrypt("ops", SECRET, path)


@pytest.mark.parametrize(("name", "secret"), [("a/b", b"x"), ("", b"x"), ("-x", b"x"), ("ok", b"")])
def test_bad_input_writes_nothing(path: Path, name: str, secret: bytes) -> None:
    with pytest.raises(Misuse):
        encrypt(name, secret, path)
    assert not path.parent.exists()


def test_a_name_gives_a_file() -> None:
    assert default_path("ops") == Path("/etc/patchledger/credentials/ops.cred")
    with pytest.raises(Misuse, match="no name"):
        default_path("../ops")


def test_why_it_cannot_be_used_is_said(tmp_path: Path) -> None:
    none = tmp_path / "none"
    none.mkdir()
    assert "there is no systemd-creds" in is_available({"PATH": str(none)})
    old = tmp_path / "old"
    old.mkdir()
    (old / "systemd-creds").write_text("#!/bin/sh\necho 'systemd 249 (249.11)'\n")
    (old / "systemd-creds").chmod(0o755)
    found = is_available({"PATH": f"{old}:{os.defpath}"})
    assert found == "encrypted credentials need systemd 250 or newer, this is 249"
