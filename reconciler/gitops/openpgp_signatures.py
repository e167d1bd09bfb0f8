"""Signatures by OpenPGP keys: ``gpg`` checks them, with a keyring of the listed keys and nothing else."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from reconciler.errors import Stalled
from reconciler.gitops.signed_commits import Bench
from reconciler.policy.signers import Signer
from reconciler.process import Completed
from reconciler.reconcile.ports.policies import Unproved
from reconciler.records import dataclass

_PREFIX = b"[GNUPG:] "
_OF_BYTES = "00"
"""The class of signature that git makes. One of text would fit as well with other ends of lines."""
_CLASS = -2
_WRONG = {
    "BADSIG": Unproved.BAD_SIGNATURE,
    "REVKEYSIG": Unproved.KEY_REVOKED,
    "EXPKEYSIG": Unproved.KEY_ENDED,
    "EXPSIG": Unproved.KEY_ENDED,
    "NO_PUBKEY": Unproved.UNKNOWN_KEY,
    "ERRSIG": Unproved.BAD_SIGNATURE,
}
"""What gpg's status lines mean (``doc/DETAILS`` of GnuPG), the worst first."""


@dataclass(frozen=True, slots=True)
class OpenPgpAnswer:
    """What gpg says of a signature.

    Attributes:
        primary: Fingerprint of the primary key, empty where gpg could not check it by any of the keys.
        key: Of the key that signed, which may be a subkey; its id where gpg does not have it.
        wrong: What is against it, ``None`` where it is good.
    """

    primary: str
    key: str
    wrong: Unproved | None


def check_openpgp(
    armour: bytes, payload: bytes, signers: Sequence[Signer], now: datetime, bench: Bench
) -> OpenPgpAnswer:
    """Let ``gpg`` check a signature by the listed keys and their subkeys.

    Args:
        armour: The signature.
        payload: What is signed.
        signers: Keys that may have made it.
        now: Keys and signatures must be valid then.
        bench: Where the program works; files of this call are left there.

    Raises:
        Stalled: There is no ``gpg``, or it did not end by itself.
    """
    home, file = bench.folder / "gnupg", bench.file("signature", armour)
    home.mkdir(mode=0o700, exist_ok=True)
    held = b"".join(signer.key for signer in signers)
    keyring = home / f"{sha256(held).hexdigest()}.gpg"
    argv = [
        "gpg", "--homedir", str(home), "--no-options", "--batch", "--no-tty", "--no-autostart", "--quiet",
        "--no-default-keyring", "--keyring", str(keyring), "--trust-model", "always",
        "--ignore-time-conflict",  # a signer's clock may be ahead of this host's
        "--no-auto-key-retrieve", "--weak-digest", "SHA1",
        "--faked-system-time", f"{int(now.timestamp())}!", "--status-fd", "1",
    ]  # fmt: skip
    if held and not keyring.exists():
        # Imported, since a key that is listed twice is then one, with all that its owner said of it since.
        _gpg([*argv, "--import"], held, bench)
        if not keyring.exists():
            hint = "take use-keyboxd out of gpg's common.conf, such as /etc/gnupg/common.conf; or sign by ssh"
            raise Stalled("gpg does not take the keys that it is given into a keyring", hint)
    done = _gpg([*argv, "--verify", file, "-"], payload, bench)
    # By the end of a line alone: a key's owner has a name with whatever else ends lines of text.
    lines = [line.removeprefix(_PREFIX) for line in done.stdout.split(b"\n") if line.startswith(_PREFIX)]
    rows = [line.decode("utf-8", "replace").split() for line in lines]
    return _answer([row for row in rows if row], is_good=not done.returncode)


def _gpg(argv: Sequence[str], stdin: bytes, bench: Bench) -> Completed:
    done = bench.run(argv, stdin, limit=1024 * 1024)
    if done is None:
        raise Stalled("gpg did not come to an end", "see whether gpg works on this host")
    return done


def _answer(rows: Sequence[Sequence[str]], *, is_good: bool) -> OpenPgpAnswer:
    said = {row[0] for row in rows}
    valid = [row for row in rows if row[0] == "VALIDSIG"]
    wrong = next((why for word, why in _WRONG.items() if word in said), None)
    # With two signatures in one armour there are two, and one of them may be by anybody.
    if len(valid) != 1:
        missing = next((row[1] for row in rows if row[0] in {"NO_PUBKEY", "ERRSIG", "BADSIG"}), "")
        return OpenPgpAnswer("", missing, wrong or Unproved.BAD_SIGNATURE)
    if valid[0][_CLASS] != _OF_BYTES or (wrong is None and not (is_good and "GOODSIG" in said)):
        wrong = Unproved.BAD_SIGNATURE
    return OpenPgpAnswer(valid[0][-1], valid[0][1], wrong)
