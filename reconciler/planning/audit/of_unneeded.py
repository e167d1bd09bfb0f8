"""What goes because a run made it unused, by what the reports before say of that run."""

from collections.abc import Iterator

from reconciler.planning.audit.of_runs import RunCase
from reconciler.planning.audit.rebuilt import Rebuilt, matched
from reconciler.planning.audit.story import Link, Unread
from reconciler.planning.audit.verdicts import Against
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.unneeded import UnneededSeen
from reconciler.planning.gates.recording import Recording
from reconciler.planning.resolving.unneeded import seen_after, unused_told
from reconciler.planning.runs.record import RunRecord


def unneeded(case: RunCase) -> Iterator[Against]:
    """Ask for each package that goes as unused to have become that by the run that is named for it."""
    if isinstance(case.built, Unread) or case.announced is None:
        return
    named = _named(case.built)
    if not named:
        return
    known = {record.run: (link, record) for link, record in case.story.runs_until(case.announced)}
    for package, run in sorted(named.items()):
        found = known.get(run)
        if found is None:
            said = f"{package} is to be unused since run {run}, of which there is no record"
            yield (case.refuted if case.story.is_whole else case.unproved)("unneeded", said)
        else:
            yield from _against(case, case.announced, package, *found)


def _named(built: Rebuilt) -> dict[PackageId, str]:
    """Return what goes since a run made it unused, each with that run."""
    going = {one.package for one in built.ruling.plan.transaction if one.unused == "package"}
    if not going or built.effective is None:
        return {}
    seen = seen_after(built.recording.observation, built.ruling.exchanges, built.effective)
    since = {} if seen is None else seen.by_package()
    return {package: since.get(package, "") for package in going}


def _against(
    case: RunCase, until: Link, package: PackageId, link: Link, record: RunRecord
) -> Iterator[Against]:
    """Say what the reports around a run have against its having made a package unused."""
    claim = f"{package} is to be unused since run {record.run}"
    if not record.difference.changed:
        yield case.refuted("unneeded", f"{claim}, which changed nothing", link.commit)
        return
    before = _known_before(case, record)
    if isinstance(before, Unread):
        yield case.unproved("unneeded", f"{claim}: {before.reason}", link.commit)
    elif before is None:
        yield case.differs("unneeded", f"{claim}, and nobody asked what was unused before it", link.commit)
    elif package in before.by_package():
        yield case.differs("unneeded", f"{claim}, and was so before it", link.commit)
    elif (late := _not_unused(case, link, until, record, package)) is not None:
        said = f"{claim}, and was not unused when that was over"
        yield case.differs("unneeded", said, late.commit)


def _known_before(case: RunCase, record: RunRecord) -> UnneededSeen | Unread | None:
    """Return what the host knew of what is unused when it announced a run; ``None`` where it did not ask."""
    announced = None if record.announced is None else case.story.find(record.announced.commit)
    if announced is None:
        return Unread("the report that announced that run is not there")
    recording = case.story.recordings(announced.recording)
    if isinstance(recording, Unread):
        return recording
    found = matched(recording, recording.policy_commit, case.story.policy)
    if isinstance(found, Unread):
        return found
    effective = found[1]
    exchanges = (*recording.exchanges, *recording.security_exchanges)
    return None if effective is None else seen_after(recording.observation, exchanges, effective)


def _not_unused(case: RunCase, link: Link, until: Link, record: RunRecord, package: PackageId) -> Link | None:
    """Return the first report since a run by which a package was needed again, or still."""
    announced = None if record.announced is None else case.story.find(record.announced.commit)
    last = "" if announced is None else announced.recording
    here = case.story.links[case.story.links.index(link) : case.story.links.index(until) + 1]
    for one in here:
        if one.recording == last:  # Nobody has looked since.
            continue
        last = one.recording
        recording = case.story.recordings(last)
        if isinstance(recording, Recording) and _is_needed(recording, package):
            return one
    return None


def _is_needed(recording: Recording, package: PackageId) -> bool:
    """Say whether the manager said what is unused, and a package is not among that."""
    told = [*unused_told((*recording.exchanges, *recording.security_exchanges))]
    return bool(told) and all(package not in {each.package for each in one} for one in told)
