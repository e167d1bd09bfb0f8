"""Where the REST of a forge is, and what it calls the repository."""

from typing import Literal
from urllib.parse import urlsplit

from reconciler.errors import Misuse
from reconciler.policy.problems import visible
from reconciler.records import dataclass

ForgeKind = Literal["github", "gitlab", "forgejo"]
"""Gitea counts as ``forgejo``."""

_FORGEJO = ("gitea", "forgejo", "codeberg")
_ROOTS: dict[ForgeKind, str] = {"github": "/api/v3", "gitlab": "/api/v4", "forgejo": "/api/v1"}
_GITHUB = "github.com"
_HERE = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class ForgePlace:
    """A repository on a forge.

    Attributes:
        kind: Whose REST it has.
        api: Where that begins, without a slash at its end.
        repository: Its path there, such as ``ops/policy``.
    """

    kind: ForgeKind
    api: str
    repository: str


def kind_of(host: str) -> ForgeKind | None:
    """Return which forge a server's name sounds like, ``None`` where like none."""
    name = host.lower()
    if "github" in name:
        return "github"
    if "gitlab" in name:
        return "gitlab"
    return "forgejo" if any(word in name for word in _FORGEJO) else None


def place_of(remote: str, kind: ForgeKind | None, api: str | None, repository: str | None) -> ForgePlace:
    """Return where the pull requests of a repository are: by its address, where nothing else is said.

    Args:
        remote: Address of the repository, as git knows it.
        kind: Which forge it is.
        api: Where its REST begins.
        repository: Its path there.

    Raises:
        Misuse: The address does not tell, or a token would travel without encryption.
    """
    server, path = _server_and_path(remote)
    kind = kind or kind_of(urlsplit(api).netloc if api else server)
    if kind is None:
        raise Misuse("it is not known which forge the policy is on", "set proposals.forge")
    repository = repository or path
    if not repository or (api is None and not server):
        missing = "proposals.repository" if server or api else "proposals.api and proposals.repository"
        raise Misuse("policy.remote does not tell where pull requests are", f"set {missing}")
    name = server.partition(":")[0]
    root = f"https://api.{_GITHUB}" if name == _GITHUB else f"https://{server}{_ROOTS[kind]}"
    return ForgePlace(kind, _checked(api or root), repository.strip("/"))


def _server_and_path(remote: str) -> tuple[str, str]:
    """Return the server of https, with its port, and the path of a repository; nothing where it is a file."""
    scheme, separator, rest = remote.partition("://")
    if not separator:
        host, colon, path = remote.partition(":")
        is_file = remote.startswith("/") or not colon
        return ("", "") if is_file else (host.rpartition("@")[2], _named(path))
    if scheme == "file":
        return "", ""
    authority, _, path = rest.partition("/")
    server = authority.rpartition("@")[2]
    # The port of ssh is not the one of https.
    return (server if scheme.startswith("http") else server.partition(":")[0]), _named(path)


def _named(path: str) -> str:
    return path.strip("/").removesuffix(".git")


def _checked(api: str) -> str:
    parts = urlsplit(api)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment:
        raise Misuse(f"proposals.api: {visible(api)} is no address", "write it as https://HOST/PATH")
    if parts.username is not None or parts.password is not None:
        raise Misuse("proposals.api holds a user name or password", "put the token into proposals.file")
    is_here = parts.hostname in _HERE
    if parts.scheme == "http" and not is_here:
        raise Misuse(f"proposals.api: a token would travel readable to {visible(api)}", "use https://")
    return api.rstrip("/")
