"""Version order of the package managers, and the version ranges that exceptions are written in.

An order is a function of two version strings that returns a negative number, zero or a positive number. It
belongs to the manager of a target (`order_of`), never to the policy: one exception may apply to hosts of
several families.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, assert_never

from reconciler.policy.managers import traits_of
from reconciler.records import dataclass

Order = Callable[[str, str], int]
"""Compares two versions: negative when the first is older, zero when they are equal, positive when newer."""

Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_RUNS = re.compile(r"(\D*)(\d*)", re.ASCII)
_PART = re.compile(r"\s*(?P<operator>!=|<=|>=|=|<|>)\s*(?P<version>[^\s,<>=!]+)\s*")
_OPERATOR = re.compile(r"\s*[=!<>~^]*\s*")

_NON_LETTER = 256
"""Sorts every other character behind all letters, as deb-version(7) demands."""


_Size = tuple[int, str]


def _size(digits: str) -> _Size:
    """Return what orders numbers by value: their length, then their text, so that none is too long."""
    significant = digits.lstrip("0")
    return len(significant), significant


def compare_debian(a: str, b: str) -> int:
    """Compare two Debian versions by the algorithm of deb-version(7).

    Args:
        a: ``[epoch:]upstream[-revision]``.
        b: Another one.

    Returns:
        -1, 0 or 1 as ``a`` is older than, equal to or newer than ``b``. A missing epoch is 0, and a missing
        revision equals the revision ``0``, so that ``0:1.0`` and ``1.0-0`` are the same version.
    """
    left, right = _debian_key(a), _debian_key(b)
    return (left > right) - (left < right)


@lru_cache(maxsize=8192)
def _debian_key(version: str) -> tuple[_Size, tuple[object, ...], tuple[object, ...]]:
    """Return what orders ``version`` under Python's own tuple comparison."""
    epoch, colon, rest = version.strip().partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", version.strip()
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, ""
    return _size(epoch), _debian_part(upstream), _debian_part(revision)


def _debian_part(text: str) -> tuple[object, ...]:
    """Split into alternating non-digits and numbers, with an end of both; nothing at all is the number 0."""
    key: list[object] = []
    for letters, digits in _RUNS.findall(text or "0"):
        if letters or digits:
            # The end of a run of non-digits is 0: behind "~" (-1), before everything else.
            key += [(*map(_debian_weight, letters), 0), _size(digits)]
    return (*key, (0,))


def _debian_weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isascii() and character.isalpha() else ord(character) + _NON_LETTER


_RPM_SEGMENTS = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")


def compare_rpm(a: str, b: str) -> int:
    """Compare two RPM versions by rpm's algorithm (rpm-version(7)).

    Args:
        a: ``[epoch:]version[-release]``.
        b: Another one.

    Returns:
        -1, 0 or 1 as ``a`` is older than, equal to or newer than ``b``. A missing epoch is 0. Where one has
        no release, releases are not compared, as in rpm's own dependencies: ``1.2`` means all its releases.
    """
    (left, left_release), (right, right_release) = _rpm_key(a), _rpm_key(b)
    if left != right or not left_release or not right_release:
        return (left > right) - (left < right)
    return (left_release > right_release) - (left_release < right_release)


_RpmPart = tuple[tuple[int, int, str], ...]


@lru_cache(maxsize=8192)
def _rpm_key(version: str) -> tuple[tuple[_Size, _RpmPart], _RpmPart]:
    """Return what orders epoch and version by tuple comparison, and what orders the release, if any."""
    epoch, colon, rest = version.strip().partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", version.strip()
    upstream, hyphen, release = rest.rpartition("-")
    if not hyphen:
        return (_size(epoch), _rpm_part(rest)), ()
    return (_size(epoch), _rpm_part(upstream)), _rpm_part(release)


def _rpm_part(text: str) -> _RpmPart:
    """Split into segments; whatever else stands between them only separates.

    Sorted: ``~``, the end, ``^``, letters, numbers.
    """
    key: list[tuple[int, int, str]] = []
    for segment in _RPM_SEGMENTS.findall(text):
        if segment in "~^":
            key.append((0 if segment == "~" else 2, 0, ""))
        elif segment.isalpha():
            key.append((3, 0, segment))
        else:
            key.append((4, *_size(segment)))
    return (*key, (1, 0, ""))


def compare_alpm(a: str, b: str) -> int:
    """Compare two of pacman's versions, as ``vercmp`` does (alpm-pkgver(7), vercmp(8)).

    Args:
        a: ``[epoch:]pkgver[-pkgrel]``.
        b: Another one.

    Returns:
        -1, 0 or 1 as ``a`` is older than, equal to or newer than ``b``. A missing epoch is 0. Where only one
        of both has a release, releases are not compared, so that ``1.1`` names every release of it.
    """
    (epoch, version, release), (other_epoch, other_version, other_release) = _alpm_parts(a), _alpm_parts(b)
    found = _compare_alpm_part(epoch, other_epoch) or _compare_alpm_part(version, other_version)
    if found or release is None or other_release is None:
        return found
    return _compare_alpm_part(release, other_release)


def _alpm_parts(version: str) -> tuple[str, str, str | None]:
    epoch, colon, rest = version.strip().partition(":")
    if not colon or _ALPM_DIGITS.fullmatch(epoch) is None:
        epoch, rest = "", version.strip()
    upstream, hyphen, release = rest.rpartition("-")
    return (epoch or "0", upstream, release) if hyphen else (epoch or "0", rest, None)


def _compare_alpm_part(a: str, b: str) -> int:
    """Compare run by run: digits by value, letters as text, and by the length of what separates them."""
    while a and b:
        gap, other_gap = _ALPM_GAP.match(a), _ALPM_GAP.match(b)
        lengths = (gap.end() if gap else 0, other_gap.end() if other_gap else 0)
        a, b = a[lengths[0] :], b[lengths[1] :]
        if not (a and b):
            break
        if lengths[0] != lengths[1]:
            return -1 if lengths[0] < lengths[1] else 1
        is_number = a[0].isdigit()
        run, other = (_alpm_run(text, is_number=is_number) for text in (a, b))
        # Runs of unlike kinds: a number is newer than letters.
        if not other:
            return 1 if is_number else -1
        if found := _compare_alpm_runs(run, other, is_number=is_number):
            return found
        a, b = a[len(run) :], b[len(other) :]
    return _compare_alpm_ends(a, b)


_ALPM_DIGITS = re.compile(r"[0-9]*")
_ALPM_LETTERS = re.compile(r"[A-Za-z]*")
_ALPM_GAP = re.compile(r"[^A-Za-z0-9]*")


def _alpm_run(text: str, *, is_number: bool) -> str:
    found = (_ALPM_DIGITS if is_number else _ALPM_LETTERS).match(text)
    return found[0] if found else ""


def _compare_alpm_runs(a: str, b: str, *, is_number: bool) -> int:
    if is_number:
        return (_size(a) > _size(b)) - (_size(a) < _size(b))
    return (a > b) - (a < b)


def _compare_alpm_ends(a: str, b: str) -> int:
    """Compare what is left when one has ended: letters make a version older (1.0beta), all else newer."""
    if not a and not b:
        return 0
    if a:
        return -1 if a[0].isalpha() else 1
    return 1 if b[0].isalpha() else -1


def order_of(manager: str) -> Order | None:
    """Return the version order of a package manager (``apt``, ``dnf``, ...), or ``None`` if unknown here."""
    match traits_of(manager).versions:
        case "debian":
            return compare_debian
        case "rpm":
            return compare_rpm
        case "alpm":
            return compare_alpm
        case None:
            return None


@dataclass(frozen=True, slots=True)
class Bound:
    """One comparison that a version must pass."""

    operator: Operator
    version: str

    def admits(self, version: str, order: Order) -> bool:
        """Tell whether ``version`` passes this comparison under ``order``."""
        sign = order(version, self.version)
        match self.operator:
            case "=":
                return sign == 0
            case "!=":
                return sign != 0
            case "<":
                return sign < 0
            case "<=":
                return sign <= 0
            case ">":
                return sign > 0
            case ">=":
                return sign >= 0
            case _:
                assert_never(self.operator)


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The versions that pass every one of some comparisons, such as ``>= 1.22.1-9, < 2``.

    Attributes:
        bounds: At least one; all must hold.
    """

    bounds: tuple[Bound, ...]

    @classmethod
    def parse(cls, text: str) -> "VersionRange":
        """Read comparisons joined by commas, which mean "and".

        Args:
            text: Operators ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, each before one version.

        Raises:
            ValueError: With a sentence that names the part that cannot be read.
        """
        return cls(tuple(_parse_bound(part) for part in text.split(",")))

    def contains(self, version: str, order: Order) -> bool:
        """Tell whether ``version`` lies in this range under ``order``."""
        return all(bound.admits(version, order) for bound in self.bounds)

    def __str__(self) -> str:
        return ", ".join(f"{bound.operator} {bound.version}" for bound in self.bounds)


def _parse_bound(part: str) -> Bound:
    found = _PART.fullmatch(part)
    if found is None:
        stripped = part.strip()
        if not stripped:
            raise ValueError("a version range has an empty part; write comparisons such as '>= 1.2, < 2'")
        if _OPERATOR.fullmatch(part):
            raise ValueError(f"'{stripped}' compares with no version; write for example '>= 1.2'")
        raise ValueError(
            f"'{stripped}' is not a comparison; write one of = != < <= > >= and a version, such as '>= 1.2'"
        )
    return Bound(_operator(found["operator"]), found["version"])


def _operator(text: str) -> Operator:
    match text:
        case "=" | "!=" | "<" | "<=" | ">" | ">=":
            return text
        case _:
            raise AssertionError(text)
