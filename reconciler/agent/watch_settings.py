"""What a process that waits needs to know of the configuration.

A configuration is read by YAML and pydantic, which a process that mostly waits need not hold in memory, and
nothing in it can then harm that process. So ``watch --check``, a process of its own, says in JSON what is in
it, and :class:`WatchSettings` reads that.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from reconciler.records import dataclass

TRIGGER = "wake"
"""File of the state folder whose change wakes."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What of a configuration matters to whoever only waits.

    Attributes:
        digest: SHA-256 of the file that was checked.
        interval: Longest time between two ticks.
        tick_timeout: After which a tick at work is ended.
        state_dir: The state folder, which exists.
        watched: By what a person calls it, the files and folders whose change wakes.
    """

    digest: str
    interval: timedelta
    tick_timeout: timedelta
    state_dir: Path
    watched: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_json(cls, text: bytes) -> "WatchSettings":
        """Read what ``watch --check --format json`` printed; keys of later versions are passed over.

        Raises:
            ValueError: It is something else.
        """
        try:
            found = json.loads(text)
            watched = {str(name): tuple(map(str, paths)) for name, paths in found["watched"].items()}
            interval = timedelta(seconds=float(found["tick"]))
            timeout = timedelta(seconds=float(found["tick_timeout"]))
            return cls(str(found["digest"]), interval, timeout, Path(found["state_dir"]), watched)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError("its check did not say what is watched") from error
