"""What a patch script says of packages that nothing needs any more: equal for all package managers.

``--dry-run --unused`` prints a section ``[unused]`` with a line for each: name, architecture, version, and as
what it is unused, ``kernel`` or ``package``.
"""

from typing import get_args

from reconciler.managers.sections import Section, Sections, fields_of, sentence_of, unparsed
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Answer, Change, Unused

UNUSED = "unused"
"""The section's name."""

_KINDS: tuple[Unused, ...] = tuple(one for one in get_args(Unused) if one)


def read_unused(sections: Sections) -> Answer:
    """Read ``--dry-run --unused``: as the removal of all that is unused.

    Raises:
        Stalled: The section is missing or does not parse.
    """
    section = sections.need(UNUSED)
    if section.code:
        return Answer((), (), exit_codes.OTHER, section.code, sentence_of(section.errors))
    changes = {_change(section, line) for line in section.lines}
    return Answer(tuple(sorted(changes, key=lambda one: (one.package, one.from_version or ""))))


def _change(section: Section, line: str) -> Change:
    name, arch, version, said = fields_of(section, line, 4)
    kind = next((one for one in _KINDS if one == said), None)
    if kind is None or not name or not version:
        raise unparsed(section, line)
    return Change("remove", name, arch, version, None, unused=kind)
