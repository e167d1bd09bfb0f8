"""Keys of every kind, and repositories whose commits they sign: real ssh-keygen, gpg and git.

keys = Keys(folder)
ada = keys.ssh("ada@example.org")
repository = SignedRepository.create(folder / "policy")
repository.commit({"policies/base.yaml": "..."}, ada)
"""

import base64
import hashlib
import os
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key


def _run(*argv: str, env: Mapping[str, str] | None = None, stdin: str = "", cwd: Path | None = None) -> str:
    done = subprocess.run(
        argv,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Key:
    """A key and who it belongs to.

    Attributes:
        who: Its owner.
        settings: What git signs with it by.
        public: The two words of a line that list it: type and key.
        fingerprint: As the lists show it.
        home: ``GNUPGHOME``, of an OpenPGP key.
    """

    who: str
    settings: Mapping[str, str]
    public: str
    fingerprint: str
    home: str = ""

    def line(self, options: str = "", who: str = "") -> str:
        """Return the line that lists it."""
        return " ".join(part for part in (who or self.who, options, self.public) if part) + "\n"


class Keys:
    """Makes keys in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def ssh(self, who: str, kind: str = "ed25519", *options: str) -> Key:
        """Make an SSH key: another one where somebody of that name has one."""
        file = self.folder / f"{who}-{kind}"
        while file.exists():
            file = file.with_name(f"{file.name}-too")
        _run("ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", who, "-f", str(file))
        return self._ssh(who, file, file.with_name(f"{file.name}.pub"))

    def existing(self, who: str) -> Key:
        """Return an ed25519 key that was made before."""
        file = self.folder / f"{who}-ed25519"
        return self._ssh(who, file, file.with_name(f"{file.name}.pub"))

    def certified(self, who: str, authority: Key, principals: str, *options: str) -> Key:
        """Make an SSH key with a certificate by another one."""
        return self.certify(
            self.ssh(f"{who}-{principals}".replace(",", "-")), who, authority, principals, *options
        )

    def certify(self, key: Key, who: str, authority: Key, principals: str, *options: str) -> Key:
        """Have a key certified by another one."""
        file = Path(key.settings["user.signingkey"])
        by = authority.settings["user.signingkey"]
        public = f"{file}.pub"
        _run("ssh-keygen", "-q", "-s", by, "-I", who, "-n", principals, *options, public)
        certificate = file.with_name(f"{file.name}-cert.pub")
        return Key(who, {**key.settings, "user.signingkey": str(certificate)}, key.public, key.fingerprint)

    def openpgp(self, who: str, *, subkey: bool = False, expires: str = "never") -> Key:
        """Make an OpenPGP key; it signs by itself, or only by its subkey."""
        # gpg-agent listens in it, and the address of a socket has 107 bytes at most (unix(7)).
        home = self.folder / f"gnupg-{hashlib.sha256(who.encode()).hexdigest()[:8]}"
        home.mkdir(mode=0o700)
        env = {"GNUPGHOME": str(home)}
        usage = "cert" if subkey else "cert,sign"
        unlocked = ("--batch", "--pinentry-mode", "loopback", "--passphrase", "")
        _run("gpg", *unlocked, "--quick-gen-key", who, "ed25519", usage, expires, env=env)
        fingerprint = self._fingerprint(who, env)
        if subkey:
            _run("gpg", *unlocked, "--quick-add-key", fingerprint, "ed25519", "sign", "never", env=env)
        return self._openpgp(who, fingerprint, home)

    def extended(self, key: Key) -> Key:
        """Have an OpenPGP key never expire, and return it as its owner has it then."""
        unlocked = ("--batch", "--pinentry-mode", "loopback", "--passphrase", "")
        _run("gpg", *unlocked, "--quick-set-expire", key.fingerprint, "never", env={"GNUPGHOME": key.home})
        return self._openpgp(key.who, key.fingerprint, Path(key.home))

    def given_up(self, key: Key) -> Key:
        """Have an OpenPGP key be revoked by its owner, and return it as it is then."""
        made = Path(key.home, "openpgp-revocs.d", f"{key.fingerprint}.rev").read_text()
        env = {"GNUPGHOME": key.home}
        _run("gpg", "--batch", "--import", env=env, stdin=made.replace(":-----BEGIN", "-----BEGIN"))
        return self._openpgp(key.who, key.fingerprint, Path(key.home))

    def without_subkey(self, key: Key) -> Key:
        """Have the subkey of an OpenPGP key be revoked by its owner, and return the key as it is then."""
        talk = ("--command-fd", "0", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "")
        says = "key 1\nrevkey\ny\n0\n\ny\nsave\n"
        _run("gpg", *talk, "--edit-key", key.fingerprint, env={"GNUPGHOME": key.home}, stdin=says)
        return self._openpgp(key.who, key.fingerprint, Path(key.home))

    def message(self, key: Key, text: str) -> str:
        """Return a signed message, which holds its text, in armour."""
        unlocked = ("--batch", "--pinentry-mode", "loopback", "--passphrase", "")
        return _run("gpg", *unlocked, "--armor", "--sign", env={"GNUPGHOME": key.home}, stdin=text)

    def _openpgp(self, who: str, fingerprint: str, home: Path) -> Key:
        env = {"GNUPGHOME": str(home)}
        exported = subprocess.run(
            ["gpg", "--export", fingerprint], env={**os.environ, **env}, capture_output=True, check=True
        ).stdout
        _run("gpgconf", "--kill", "gpg-agent", env=env)
        settings = {"gpg.format": "openpgp", "user.signingkey": fingerprint}
        return Key(who, settings, f"openpgp {base64.b64encode(exported).decode()}", fingerprint, str(home))

    def _fingerprint(self, who: str, env: Mapping[str, str]) -> str:
        listed = _run("gpg", "--with-colons", "--list-keys", who, env=env)
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))

    def _ssh(self, who: str, file: Path, public: Path) -> Key:
        kind, key = public.read_text().split()[:2]
        fingerprint = _run("ssh-keygen", "-lf", str(public)).split()[1]
        return Key(who, {"gpg.format": "ssh", "user.signingkey": str(file)}, f"{kind} {key}", fingerprint)


@dataclass(frozen=True)
class SignedRepository:
    """A policy repository with a work tree."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "SignedRepository":
        _run("git", "init", "-q", "-b", "main", str(path))
        return cls(path)

    def commit(
        self,
        files: Mapping[str, str],
        key: Key | None = None,
        *,
        message: str = "change",
        date: str = "2026-11-20T08:00:00Z",
        options: Sequence[str] = (),
    ) -> str:
        """Write files, commit them, signed by ``key``, and return the commit."""
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.signed("commit", "-q", "--allow-empty", "-m", message, *options, key=key, date=date)
        return self.head()

    def line(self, count: int, key: Key) -> list[str]:
        """Put commits on top, signed by an ed25519 key, and return them; no process is started for them."""
        tree, made = self.git("rev-parse", "HEAD^{tree}"), [self.head()]
        for number in range(count):
            who = f"Mallory <mallory@example.org> {1_795_000_000 + number} +0000"
            head = f"tree {tree}\nparent {made[-1]}\nauthor {who}\ncommitter {who}"
            made.append(self.stored(f"{head}\n\nnumber {number}\n".encode(), key))
        self.git("reset", "-q", "--hard", made[-1])
        return made[1:]

    def stored(self, commit: bytes, key: Key) -> str:
        """Store a commit, signed by an ed25519 key, and return its id."""
        return store(self.path / ".git", b"commit", signed_commit(commit, key))

    def merge(self, branch: str, key: Key | None = None) -> str:
        """Merge a branch with a commit of its own."""
        self.signed("merge", "-q", "--no-ff", "-m", f"merge {branch}", branch, key=key)
        return self.head()

    def merge_by(self, account: str, key: Key, files: Mapping[str, str]) -> str:
        """Merge a branch that nobody signed, as a forge does it: the author is who pressed the button."""
        self.git("checkout", "-q", "-b", "topic")
        self.commit(files)
        self.git("checkout", "-q", "main")
        self.merge("topic")
        self.git("branch", "-q", "-D", "topic")
        return self.amend(account, key)

    def amend(self, account: str, key: Key | None) -> str:
        """Make the newest commit anew, with this author."""
        author = f"--author=Somebody <{account}>"
        self.signed("commit", "-q", "--amend", "--allow-empty", "--no-edit", author, key=key)
        return self.head()

    def signed(self, *arguments: str, key: Key | None, date: str = "2026-11-20T08:00:00Z") -> None:
        """Run a command of git that makes a commit."""
        settings = (
            [] if key is None else [part for pair in key.settings.items() for part in ("-c", "=".join(pair))]
        )
        sign = "--no-gpg-sign" if key is None else "--gpg-sign"
        command, *rest = arguments
        env = {
            "GIT_AUTHOR_NAME": "Mallory",
            "GIT_AUTHOR_EMAIL": "mallory@example.org",
            "GIT_COMMITTER_NAME": "Mallory",
            "GIT_COMMITTER_EMAIL": "mallory@example.org",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GNUPGHOME": "" if key is None else key.home,
        }
        _run("git", *settings, command, sign, *rest, env=env, cwd=self.path)

    def git(self, *arguments: str, stdin: str = "") -> str:
        """Run git in the work tree."""
        env = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        return _run("git", *arguments, env=env, stdin=stdin, cwd=self.path)

    def head(self) -> str:
        """Return the commit that is checked out."""
        return self.git("rev-parse", "HEAD")


def signed_commit(commit: bytes, key: Key) -> bytes:
    """Return a commit with the signature of an ed25519 key; no process is started for it."""
    signature = ssh_signature(commit, _private(key.settings["user.signingkey"]), _blob(key))
    head, _, message = commit.partition(b"\n\n")
    return head + b"\ngpgsig " + signature.replace(b"\n", b"\n ") + b"\n\n" + message


def store(git_dir: Path, kind: bytes, content: bytes) -> str:
    """Put an object into a repository, and return its id."""
    data = b"%s %d\0%s" % (kind, len(content), content)
    oid = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    file = git_dir / "objects" / oid[:2] / oid[2:]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(zlib.compress(data, 1))
    return oid


@lru_cache(maxsize=64)
def _private(file: str) -> Ed25519PrivateKey:
    found = load_ssh_private_key(Path(file).read_bytes(), None)
    assert isinstance(found, Ed25519PrivateKey)
    return found


def _blob(key: Key) -> bytes:
    return base64.b64decode(key.public.split()[1])


def ssh_signature(payload: bytes, key: Ed25519PrivateKey, public: bytes) -> bytes:
    """Return an armoured signature as ``ssh-keygen -Y sign`` makes it (OpenSSH's ``PROTOCOL.sshsig``)."""
    about = _string(b"git") + _string(b"") + _string(b"sha512")
    made = key.sign(b"SSHSIG" + about + _string(hashlib.sha512(payload).digest()))
    signed = _string(_string(b"ssh-ed25519") + _string(made))
    blob = b"SSHSIG" + (1).to_bytes(4, "big") + _string(public) + about + signed
    text = base64.b64encode(blob)
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return b"\n".join([b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----"])


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
