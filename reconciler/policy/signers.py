"""Who may sign: lists of keys in the format of ssh-keygen(1), ALLOWED SIGNERS, and keys that are revoked.

One line is one key: who (patterns, separated by commas), options, the key's type and the key in base64::

    ada@example.org ssh-ed25519 AAAAC3Nz...
    *@ops.example.org cert-authority,valid-before="20270101" ssh-ed25519 AAAAC3Nz...
    ben@example.org openpgp mDMEZ0...

The last one is no line of ssh: an OpenPGP key, as ``gpg --export KEY | base64 --wrap=0`` writes it. Times
without ``Z`` are in UTC as well, so that every host judges alike (ssh-keygen would take its own zone).
"""

import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import sha1, sha256

from reconciler.policy.problems import Problem, quoted
from reconciler.policy.values import is_public_key
from reconciler.records import dataclass

SIGNERS_FILE = "trust/allowed_signers"
PUBLISHERS_FILE = "trust/publishers"

OPENPGP = "openpgp"
NAMESPACE = "git"
"""What ssh signatures of git are made for (git's ``gpg-interface.c``)."""

SSH_TYPES = frozenset(
    {
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "sk-ssh-ed25519@openssh.com",
        "ssh-ed25519",
        "ssh-rsa",
    }
)
_LEAST_RSA_BITS = 2048
_PRIVATE = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_PRIVATE_MAGIC = b"openssh-key-v1\0"
_PRIMARY, _SUBKEY = 6, 14
"""The tags of OpenPGP packets that are keys."""
_OF_LONG_NUMBERS = (b"\x01", b"\x03", b"\x11")
"""Kinds of OpenPGP keys that sign and are as strong as a number in them is long: RSA, DSA (RFC 4880, 9.1)."""
_EPOCH, _APART = datetime.fromtimestamp(0, UTC), timedelta(days=1)
"""How far the clocks of whoever makes an OpenPGP key and of a host may be apart."""
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?Z?", re.ASCII)
_WORD = re.compile(r'(?:"(?:\\"|[^"])*"|[^\s"])+')
_WHO = re.compile(r'"[^"]+"|[^"]+')
_OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:\\"|[^"])*)")?(?:,(?!$)|$)')
_HINT = "write who, then the line of the .pub file: ops@example.org ssh-ed25519 AAAA..."


@dataclass(frozen=True, slots=True)
class Signer:
    """One key of a list.

    Attributes:
        who: Patterns of principals, as the line has them.
        type: Of the key, as ssh writes it, or ``openpgp``.
        key: Its bytes: a blob of RFC 4253, or OpenPGP packets.
        fingerprint: ``SHA256:…`` as ssh shows it, or an OpenPGP key's in hexadecimal.
        is_authority: Whether it signs certificates of keys, and nothing else.
        valid_after: It counts from then on, aware; an OpenPGP key at the earliest a day before it was made.
        valid_before: It counts until then, aware.
        line: Counted from 1.
    """

    who: str
    type: str
    key: bytes = field(repr=False)
    fingerprint: str
    is_authority: bool = False
    valid_after: datetime | None = None
    valid_before: datetime | None = None
    line: int = 1

    def begins_after(self, now: datetime) -> bool:
        """Say whether it does not count yet."""
        return self.valid_after is not None and now < self.valid_after

    def ended_before(self, now: datetime) -> bool:
        """Say whether it counts no longer."""
        return self.valid_before is not None and now >= self.valid_before


@dataclass(frozen=True, slots=True)
class SignerList:
    """A list that was read.

    Attributes:
        signers: In the order of the file.
        problems: All that is wrong with it; where there is any, nobody may rely on the list.
    """

    signers: tuple[Signer, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Revocation:
    """Keys that count no more, in whatever role and wherever they are listed: the one door for that question.

    Attributes:
        fingerprints: Of these keys.
        problems: All that is wrong with the list of them; where there is anything, no key counts at all.
    """

    fingerprints: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()

    def has(self, *fingerprints: str) -> bool:
        """Say whether one of these keys counts no more: the key itself, and whichever vouches for it."""
        return bool(self.problems) or not self.fingerprints.isdisjoint(fingerprints)


NOTHING_REVOKED = Revocation()


def matches(patterns: str, principal: str) -> bool:
    """Say whether a name is meant by patterns; ``!`` excludes, commas separate (ssh_config(5), PATTERNS)."""
    wanted = False
    for pattern in patterns.split(","):
        if pattern.startswith("!"):
            if _is_like(principal, pattern[1:]):
                return False
        else:
            wanted = wanted or _is_like(principal, pattern)
    return wanted


def _is_like(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def read_signers(data: bytes, file: str) -> SignerList:
    """Read a list.

    Args:
        data: Content of the file.
        file: Named in problems.
    """
    signers, problems = [], []
    for number, line in _lines(data):
        try:
            signers.append(_signer(_seen(line), number))
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            problems.append(Problem(file, number, "", message, hint or _HINT))
    return SignerList(tuple(signers), tuple(problems))


def read_revoked(data: bytes, file: str) -> Revocation:
    """Read which keys are revoked: a line is a public key, or the fingerprint of one.

    Args:
        data: Content of the file.
        file: Named in problems.
    """
    revoked, problems = set(), []
    for number, line in _lines(data):
        try:
            revoked.add(_revoked(_seen(line)))
        except ValueError as error:
            hint = "write a fingerprint (SHA256:..., or an OpenPGP key's), or the line of a .pub file"
            problems.append(Problem(file, number, "", str(error).partition("; ")[0], hint))
    return Revocation(frozenset(revoked), tuple(problems))


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint of an SSH key as ``ssh-keygen -l`` shows it."""
    return "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("=")


def fingerprint_of_line(line: str) -> str:
    """Return the fingerprint of an SSH public key as :func:`reconciler.policy.values.is_public_key` takes it.

    That may be a key of a type or length that no list of signers has.
    """
    return fingerprint(a2b_base64(line.split()[1]))


def public_key_of(data: bytes) -> str:
    """Return the public half of an SSH key: of a private key in OpenSSH's own format, or of a ``.pub`` file.

    The private one tells it unencrypted (OpenSSH's ``PROTOCOL.key``), so that nobody is asked for a
    passphrase.

    Returns:
        Type and key, as the line of a list has them; empty where the data are something else.
    """
    head, *body = data.strip().split(b"\n")
    if head.strip() != _PRIVATE:
        words = head.decode("ascii", "replace").split()[:2]
        return " ".join(words) if is_public_key(" ".join(words)) else ""
    try:
        blob = a2b_base64(b"".join(body[:-1]))
    except (Base64Error, ValueError):
        return ""
    if not blob.startswith(_PRIVATE_MAGIC):
        return ""
    blob = blob[len(_PRIVATE_MAGIC) :]
    for _ in range(3):  # cipher, key derivation, its options
        blob = blob[4 + int.from_bytes(blob[:4], "big") :]
    size = int.from_bytes(blob[4:8], "big")  # after the number of keys
    key = blob[8 : 8 + size]
    fields = ssh_strings(key)
    return f"{fields[0].decode('ascii', 'replace')} {b64encode(key).decode()}" if fields else ""


def _lines(data: bytes) -> Iterable[tuple[int, str]]:
    for number, raw in enumerate(data.split(b"\n"), start=1):
        line = raw.decode("utf-8", "replace").strip()
        # A mere carriage return ends a line for people, so what follows it would be lost as a comment.
        if line and ("\r" in line or not line.startswith("#")):
            yield number, line


def _seen(line: str) -> str:
    """Return a line of which nothing is hidden from whoever reads the file."""
    if not line.replace("\t", " ").isprintable():
        raise ValueError("holds characters that nobody sees; write it anew, and end lines as text files do")
    return line


def _signer(line: str, number: int) -> Signer:
    words = _WORD.findall(line)
    who = words.pop(0) if words else ""
    if not _WHO.fullmatch(who):
        raise ValueError(
            f"{quoted(who)} does not say who; write patterns, and quotes around all of them or none"
        )
    options = words.pop(0) if words and not _is_type(words[0]) else ""
    if not words[1:] or not _is_type(words[0]):
        raise ValueError("holds no public key")
    chosen = _options(options)
    made = _key(words[0], words[1])
    is_authority = "cert-authority" in chosen
    if is_authority and made.type == OPENPGP:
        raise ValueError("an OpenPGP key is no authority of certificates; leave cert-authority out")
    after, before = (
        _time(chosen[name]) if name in chosen else None for name in ("valid-after", "valid-before")
    )
    if after is not None and before is not None and before < after:
        raise ValueError("is valid at no time: valid-before is earlier than valid-after")
    begins = made.begins if after is None else max(after, made.begins or after)
    return Signer(who.strip('"'), made.type, made.key, made.fingerprint, is_authority, begins, before, number)


def _is_type(word: str) -> bool:
    return word in SSH_TYPES or word == OPENPGP


def _options(text: str) -> dict[str, str]:
    """Return the options of a line; one that is not known makes the line unusable, since it may restrict."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        one = _OPTION.match(text, at)
        name = one[1].lower() if one else ""
        if one is None or name not in {"cert-authority", "namespaces", "valid-after", "valid-before"}:
            raise ValueError(
                f"{quoted(text)} is no option of ssh-keygen's allowed signers, nor a type of key"
            )
        if name in found or (name == "cert-authority") != (one[2] is None):
            raise ValueError(f"the option {name} is there twice, or its value is not as it should be")
        found[name] = (one[2] or "").replace('\\"', '"')
        at = one.end()
    if "namespaces" in found and not matches(found["namespaces"], NAMESPACE):
        raise ValueError(f'is not for signatures of git; write namespaces="{NAMESPACE}", or leave that out')
    return found


def _time(text: str) -> datetime:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is no time; write YYYYMMDD or YYYYMMDDHHMM[SS], in UTC")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Key:
    type: str
    key: bytes
    fingerprint: str
    begins: datetime | None = None


def _key(kind: str, text: str) -> _Key:
    try:
        key = a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError):
        raise ValueError("the key is not whole") from None
    if kind == OPENPGP:
        return _openpgp(key)
    fields = ssh_strings(key)
    if not fields or fields[0] != kind.encode():
        raise ValueError("the key is not whole, or of another type than the line says")
    if is_weak(key):
        raise ValueError(f"an RSA key of less than {_LEAST_RSA_BITS} bits is too weak; make an ed25519 key")
    return _Key(kind, key, fingerprint(key))


def is_weak(blob: bytes) -> bool:
    """Say whether an SSH key is of RSA and too short to be relied on."""
    fields = ssh_strings(blob)
    # The modulus stands last; a zero in front of it only says that it is no negative number.
    return fields[:1] == [b"ssh-rsa"] and 8 * len(fields[-1].lstrip(b"\0")) < _LEAST_RSA_BITS


def ssh_strings(blob: bytes) -> list[bytes]:
    """Return the strings that a blob is made of (RFC 4251, section 5); empty where it is something else."""
    found, at = [], 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4], "big")
        if at + 4 > len(blob) or end > len(blob):
            return []
        found.append(blob[at + 4 : end])
        at = end
    return found


def _openpgp(data: bytes) -> _Key:
    """Return the one primary key that packets are about (RFC 4880, 4.2, 5.5.2 and 12.2).

    All of them are looked at, since gpg reads no key at all of a keyring with a packet that is cut off.
    """
    tags: list[int] = []
    bodies: list[bytes] = []
    rest = data
    while rest:
        tag, body, rest = _packet(rest)
        tags.append(tag)
        bodies.append(body)
    if tags[:1] != [_PRIMARY] or bodies[0][0] != 4:  # noqa: PLR2004 - the version of a key
        raise ValueError("holds no OpenPGP key of version 4; write what `gpg --export KEY | base64` prints")
    if tags.count(_PRIMARY) > 1:
        raise ValueError("holds more than one OpenPGP key; write each on a line of its own")
    if any(_is_short(body) for tag, body in zip(tags, bodies, strict=True) if tag in {_PRIMARY, _SUBKEY}):
        raise ValueError(
            f"an RSA or DSA key or subkey of less than {_LEAST_RSA_BITS} bits is too weak; "
            "make an ed25519 key, or export it without that subkey"
        )
    first = bodies[0]
    # Its fingerprint, which is not for us to choose: SHA-1 over a mark, the length and the packet.
    digest = sha1(b"\x99" + len(first).to_bytes(2, "big") + first, usedforsecurity=False)
    made = datetime.fromtimestamp(int.from_bytes(first[1:5], "big"), UTC)
    return _Key(OPENPGP, data, digest.hexdigest().upper(), max(made, _EPOCH + _APART) - _APART)


def _is_short(body: bytes) -> bool:
    """Say whether a key packet is of RSA or DSA, and its first number has too few bits."""
    return body[5:6] in _OF_LONG_NUMBERS and int.from_bytes(body[6:8], "big") < _LEAST_RSA_BITS


def _packet(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag and body of the first packet, and what follows it."""
    head, first = data[0], data[1] if len(data) > 1 else 0
    if head & 0xC0 == 0xC0:  # noqa: PLR2004 - the new format
        tag = head & 0x3F
        if first < 192:  # noqa: PLR2004 - lengths of one, two and five octets
            at, length = 2, first
        elif first < 224:  # noqa: PLR2004
            at, length = 3, ((first - 192) << 8) + int.from_bytes(data[2:3], "big") + 192
        else:
            at, length = 6, int.from_bytes(data[2:6], "big")
    else:
        size = 1 << (head & 3)
        tag, at, length = head >> 2 & 0xF, 1 + size, int.from_bytes(data[1 : 1 + size], "big")
    body = data[at : at + length]
    if not head & 0x80 or not body or len(body) < length:
        raise ValueError("the OpenPGP key is not whole; write what `gpg --export KEY | base64` prints")
    return tag, body, data[at + length :]


def _revoked(line: str) -> str:
    word, *rest = line.split()
    if re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", word):
        return word
    if re.fullmatch(r"[0-9A-Fa-f]{40}", "".join(line.split())):
        return "".join(line.split()).upper()
    if _is_type(word) and rest:
        return _key(word, rest[0]).fingerprint
    with suppress(ValueError):
        return _signer(line, 1).fingerprint  # as it stood in a list
    raise ValueError("is neither a public key nor a fingerprint")
