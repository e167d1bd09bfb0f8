"""Read the address of a remote repository, and keep what is secret in it out of sight.

Only ``https``, ``http``, ``ssh`` (also as ``user@host:path``), ``file`` and absolute paths are remotes. A
password or token of an address is taken out of it here, so that it reaches git through the environment of the
child and never through an argument list, which every user of the machine can read. A configuration may hold
none: :func:`open_remote` is where one is refused.
"""

import re
from dataclasses import field

from reconciler.errors import Misuse
from reconciler.records import dataclass

# Compiled (and kept) by the re module when first used, which a quiet tick does not.
_USERINFO = r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s/'\"]*|[^\s'\"]*:[^\s'\"]*)@"
_QUERY = r"([A-Za-z][A-Za-z0-9+.-]*://[^\s?#'\"]*)\?(?!service=git-)[^\s#'\"]+"
_SCP_USERINFO = r"(?<![\w/])([\w.+-]+):([^\s/:'\"@]+)@"
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+"
# A token stands where the user's name should, as forges show it to copy.
_OF_FORGES = r"gh[a-z]_\w{16,}|github_pat_\w{16,}|gl[a-z]+-[\w-]{16,}|[0-9a-f]{40}"
_HERE = ("127.0.0.1", "::1", "localhost")
_READABLE_HINT = "reach it by https:// or ssh"
_PROTOCOLS = ("https", "http", "ssh", "file")


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote repository git may talk to.

    Attributes:
        url: What git is given; without password, and for HTTP without user name.
        protocol: The only transport git may use for it: ``file``, ``http``, ``https`` or ``ssh``.
        username: User name of an HTTP address, empty without one.
        password: Password or token of an HTTP address, empty without one; never shown.
    """

    url: str
    protocol: str
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def path(self) -> str:
        """The folder of a ``file`` remote, empty for all others."""
        return self.url.removeprefix("file://") if self.protocol == "file" else ""

    @property
    def authority(self) -> str:
        """``https://host:port`` of an HTTP remote: the only place its credential is offered to."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"


def parse_remote(address: str) -> Remote:
    """Return the remote that ``address`` names.

    Args:
        address: As written in the configuration.

    Raises:
        Misuse: It is empty, relative, has control characters, or asks for a transport that is not allowed,
            such as ``ext::`` (which would run a command) or ``git://`` (which proves nothing about the
            server).
    """
    if not address or not address.isprintable() or address != address.strip() or address.startswith("-"):
        raise Misuse(
            f"{_quoted(address)} is not an address of a git repository",
            "give an https://, ssh:// or file:// address, user@host:path, or an absolute path",
        )
    helper, doubled, _ = address.partition("::")
    if doubled and helper.replace("-", "").isalnum():
        raise Misuse(
            f"the transport '{helper}::' is not allowed, since it can run commands ({_quoted(address)})",
            "use an https://, ssh:// or file:// address",
        )
    scheme, separator, rest = address.partition("://")
    if separator:
        return _with_scheme(scheme.lower(), rest, address)
    if address.startswith("/"):
        return Remote(address, "file")
    host, colon, path = address.partition(":")
    if colon and path and "/" not in host:
        if address.count("@") > host.count("@"):
            raise Misuse(
                f"{_quoted(address)} holds a password, which ssh cannot use",
                "remove it and name a key file in git.identity",
            )
        return Remote(address, "ssh")
    raise Misuse(
        f"{_quoted(address)} is a relative path, and means something else in every folder",
        "write it as an absolute path, from /",
    )


def open_remote(address: str) -> Remote:
    """Return the remote that ``address`` names, where everybody may read all of it.

    Args:
        address: As a configuration or an option has it.

    Raises:
        Misuse: As for :func:`parse_remote`; or it holds a password, a token, or a query, where tokens stand.
    """
    remote = parse_remote(address)
    advice = "put it into a file and name that in git.credential"
    if remote.password:
        raise Misuse(f"{_quoted(address)} holds a password", advice)
    if re.fullmatch(_OF_FORGES, remote.username):
        raise Misuse(f"{_quoted(address)} holds a token", advice)
    if remote.protocol.startswith("http") and "?" in remote.url:
        raise Misuse(f"{_quoted(address)} holds a query, where tokens stand", f"leave it out; {advice}")
    return remote


def refuse_readable(remote: Remote, what: str) -> None:
    """Refuse to send a secret where everybody on the way could read it, unless that is on this machine.

    Args:
        remote: That it would be offered to.
        what: The secret, as people call it.

    Raises:
        Misuse: It would.
    """
    place = remote.authority.partition("://")[2]
    host = place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]
    if remote.protocol == "http" and host not in _HERE:
        raise Misuse(f"{what} would travel readable to {redact_url(remote.url)}", _READABLE_HINT)


def redact_url(text: str) -> str:
    """Return ``text`` with user names, passwords and queries of every address in it replaced by ``***``.

    The user name of an ssh address and what git itself asks a server are no secrets and stay.
    """
    without_query = re.sub(_QUERY, r"\1?***", text)
    return re.sub(_SCP_USERINFO, "***@", re.sub(_USERINFO, _masked, without_query))


def one_line(text: str, limit: int = 300) -> str:
    """Return a foreign program's ``text`` as one redacted, printable line of at most ``limit`` characters."""
    line = " ".join(re.sub(_CONTROL, " ", redact_url(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _masked(match: re.Match[str]) -> str:
    scheme, userinfo = match.groups()
    is_plain_ssh_user = scheme.lower() == "ssh://" and ":" not in userinfo and "/" not in userinfo
    return match.group(0) if is_plain_ssh_user else f"{scheme}***@"


def _quoted(address: str) -> str:
    return f"'{one_line(address)}'"


def _with_scheme(scheme: str, rest: str, address: str) -> Remote:
    if scheme not in _PROTOCOLS:
        raise Misuse(
            f"{scheme}:// is not an allowed transport ({_quoted(address)})",
            "use an https://, ssh:// or file:// address",
        )
    if scheme == "file":
        if not rest.startswith("/"):
            raise Misuse(f"{_quoted(address)} needs an absolute path", "write it as file:///path")
        return Remote(f"file://{rest}", "file")
    authority, slash, path = rest.partition("/")
    userinfo, _, host = authority.rpartition("@")
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "0")
    if not host or host.startswith("-") or (name and not port.isdigit()):
        raise Misuse(
            f"{_quoted(address)} has no usable host name",
            "write special characters of a user name or password as %XX",
        )
    username, has_password, password = userinfo.partition(":")
    if scheme == "ssh":
        if has_password:
            raise Misuse(
                f"{_quoted(address)} holds a password, which ssh cannot use",
                "remove it and name a key file in git.identity",
            )
        return Remote(f"ssh://{authority}{slash}{path}", "ssh")
    return Remote(f"{scheme}://{host}{slash}{path}", scheme, _unquote(username), _unquote(password))


def _unquote(text: str) -> str:
    # urllib.parse would do, but costs a quiet tick several milliseconds of import.
    head, *rest = text.encode().split(b"%")
    decoded = [head]
    for part in rest:
        try:
            decoded.append(bytes.fromhex(part[:2].decode()) + part[2:])
        except ValueError:
            decoded.append(b"%" + part)
    return b"".join(decoded).decode("utf-8", "replace")
