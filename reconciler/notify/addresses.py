"""Where messages go: apprise URLs, read from this host's credentials and kept out of every text.

The rules:

- An address comes from a systemd credential or from a file that only its owner can read. There is no third
  place: not the policy, not the configuration file, not the environment.
- A file is refused when it is a symbolic link, is readable by others, belongs to somebody else, or lies in a
  folder where others could replace it.
- No error tells anything of a file's content.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, unquote_plus

from reconciler.errors import Misuse, ReconcilerError
from reconciler.ownership import read_secret
from reconciler.records import dataclass

_ADDRESS_LIMIT = 4096
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]*")
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SHORTEST_SECRET = 4
REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """A systemd credential (``LoadCredentialEncrypted=``) by its name."""

    credential: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of mode 0600 or stricter, by its absolute path."""

    path: Path


class Address:
    """An apprise URL that does not show itself: ``str`` and ``repr`` name only its scheme."""

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url

    def reveal(self) -> str:
        """Return the URL itself, for the one place that hands it to the sending process."""
        return self._url

    def __repr__(self) -> str:
        return f"Address({self._url.partition('://')[0]}://{REDACTED})"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class GivenSource:
    """An address that was just told and is kept nowhere yet, for ``setup`` to try."""

    address: Address


@dataclass(frozen=True, slots=True)
class DecryptedSource:
    """An encrypted address, where no unit had systemd decrypt it for us.

    Attributes:
        read: Returns what was decrypted; may raise a ReconcilerError.
    """

    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Notifiers:
    """The notifiers of the local configuration.

    Attributes:
        sources: Name of a notifier, as policies use it, and where its address is.
        credentials_directory: ``$CREDENTIALS_DIRECTORY``, ``None`` outside a unit that loads credentials.
    """

    sources: Mapping[str, CredentialSource | FileSource | GivenSource | DecryptedSource]
    credentials_directory: Path | None = None

    def address(self, name: str) -> Address:
        """Read the address of the notifier ``name``; read anew each time, since secrets are rotated.

        Raises:
            Misuse: There is no such notifier, or its credential or file is missing, open to others or not one
                apprise URL. The message never contains anything of it.
        """
        match self.sources.get(name):
            case CredentialSource(credential):
                return parse_address(name, _read_credential(name, credential, self.credentials_directory))
            case FileSource(path):
                return parse_address(name, _read(name, path))
            case DecryptedSource(read):
                return parse_address(name, _decrypted(name, read))
            case GivenSource(address):
                return address
            case None:
                raise Misuse(
                    f"no notifier is called {name!r} on this host",
                    "add it under notifiers in the local configuration, or change notify in the policy",
                )

    def check(self) -> tuple[Misuse, ...]:
        """Read every address once and return what is wrong with each, for ``doctor`` and ``notify test``."""
        problems: list[Misuse] = []
        for name in sorted(self.sources):
            try:
                self.address(name)
            except Misuse as problem:
                problems.append(problem)
        return tuple(problems)


def _decrypted(name: str, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except ReconcilerError as error:
        raise Misuse(f"notifier {name}: {error.message}", error.hint) from error


def _read_credential(name: str, credential: str, directory: Path | None) -> bytes:
    if _CREDENTIAL_NAME.fullmatch(credential) is None:
        raise Misuse(
            f"notifier {name}: {credential!r} is no name of a credential", "use letters, digits, . _ -"
        )
    if directory is None:
        raise Misuse(
            f"notifier {name}: credential {credential} cannot be read, since the service manager passed none",
            "run it through its unit with LoadCredentialEncrypted=, or use a file in the local configuration",
        )
    # The service manager owns and guards this folder; its files may carry an ACL for the unit's user.
    return _read(name, directory / credential, is_guarded=True)


def _read(name: str, path: Path, *, is_guarded: bool = False) -> bytes:
    hint = "create it as a regular file with the apprise URL as its only line"
    return read_secret(str(path), f"notifier {name}", hint, _ADDRESS_LIMIT, is_guarded=is_guarded)


def parse_address(name: str, data: bytes) -> Address:
    """Return the address of the notifier ``name`` that stands in ``data``.

    Raises:
        Misuse: It is not one apprise URL; nothing of it is told.
    """
    text = data.decode("utf-8", "replace").strip()
    if len(data) > _ADDRESS_LIMIT or _ADDRESS.fullmatch(text) is None:
        raise Misuse(
            f"notifier {name}: its secret is not one apprise URL",
            "store a single line such as mailtos://user:password@host?to=…, special characters as %XX",
        )
    return Address(text)


def secrets_of(address: Address) -> frozenset[str]:
    """Return the texts that would give ``address`` away: itself, and every part of it, encoded and decoded.

    Parts below four characters are left out, except for user and password.
    """
    url = address.reveal()
    rest = url.partition("://")[2]
    authority, _, tail = rest.partition("/")
    login, has_login, _ = authority.rpartition("@")
    parts = {rest, *re.split(r"[/?&=:@,;#]", tail), *re.split(r"[@:,]", authority)}
    found = {part for part in parts if len(part) >= _SHORTEST_SECRET}
    if has_login:
        found |= {login, *login.split(":")}
    return frozenset(
        form for part in {url, *found} for form in (part, unquote(part), unquote_plus(part)) if form
    )


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with every one of ``secrets`` replaced, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text
