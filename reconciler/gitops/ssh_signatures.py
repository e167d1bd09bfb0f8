"""Signatures by ssh: whose key it is we read, whether it is good ``ssh-keygen`` says.

The formats are OpenSSH's ``PROTOCOL.sshsig`` and ``PROTOCOL.certkeys``. ssh-keygen is given a list of one
line, which we made, so that nothing of a foreign list reaches it; and the present as the time to judge by,
where git would give it the commit's own date, which its maker writes.
"""

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from datetime import UTC, datetime, timedelta

from reconciler.gitops.git import commit_date
from reconciler.gitops.signed_commits import Bench
from reconciler.policy.signers import NAMESPACE, Signer, fingerprint, matches, ssh_strings
from reconciler.reconcile.ports.policies import Unproved
from reconciler.records import dataclass

_MAGIC = b"SSHSIG"
_CERTIFICATE = "-cert-v01@openssh.com"
_FIELDS = {
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
    "sk-ssh-ed25519@openssh.com": 2,
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
}
"""How many strings of a certificate are the key's own, by the key's type."""
_FOR_EVER = 2**64 - 1
_WHO = "signer"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says of the key that it is for.

    Attributes:
        authority: Blob of the key that signed it.
        principals: Whom it is for.
        valid_after: It counts from then on, aware.
        valid_before: It counts until then, ``None`` without end.
        is_restricted: It has critical options. None of them is known here, so it must not be relied on
            (``PROTOCOL.certkeys``); ssh-keygen looks away.
    """

    authority: bytes
    principals: tuple[str, ...]
    valid_after: datetime
    valid_before: datetime | None
    is_restricted: bool = False

    def held(self, now: datetime) -> Unproved | None:
        """Return why it does not count now, ``None`` where it does."""
        if now < self.valid_after:
            return Unproved.KEY_NOT_YET
        if self.valid_before is not None and now >= self.valid_before:
            return Unproved.KEY_ENDED
        return None

    def within(self, now: datetime) -> datetime:
        """Return an instant at which it counted: now, or else its last second."""
        return now if self.valid_before is None else min(now, self.valid_before - timedelta(seconds=1))


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A signature, not yet checked.

    Attributes:
        type: Of the key, without what makes it a certificate.
        key: Blob of the key that signed, without its certificate.
        certificate: Of the key, where the signature holds one.
        armour: The signature itself.
    """

    type: str
    key: bytes
    certificate: Certificate | None
    armour: bytes

    @property
    def fingerprint(self) -> str:
        """Of the key that signed, as ``ssh-keygen -l`` shows it."""
        return fingerprint(self.key)


def read_signature(armour: bytes) -> SshSignature | None:
    """Take an armoured signature apart; ``None`` where it is none, or of a kind that is not known here."""
    lines = armour.strip().split(b"\n")
    try:
        blob = a2b_base64(b"".join(lines[1:-1]), strict_mode=True)
    except (Base64Error, ValueError):
        return None
    # Magic and version of PROTOCOL.sshsig; then the key, and fields that ssh-keygen looks at.
    if not blob.startswith(_MAGIC) or blob[6:10] != (1).to_bytes(4, "big"):
        return None
    fields = ssh_strings(blob[10:])
    # No more of the key than the name of its type: a certificate is not made of strings alone.
    parts = ssh_strings(fields[0][: _first_string(fields[0])]) if fields else []
    if not parts:
        return None
    kind = parts[0].decode("ascii", "replace")
    if not kind.endswith(_CERTIFICATE):
        return SshSignature(kind, fields[0], None, armour)
    return _certified(kind.removesuffix(_CERTIFICATE), fields[0], armour)


def _first_string(blob: bytes) -> int:
    return 4 + int.from_bytes(blob[:4], "big")


class _BlobReader:
    """Reads a blob from its beginning."""

    def __init__(self, blob: bytes) -> None:
        self._blob, self._at = blob, 0

    def string(self) -> bytes:
        size = self.number(4)
        return self._take(size)

    def number(self, octets: int) -> int:
        return int.from_bytes(self._take(octets), "big")

    def _take(self, size: int) -> bytes:
        if self._at + size > len(self._blob):
            raise ValueError("the blob ends too early")
        self._at += size
        return self._blob[self._at - size : self._at]


def _certified(kind: str, blob: bytes, armour: bytes) -> SshSignature | None:
    if kind not in _FIELDS:
        return None
    reader = _BlobReader(blob)
    try:
        reader.string(), reader.string()  # its type, and a nonce
        own = [reader.string() for _ in range(_FIELDS[kind])]
        reader.number(8), reader.number(4), reader.string()  # serial number, kind of certificate, its id
        principals = ssh_strings(reader.string())
        after, before = reader.number(8), reader.number(8)
        is_restricted = bool(reader.string())
        reader.string(), reader.string()  # extensions, and what is reserved
        authority = reader.string()
    except ValueError:
        return None
    # The plain key once more, as a list and a fingerprint have it.
    key = b"".join(len(part).to_bytes(4, "big") + part for part in (kind.encode(), *own))
    names = tuple(name.decode("utf-8", "replace") for name in principals)
    end = None if before == _FOR_EVER else commit_date(str(before))
    certificate = Certificate(authority, names, commit_date(str(after)), end, is_restricted)
    return SshSignature(kind, key, certificate, armour)


def who(signature: SshSignature, signer: Signer) -> str | None:
    """Return who a signature is by if it is by the key of this line; ``None`` where it cannot be."""
    certificate = signature.certificate
    if certificate is None:
        # A key that certifies others signs nothing itself, whoever holds it.
        return signer.who if not signer.is_authority and signer.key == signature.key else None
    if not signer.is_authority or signer.key != certificate.authority:
        return None
    return next((name for name in certificate.principals if matches(signer.who, name)), None)


def check_ssh(
    signature: SshSignature, payload: bytes, signer: Signer, at: datetime, bench: Bench
) -> Unproved | None:
    """Let ``ssh-keygen`` check a signature by the key of one line, or by a key that it certified.

    Args:
        signature: The signature.
        payload: What is signed.
        signer: A line for which :func:`who` said somebody.
        at: A certificate must be valid then.
        bench: Where the program works; files of this call are left there.

    Returns:
        What is wrong, ``None`` where it is good.

    Raises:
        Stalled: There is no ``ssh-keygen``.
    """
    name = (who(signature, signer) or "") if signer.is_authority else _WHO
    # The name is the certificate's, chosen by whoever made it, and goes into a line of ours below.
    if not name.isprintable() or '"' in name:
        return Unproved.BAD_SIGNATURE
    option = "cert-authority " if signer.is_authority else ""
    listed = f'"{name}" {option}{signer.type} '.encode() + b64encode(signer.key) + b"\n"
    files = ("-f", bench.file("list", listed), "-s", bench.file("signature", signature.armour))
    argv = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, *files, "-I", name]
    time = at.astimezone(UTC).strftime("-Overify-time=%Y%m%d%H%M%S")
    done = bench.run([*argv, time], payload, limit=65536, TZ="UTC")
    if done is None:
        return Unproved.CANNOT_VERIFY
    says = done.stdout.decode("utf-8", "replace").strip()
    # The code alone says that some key of the list made it; it must be the one that was judged.
    is_good = not done.returncode and says.endswith(f" key {signature.fingerprint}")
    return None if is_good else Unproved.BAD_SIGNATURE
