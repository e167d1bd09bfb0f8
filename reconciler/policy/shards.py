"""Which of several report repositories a host's reports go to, by its id and their addresses alone.

The rules (rendezvous, or highest random weight, hashing: Thaler and Ravishankar, 1998):

1. The weight of a repository for a host is the SHA-256, in lower-case hexadecimal, of the UTF-8 text
   ``HOST NAME``: the host id, one blank, and the repository's name.
2. A repository's name is ``SERVER/PATH``: the server in lower case, without user, port and scheme; the path
   without slashes at its ends and without ``.git``. Of a folder it is ``/PATH``, and only ``/.git`` is left
   out.
3. The host's repository is the one of the greatest weight, compared as text. The order of the list is of no
   account.

So a repository that is added takes its share, evenly from all others, and one that is removed leaves its own
share, evenly to all others; no other host moves.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

_ADDRESS = re.compile(r"(?:[a-z+]+://)?(?:[^@/]*@)?(\[[^]/]*\]|[^/:]*)(?::\d+(?=/))?:?(.*)", re.IGNORECASE)


def name_of(address: str) -> str:
    """Return the name of the repository that an address means, whichever of its forms it has.

    The scheme, the user and the port say how a repository is reached, and not which it is.
    """
    found = _ADDRESS.fullmatch(address)
    server, path = (found[1].lower(), found[2].strip("/")) if found else ("", address)
    # Servers know a repository with and without the ending; of two such folders each is its own.
    return f"{server}/{path.removesuffix('.git' if server else '/.git')}"


def weight(host: str, address: str) -> str:
    """Return the weight of a repository for a host: 64 hexadecimal digits."""
    return sha256(f"{host} {name_of(address)}".encode()).hexdigest()


def ranked(host: str, addresses: Sequence[str]) -> tuple[str, ...]:
    """Return ``addresses`` by their weight for a host: first its own, then the one it had without that."""
    return tuple(sorted(addresses, key=lambda address: weight(host, address), reverse=True))
