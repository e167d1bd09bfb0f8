"""Where the addresses of notifiers are, as a configuration says."""

import os
from functools import partial
from pathlib import Path

from reconciler.host.config import Config, Notifier
from reconciler.host.install import credentials
from reconciler.notify import CredentialSource, DecryptedSource, FileSource, Notifiers


def notifiers_of(config: Config, encrypted: Path = credentials.FOLDER) -> Notifiers:
    """Return where the addresses of the configuration's notifiers are, for this process.

    A unit gets its credentials decrypted. Where root runs us by hand, systemd is asked for that.

    Args:
        config: Names the notifiers.
        encrypted: Folder of the encrypted credentials.
    """
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    asks = not given and os.geteuid() == 0

    def source(one: Notifier) -> CredentialSource | DecryptedSource | FileSource:
        if one.credential is None:
            return FileSource(one.file or Path())
        for path in credentials.places(one.credential, encrypted) if asks else ():
            if path.is_file():
                return DecryptedSource(partial(credentials.decrypt, one.credential, path))
        return CredentialSource(one.credential)

    return Notifiers(
        {name: source(one) for name, one in config.notifiers.items()}, Path(given) if given else None
    )
