"""What ``pacman-update.sh --observe`` printed, as an observation.

- What is offered comes from databases of our own, newer than pacman's since its last upgrade.
- pacman says nothing about security, so no version is a security update, and a repository has one version
  of each package, so there is nothing to choose from.
- What pacman would put in the place of an installed package is an offer, also where the operator holds that.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from reconciler.errors import Stalled
from reconciler.managers.dialect import Seen
from reconciler.managers.machine import (
    digest_of,
    read_filesystems,
    read_kernels,
    read_lock_holder,
)
from reconciler.managers.pacman_formats import LocalPackage, SyncPackage, records, rows
from reconciler.managers.sections import Section, Sections, fields_of, instant, pairs, unless_same, unparsed
from reconciler.planning.facts.observation import (
    Available,
    Health,
    Installed,
    Offer,
    Reboot,
    RebootNeed,
    Source,
)
from reconciler.planning.facts.package import PackageId
from reconciler.planning.text.untrusted import redacted


def read_observation(sections: Sections, at: datetime) -> Seen:
    """Read ``--observe`` of a run that ended with 0, taken at an aware instant.

    Raises:
        Stalled: A section is missing or does not parse, or pacman knows no package at all.
    """
    machine = pairs(sections.need("machine"))
    found = tuple(rows(sections.need("installed")))
    if not found:
        hint = f"look at its database, {machine.get('database', '/var/lib/pacman')}"
        raise Stalled("pacman knows no installed package", hint)
    return Seen(
        installed=_installed(found, sections.need("ignored")),
        offers=_offers(sections, {row.name: row for row in found}),
        sources=tuple(_sources(sections.need("sources"), at)),
        health=_health(sections, found),
        reboot=_reboot(machine),
        database=digest_of(sections.need("installed").lines),
    )


def _installed(found: Sequence[LocalPackage], ignored: Section) -> tuple[Installed, ...]:
    patterns = [line.partition(" ") for line in ignored.lines]
    names = [glob for kind, _, glob in patterns if kind == "package"]
    groups = [glob for kind, _, glob in patterns if kind == "group"]

    def is_held(row: LocalPackage) -> bool:
        return any(_matches(row.name, glob) for glob in names) or any(
            _matches(group, glob) for group in row.groups for glob in groups
        )

    installed = (
        Installed(
            row.name,
            row.arch,
            row.version,
            held=is_held(row),
            automatic=row.automatic,
            source=unless_same(row.base, row.name),
        )
        for row in found
    )
    return tuple(sorted(installed, key=lambda one: one.package))


_CLASSES = (
    ("[^", "[!"),
    ("[:alpha:]", "A-Za-z"),
    ("[:lower:]", "a-z"),
    ("[:upper:]", "A-Z"),
    ("[:digit:]", "0-9"),
    ("[:alnum:]", "A-Za-z0-9"),
    ("\\", ""),
)
"""What fnmatch(3) knows and Python's does not, as that writes it. No name has anything to be escaped."""


def _matches(name: str, glob: str) -> bool:
    for theirs, ours in _CLASSES:
        glob = glob.replace(theirs, ours)
    return fnmatchcase(name, glob)


def _offers(sections: Sections, installed: Mapping[str, LocalPackage]) -> tuple[Offer, ...]:
    section = sections.need("upgradable")
    known = records(sections.need("available"))
    offers = []
    for line in section.lines:
        # alpha 1.0-1 -> 1.1-1, and where the operator holds it: [ignored]
        match line.split(" "):
            case [name, old, "->", new] | [name, old, "->", new, "[ignored]"]:
                row = installed.get(name)
                if row is None or row.version != old:
                    raise unparsed(section, line)
                versions = (_available(new, known.get(name)),)
                offers.append(Offer(name, row.arch, old, new, versions))
            case _:
                raise unparsed(section, line)
    newer = {offer.name for offer in offers}
    offers += _successors(sections.get("successors"), newer, installed, known)
    return tuple(sorted(offers, key=lambda offer: offer.package))


def _successors(
    section: Section,
    newer: Collection[str],
    installed: Mapping[str, LocalPackage],
    known: Mapping[str, SyncPackage],
) -> Iterator[Offer]:
    """Yield what would take the place of installed packages, unless it is offered as a newer version anyway.

    It may be there beside what it replaces, also in this very version or in a newer one.
    """
    replaced: defaultdict[str, list[LocalPackage]] = defaultdict(list)
    held = set()
    for line in section.lines:
        old, new, version, mark = fields_of(section, line, 4)
        if new in newer:
            continue
        if old not in installed or new not in known or known[new].version != version:
            raise unparsed(section, line)
        replaced[new].append(installed[old])
        if mark:
            held.add(new)
    for new, rows_ in replaced.items():
        record = known[new]
        yield Offer(
            *(new, record.arch, rows_[0].version, record.version, (_available(record.version, record),)),
            replaces=tuple(PackageId(row.name, row.arch) for row in rows_),
            held=new in held,
        )


def _available(version: str, record: SyncPackage | None) -> Available:
    if record is None or record.version != version:
        return Available(version, (), security=False)
    return Available(
        version,
        (record.repository,),
        security=False,
        size=record.size,
        installed_size=record.installed_size,
        sha256=record.sha256,
    )


def _sources(section: Section, at: datetime) -> Iterator[Source]:
    for line in section.lines:
        match line.split(" ", 3):
            case [written, read, name, url]:
                published, fetched = (
                    None if text == "-" else instant(section, line, text) for text in (written, read)
                )
            case _:
                raise unparsed(section, line)
        problem = ""
        if fetched is None:
            problem = "its database was never read"
        elif published is not None and published > at:
            problem = f"its database is dated in the future: {published:%Y-%m-%d %H:%M} UTC"
        yield Source(name, redacted(url), published, None, fetched, problem)


_NOBODY = re.compile(r"(?!)")
"""Of the script's own search for holders, every line is sure."""


def _health(sections: Sections, found: Sequence[LocalPackage]) -> Health:
    names = {row.name for row in found}
    broken = sections.need("broken").lines
    interrupted = [f"{entry} (half written in pacman's database)" for entry in broken]
    interrupted += (f"{path} is left of a run that is dead" for path in sections.need("stale").lines)
    interrupted += (
        f"{name} (was being installed, and is in no database now)"
        for name in sections.need("lost").lines
        if name not in names
    )
    dependencies = sections.need("dependencies")
    # error: missing 'b' dependency for 'a'
    told = [line.removeprefix("error: ") for line in (*dependencies.lines, *dependencies.errors)]
    unmet = tuple(sorted({line for line in told if line.startswith("missing ")}))
    return Health(
        interrupted=tuple(interrupted),
        broken=unmet,
        lock_holder=read_lock_holder(sections.need("locks"), _NOBODY),
        filesystems=tuple(read_filesystems(sections.need("filesystems"))),
        kernels=read_kernels(sections.need("filesystems")),
    )


def _reboot(machine: Mapping[str, str]) -> Reboot:
    """Tell whether a reboot is pending: pacman removes the modules of a kernel that it upgrades.

    A container has no kernel of its own, and an image that does not run has none at all.
    """
    if machine.get("container") == "yes" or machine.get("root") != "/":
        return Reboot(RebootNeed.NOT_REQUIRED)
    running = machine.get("kernel", "")
    match machine.get("modules"):
        case "present":
            return Reboot(RebootNeed.NOT_REQUIRED)
        case "missing":
            gone = f"the modules of the running kernel {running} are gone, since its package was upgraded"
            return Reboot(RebootNeed.REQUIRED, (gone,))
        case _:
            return Reboot(RebootNeed.UNKNOWN, (f"the running kernel {running} has no modules here",))
