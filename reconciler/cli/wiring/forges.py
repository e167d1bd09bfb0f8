"""The forge and its token, as a configuration says."""

import os
import re
from pathlib import Path

from reconciler.errors import Misuse, ReconcilerError
from reconciler.host.config import Config, Proposals
from reconciler.host.install import credentials
from reconciler.ownership import read_secret
from reconciler.resources import page

_LONGEST = 4096
_TOKEN = re.compile(r"[!-~]+")
_NAMED = "proposals"
_HINT = "write the token into a regular file, as its only line"


def proposals_of(config: Config) -> Proposals:
    """Return the section of the configuration.

    Raises:
        Misuse: There is none.
    """
    if config.proposals is None:
        told = page("how-to/propose-approvals")
        hint = f"add proposals: {{file: /etc/patchledger/forge-token}}; {told} tells all"
        raise Misuse("the configuration names no forge to propose on", hint)
    return config.proposals


def token_of(asked: Proposals, encrypted: Path = credentials.FOLDER) -> str:
    """Read the token, from a credential of systemd or from a file that its owner alone may read.

    Args:
        asked: Says where it is.
        encrypted: Folder of the encrypted credentials, for root at a terminal.

    Raises:
        Misuse: It is missing, open to others, or no token. Nothing of it is told.
    """
    text = _read(asked, encrypted).decode("utf-8", "replace").strip()
    if len(text) > _LONGEST or _TOKEN.fullmatch(text) is None:
        raise Misuse(f"{_NAMED}: what is kept there is no token", _HINT)
    return text


def _read(asked: Proposals, encrypted: Path) -> bytes:
    if asked.credential is None:
        return read_secret(str(asked.file), f"{_NAMED}.file", _HINT, _LONGEST)
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    if given:
        return read_secret(
            f"{given}/{asked.credential}", f"{_NAMED}.credential", _HINT, _LONGEST, is_guarded=True
        )
    if os.geteuid() == 0:
        for path in credentials.places(asked.credential, encrypted):
            if path.is_file():
                return _decrypted(asked.credential, path)
    said = f"{_NAMED}: credential {asked.credential} cannot be read, since the service manager passed none"
    raise Misuse(said, "run it through a unit with LoadCredentialEncrypted=, or name a file")


def _decrypted(name: str, path: Path) -> bytes:
    try:
        return credentials.decrypt(name, path)
    except ReconcilerError as error:
        raise Misuse(f"{_NAMED}: {error.message}", error.hint) from error
