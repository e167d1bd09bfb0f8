"""Lists of who may sign."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy.signers import Revocation, Signer, SignerList, matches, read_revoked, read_signers

BLOB = (11).to_bytes(4, "big") + b"ssh-ed25519" + (32).to_bytes(4, "big") + bytes(range(32))
KEY = f"ssh-ed25519 {b64encode(BLOB).decode()}"


def only(line: str) -> Signer:
    found = read_signers(line.encode(), "f")
    assert found.problems == ()
    (signer,) = found.signers
    return signer


@pytest.mark.parametrize(
    "line", [f"ada {KEY}", f'"ada,*@b" namespaces="file,git" {KEY} a comment', f"\tada {KEY} "]
)
def test_a_line_is_a_key_and_whose_it_is(line: str) -> None:
    signer = only(line)
    assert (signer.type, signer.key, signer.is_authority) == ("ssh-ed25519", BLOB, False)
    assert signer.who.startswith("ada")


def test_blank_lines_and_comments_are_none() -> None:
    found = read_signers(f"# who\n\n  \nada {KEY}\r\n".encode(), "f")
    assert [(one.who, one.line) for one in found.signers] == [("ada", 4)]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("20260102", datetime(2026, 1, 2, tzinfo=UTC)),
        ("20260102Z", datetime(2026, 1, 2, tzinfo=UTC)),
        ("202601020304", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("20260102030405Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_times_are_in_utc(text: str, at: datetime) -> None:
    signer = only(f'ada valid-after="{text}",CERT-AUTHORITY,valid-before="{text}" {KEY}')
    assert (signer.valid_after, signer.valid_before, signer.is_authority) == (at, at, True)
    assert not signer.begins_after(at)
    assert signer.ended_before(at)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ada", "holds no public key"),
        (f"{KEY}", "holds no public key"),
        (f'a"b"c {KEY}', "does not say who"),
        (f'"" {KEY}', "does not say who"),
        (f"ada cert-authority, {KEY}", "is no option"),
        (f"ada no-touch-required {KEY}", "is no option"),
        (f'ada namespaces="file" {KEY}', "is not for signatures of git"),
        (f'ada valid-before="2026" {KEY}', "is no time"),
        (f'ada valid-before="20261340" {KEY}', "month must be"),
        (f"ada valid-before {KEY}", "its value is not as it should be"),
        (f'ada cert-authority="x" {KEY}', "its value is not as it should be"),
        (f'ada valid-before="20260101",valid-before="20990101" {KEY}', "is there twice"),
        (f"ada {KEY[:-4]}", "not whole"),
        (f"ada ecdsa-sha2-nistp256 {KEY.split()[1]}", "of another type"),
        ("ada ssh-dss AAAA", "holds no public key"),
        (f'ada valid-after="20260102",valid-before="20260101" {KEY}', "valid at no time"),
        (f"# a comment\rada {KEY}", "nobody sees"),
        (f"ada {KEY}\rben {KEY}", "nobody sees"),
        (f"\ufeffada {KEY}", "nobody sees"),
        ("ada openpgp AAAA", "not whole"),
        ("ada openpgp iAEE", "no OpenPGP key of version 4"),
        ("ada openpgp mAED", "no OpenPGP key of version 4"),
        ("ada openpgp mAEEiAM=", "not whole"),
        ("ada openpgp mAEEiAIA", "not whole"),
        ("ada openpgp mAEEiAEAmAEE", "more than one OpenPGP key"),
    ],
)
def test_a_mistake_makes_no_signer(line: str, said: str) -> None:
    found = read_signers(f"\n{line}\n".encode(), "trust/allowed_signers")
    assert found.signers == ()
    (problem,) = found.problems
    assert (problem.file, problem.line) == ("trust/allowed_signers", 2)
    assert said in str(problem)


def test_a_weak_rsa_key_is_refused() -> None:
    parts = (b"ssh-rsa", b"\1\0\1", bytes(1) + b"\xff" * 128)
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    found = read_signers(f"ada ssh-rsa {b64encode(blob).decode()}".encode(), "f")
    assert "too weak" in str(found.problems[0])


MADE = 1_700_000_000


def packet(kind: int, bits: int, tag: int = 6) -> bytes:
    """Return an OpenPGP packet that is a key of a kind, whose first number has so many bits."""
    body = b"\x04" + MADE.to_bytes(4, "big") + bytes([kind]) + bits.to_bytes(2, "big") + b"\xff"
    return bytes([0x80 | tag << 2, len(body)]) + body


def listed(*packets: bytes) -> SignerList:
    return read_signers(f"ada openpgp {b64encode(b''.join(packets)).decode()}".encode(), "f")


@pytest.mark.parametrize("kind", [1, 3, 17])
@pytest.mark.parametrize("tag", [6, 14])
def test_a_weak_openpgp_key_or_subkey_is_refused(kind: int, tag: int) -> None:
    first = () if tag == 6 else (packet(1, 4096),)
    assert not listed(*first, packet(kind, 2048, tag)).problems
    assert "too weak" in str(listed(*first, packet(kind, 2047, tag)).problems[0])


def test_an_openpgp_key_of_a_curve_is_as_strong_as_it_is() -> None:
    assert not listed(packet(22, 0x092B)).problems


def test_an_openpgp_key_counts_from_a_day_before_it_was_made() -> None:
    (key,) = listed(packet(1, 4096)).signers
    assert key.valid_after == datetime.fromtimestamp(MADE, UTC) - timedelta(days=1)
    line = b64encode(packet(1, 4096)).decode()
    both = read_signers(
        f'a valid-after="20000101" openpgp {line}\nb valid-after="20300101" openpgp {line}'.encode(), "f"
    )
    assert [one.valid_after for one in both.signers] == [key.valid_after, datetime(2030, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        ("ada", "ada", True),
        ("ada", "adam", False),
        ("*@ops,!eve@ops", "ada@ops", True),
        ("*@ops,!eve@ops", "eve@ops", False),
        ("!eve@ops", "ada@ops", False),
        ("a[d]a", "ada", False),
        ("a?a", "ada", True),
    ],
)
def test_patterns_are_those_of_ssh(patterns: str, name: str, expected: bool) -> None:  # noqa: FBT001
    assert matches(patterns, name) is expected


def test_revoked_keys_are_lines_or_fingerprints() -> None:
    own = only(f"x {KEY}").fingerprint
    assert read_revoked(f"# gone\n{KEY} ada\n{'ab' * 20}\n".encode(), "f") == Revocation(
        frozenset({own, "AB" * 20})
    )
    for line in (f"ada,ops cert-authority {KEY}", own):
        assert read_revoked(f"{line}\n".encode(), "f") == Revocation(frozenset({own}))


def test_a_key_counts_no_more_where_it_or_who_vouches_for_it_is_revoked() -> None:
    revoked = Revocation(frozenset({"SHA256:old"}))
    assert revoked.has("SHA256:old")
    assert revoked.has("SHA256:certified", "SHA256:old")
    assert not revoked.has("SHA256:new")
    assert not revoked.has()
    assert read_revoked(b"nonsense\n", "f").has("SHA256:new"), "with a mistake nobody knows which are meant"


def test_no_revoked_key_is_lost_behind_an_end_of_line_of_old() -> None:
    assert read_revoked(f"{'ab' * 20}\r{'cd' * 20}\r".encode(), "f").problems
    found = read_revoked(f"{'ab' * 20}\r\n{'cd' * 20}\r\n".encode(), "f")
    assert found == Revocation(frozenset({"AB" * 20, "CD" * 20}))


@given(st.binary(max_size=300))
def test_whatever_stands_there_is_a_signer_or_a_mistake(data: bytes) -> None:
    found = read_signers(data, "f")
    lines = [
        line
        for line in data.split(b"\n")
        if line.strip() and (b"\r" in line or not line.strip().startswith(b"#"))
    ]
    assert len(found.signers) + len(found.problems) <= len(lines) + 1
