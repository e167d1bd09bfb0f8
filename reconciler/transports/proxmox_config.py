"""The configuration file of a guest of Proxmox VE, as its own parsers read it; pure.

Format (pve-container, ``PVE::LXC::Config``; qemu-server is alike): ``key: value`` lines; lines that begin
with ``#`` are the description; ``lxc.*`` lines; then sections ``[pve:pending]`` and one for each snapshot,
with a whole configuration of its own. **Only what stands before the first section is the guest as it is**: a
snapshot holds ``template:`` and ``lock:`` lines of its own. What is none of these is left aside there with a
warning, and so it is here.
"""

import re
from collections.abc import Iterator

from reconciler.planning.facts.guests import Locked, Template
from reconciler.planning.text.untrusted import one_line
from reconciler.records import dataclass

_SECTION = re.compile(r"\[(?:pve:pending|[a-z][a-z0-9_-]+)\]\s*", re.IGNORECASE | re.ASCII)
_RAW = re.compile(r"lxc\.[a-z0-9_.-]+\s*[:=].*", re.ASCII)
_SETTING = re.compile(r"([a-z][a-z_]*[0-9]*):\s*(.*\S)\s*", re.ASCII)
_TRUE = frozenset({"1", "on", "yes", "true"})
_BETWEEN_TAGS = re.compile(r"[;,\s]+")
_INIT = frozenset({"init", "systemd"})
_MOST_NOTES = 3
_WIDTH = 60


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """What a configuration says of a guest.

    Attributes:
        settings: Its lines before the first section; of a key that is written twice, the last.
        stray: The numbers of lines that are no setting, and what stands there.
    """

    settings: dict[str, str]
    stray: tuple[tuple[int, str], ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags, each once."""
        return tuple(dict.fromkeys(filter(None, _BETWEEN_TAGS.split(self.settings.get("tags", "")))))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the file, a few sentences."""
        said = [f"line {number} is no setting: {text}" for number, text in self.stray[:_MOST_NOTES]]
        left = len(self.stray) - len(said)
        return (*said, f"{left} more lines are no settings") if left else tuple(said)

    @property
    def is_application(self) -> bool:
        """Whether its first process is no init, as in an image made for one application."""
        first = self.settings.get("entrypoint", "init").split()[:1]
        return first != [] and first[0].rpartition("/")[2] not in _INIT

    @property
    def held(self) -> Template | Locked | None:
        """Why nobody should touch it, whether it runs or not."""
        if self.settings.get("template", "").lower() in _TRUE:
            return Template()
        word = self.settings.get("lock")
        return None if word is None else Locked(one_line(word, _WIDTH))


def parse(text: str) -> GuestConfig:
    """Read a configuration; nothing that a file can hold makes this raise."""
    settings: dict[str, str] = {}
    stray = []
    for number, line in _before_sections(text):
        if found := _SETTING.fullmatch(line):
            settings[found[1]] = found[2]
        elif line.strip() and not line.startswith("#") and not _RAW.match(line):
            stray.append((number, one_line(line, _WIDTH)))
    return GuestConfig(settings, tuple(stray))


def _before_sections(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if _SECTION.fullmatch(line):
            return
        yield number, line
