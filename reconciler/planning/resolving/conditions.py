"""What the planner finds out about a target, and when its findings change by themselves."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from reconciler.planning.facts.observation import (
    Exchange,
    Observation,
    Quarantined,
    RebootNeed,
    RefreshOutcome,
    Source,
)
from reconciler.planning.resolving.boot import filling
from reconciler.planning.resolving.dialogue import Failure, Resolution
from reconciler.planning.resolving.dispositions import (
    NEEDS_ACCEPTANCE,
    Condition,
    ConditionType,
    Disposition,
    Update,
)
from reconciler.planning.resolving.selection import PlacedException, Rules
from reconciler.planning.resolving.sources import lacks_only, missing
from reconciler.planning.resolving.unneeded_words import unused_conditions
from reconciler.planning.resolving.youth import ripenings, state_ends
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.wording import listed, sentence
from reconciler.policy.documents import Settings
from reconciler.policy.resolve import Effective
from reconciler.policy.values import format_moment, format_state
from reconciler.policy.zones import shifted

WARNING = timedelta(days=14)
"""So long before its end an exception is reported as expiring."""

_ASKED_AGAIN = timedelta(hours=1)


def find_conditions(
    observation: Observation, rules: Rules, resolution: Resolution, updates: Sequence[Update]
) -> tuple[Condition, ...]:
    """Collect the conditions of a target, at most one of a type, sorted by type.

    ``RebootRequired`` is always there; each other one only while it holds, or cannot be told.
    """
    found = [
        *_metadata(observation, rules),
        *_package_system(observation, rules),
        *_resolving(rules, resolution, updates),
        *_security(observation, rules),
        *_sources(observation, rules),
        *_state(observation, rules, updates),
        *_explanations(observation),
        *_partial(rules, resolution, updates),
        *_policy(rules),
        *unused_conditions(resolution.removals, rules),
        *_exceptions(observation, rules, updates),
        *_boot(observation, resolution),
        _reboot(observation),
    ]
    return tuple(sorted(found, key=lambda condition: condition.type))


def _explanations(observation: Observation) -> Iterator[Condition]:
    if observation.unexplained:
        message = "; ".join(observation.unexplained)
        yield Condition(ConditionType.EXPLANATION_MISSING, True, "Unanswered", message)


def _metadata(observation: Observation, rules: Rules) -> Iterator[Condition]:
    causes = list(_stale_causes(observation, rules.effective.settings, rules.now))
    refresh = observation.refresh
    is_kept = refresh.outcome is RefreshOutcome.METERED
    kept = (f"none are fetched through {refresh.detail}",) if is_kept else ()
    if causes:
        message = "; ".join((*(message for _, message in causes), *kept))
        yield Condition(ConditionType.METADATA_STALE, True, causes[0][0], message)
    elif all(source.fetched is None and not source.age_unknown for source in observation.sources):
        message = "; ".join(("no source says when its metadata were fetched", *kept))
        yield Condition(ConditionType.METADATA_STALE, None, "AgeUnknown", message)
    if absent := missing(observation, rules.effective.settings):
        message = "; ".join(map(_words_of_missing, absent))
        yield Condition(ConditionType.SOURCE_MISSING, True, "MayBeMissing", message)
    if observation.refresh.outcome is RefreshOutcome.NOT_PERMITTED:
        message = "planned from the package metadata that are here, since only root may refresh them"
        yield Condition(ConditionType.METADATA_NOT_REFRESHED, True, "NotPermitted", message)


def _words_of_missing(source: Source) -> str:
    read = "has never been read" if source.fetched is None else f"was last read at {instant(source.fetched)}"
    return f"{source.name} cannot be read, and all else goes on without it; it {read}"


def _stale_causes(observation: Observation, settings: Settings, now: datetime) -> Iterator[tuple[str, str]]:
    absent = missing(observation, settings)
    # What failed for absent sources alone is told as their absence, once.
    if observation.refresh.outcome is RefreshOutcome.FAILED and not lacks_only(observation, absent):
        detail = sentence(observation.refresh.detail) or "the package manager gave no reason"
        if accept := observation.refresh.accept:
            yield NEEDS_ACCEPTANCE, f"{detail}; where that is meant, a person accepts it with: {accept}"
        else:
            yield "RefreshFailed", f"refreshing the metadata failed: {detail}"
    for source in observation.sources:
        if source in absent:
            continue
        if source.problem:
            yield "SourceProblem", f"{source.name}: {source.problem}"
        if source.age_unknown:
            if settings.refresh.age_unknown == "stale":
                yield "AgeUnknown", f"{source.name}: {source.age_unknown}"
        elif source.valid_until is not None and source.valid_until <= now:
            yield (
                "Expired",
                f"{source.name}: its metadata were valid until {instant(source.valid_until)}",
            )
    newest = _newest_fetch(observation)
    if newest is not None and shifted(newest, settings.refresh.stale_after) <= now:
        yield "TooOld", f"the metadata were last fetched at {instant(newest)}"


def _newest_fetch(observation: Observation) -> datetime | None:
    return max((source.fetched for source in observation.sources if source.fetched is not None), default=None)


def _package_system(observation: Observation, rules: Rules) -> Iterator[Condition]:
    health = observation.health
    if health.interrupted:
        named = listed(health.interrupted)
        message = f"half done: {named}; {rules.machine.traits.to_end}"
        yield Condition(ConditionType.PACKAGE_SYSTEM_INTERRUPTED, True, "Interrupted", message)
    if observation.quarantined:
        yield _left_alone(observation.quarantined, rules)
    if health.broken:
        named = listed(health.broken)
        message = f"dependencies of installed packages are not met: {named}; {rules.machine.traits.to_whole}"
        yield Condition(ConditionType.DEPENDENCIES_BROKEN, True, "UnmetDependencies", message, stalled=True)


def _left_alone(quarantined: Sequence[Quarantined], rules: Rules) -> Condition:
    """Tell of versions that are left alone: until something changes, or for a time."""
    failed = [one for one in quarantined if one.until is None]
    lacking = [one for one in quarantined if one.until is not None]
    named = listed([f"{rules.machine.name_of(one.package)} {one.version}" for one in quarantined])
    message = f"in quarantine: {named}"
    if failed:
        why = listed([f"{rules.machine.name_of(one.package)}: {one.message}" for one in failed])
        doing = " and ".join(dict.fromkeys("removing" if one.is_removal else "installing" for one in failed))
        message += f"; {doing} failed, and is not tried before something changes ({why})"
    if lacking:
        why = listed([f"{rules.machine.name_of(one.package)}: {one.message}" for one in lacking])
        again = min(one.until for one in lacking if one.until is not None)
        message += f"; what could not be fetched is tried again after {instant(again)} ({why})"
    reason = "FailedBefore" if failed else "NotFetched"
    return Condition(ConditionType.PACKAGES_QUARANTINED, True, reason, message)


def _resolving(rules: Rules, resolution: Resolution, updates: Sequence[Update]) -> Iterator[Condition]:
    match resolution.failure:
        case None:
            pass
        case Failure(reason="Unanswered", message=message):
            yield Condition(ConditionType.CANNOT_RESOLVE, None, "Unanswered", message)
        case Failure(reason=reason, message=message):
            yield Condition(ConditionType.CANNOT_RESOLVE, True, reason, message)
    refused = [
        rules.machine.name_of(update.package)
        for update in updates
        if update.disposition is Disposition.REMOVAL_REFUSED
    ]
    messages = []
    if refused:
        messages.append(f"{listed(refused)}: not updated, since other packages would have to be removed")
    messages += _spared(resolution, rules)
    if messages:
        yield Condition(ConditionType.REMOVALS_REFUSED, True, "WouldRemove", "; ".join(messages))


def _spared(resolution: Resolution, rules: Rules) -> Iterator[str]:
    """Say what a full upgrade would remove and must stay, and how it may go: what is held, not at all."""
    for is_kept, why in (
        (False, "so it stays; 'allow_removals' or 'removals: allow' lets it go"),
        (True, "and it is held or blocked, so it stays"),
    ):
        packages = [one for one in sorted(resolution.spared) if rules.protects(one) is is_kept]
        if packages:
            names = listed([rules.machine.name_of(package) for package in packages])
            what = "a full upgrade would remove it, and for the sake of which update is not known"
            yield f"{names}: {what}, {why}"


def _is_left_behind(fate: Disposition) -> bool:
    """Say whether what is upgraded may miss an update of this fate beside it."""
    match fate:
        case Disposition.HELD | Disposition.BLOCKED | Disposition.REMOVAL_REFUSED | Disposition.UNAVAILABLE:
            return True
        case (
            Disposition.PLANNED
            | Disposition.NOT_SELECTED
            | Disposition.TOO_YOUNG
            | Disposition.NOT_APPROVED
            | Disposition.PHASED
        ):
            return False


def _security(observation: Observation, rules: Rules) -> Iterator[Condition]:
    """Tell that security updates are wanted and nothing says which they are: that is not "up to date"."""
    if rules.effective.settings.updates != "security":
        return
    if not rules.machine.traits.tells_security:
        message = (
            "this package manager does not say which updates fix security problems, so nothing is planned"
            " with 'updates: security'; only 'updates: all' is of use here"
        )
        yield Condition(ConditionType.SECURITY_UNKNOWN, True, "NotSupported", message)
        return
    serving = [source for source in observation.sources if source.security is not False]
    if all(source.identity in rules.asked.without for source in serving):
        message = f"{_lacking(serving, rules)}, or use 'updates: all'"
        yield Condition(ConditionType.SECURITY_UNKNOWN, True, "NoSource", message)


def _lacking(serving: Sequence[Source], rules: Rules) -> str:
    """Say why no source of security updates counts: none is there, or those that are were left out."""
    nothing = "so nothing is planned with 'updates: security'"
    if not serving and not rules.machine.traits.names_security_sources:
        return (
            "no package source of this machine has advisories, which say what fixes security problems,"
            f" {nothing}; configure one that has, or switch it on"
        )
    if serving:
        names = listed(sorted({source.name for source in serving}))
        return (
            f"of the package sources that count, none serves security updates, {nothing}; {names} would:"
            " see 'sources' and 'refresh.may_be_missing'"
        )
    return (
        f"no package source of this machine serves security updates, {nothing}; configure one or switch it"
        " on, name those that do in 'security_sources'"
    )


def _sources(observation: Observation, rules: Rules) -> Iterator[Condition]:
    """Tell that nothing can come from anywhere: a pattern is wrong rather than the host complete."""
    known, wanted = observation.sources, rules.effective.settings.sources
    if known and not any(wanted.admit(source.name, source.release) for source in known):
        origins = rules.effective.origins
        places = listed([str(origins[key]) for key in ("sources.only", "sources.except") if key in origins])
        # As a pattern would name them: what the package manager calls one of apt's is none.
        names = listed(sorted({f"'{source.release or source.name}'" for source in known}), 6)
        message = f"'sources' ({places}) admits none of the sources of this machine, which are {names}"
        yield Condition(ConditionType.NO_SOURCE_ADMITTED, True, "NothingMatches", message)


def _state(observation: Observation, rules: Rules, updates: Sequence[Update]) -> Iterator[Condition]:
    """Tell where nothing on offer is part of the state that policy patches to, as far as this host saw it."""
    end = state_ends(rules.effective.settings)
    is_known = end is None or rules.now < end or any(one.at < end for one in observation.first_seen)
    if is_known or not any(one.reasons[0].code == "as-of" for one in updates):
        return
    message = (
        f"policy patches to the state of {format_state(rules.effective.settings.as_of)}, and of all that is"
        " on offer this host had seen nothing by then, so it takes nothing: where it has that state already,"
        " nothing is missing; for a host that is newer than that day, a policy of its own sets a later"
        " 'as_of'"
    )
    yield Condition(ConditionType.STATE_UNSEEN, True, "NothingSeen", message)


def _partial(rules: Rules, resolution: Resolution, updates: Sequence[Update]) -> Iterator[Condition]:
    """Tell what a manager that knows only whole upgrades leaves behind."""
    if rules.machine.traits.knows_partial_upgrades:
        return
    behind = [rules.machine.name_of(one.package) for one in updates if _is_left_behind(one.disposition)]
    is_upgraded = rules.effective.settings.updates == "all" and resolution.failure is None
    if behind and is_upgraded and resolution.waiting is None:
        message = (
            f"{listed(behind)}: left behind although this package manager knows no partial upgrades, so what"
            " is upgraded may not fit"
        )
        yield Condition(ConditionType.PARTIAL_UPGRADE, True, "LeftBehind", message)


def _policy(rules: Rules) -> Iterator[Condition]:
    ambiguities = rules.effective.ambiguities
    if ambiguities:
        message = "; ".join(ambiguity.message for ambiguity in ambiguities)
        yield Condition(ConditionType.POLICY_AMBIGUOUS, True, "EqualPriority", message, stalled=True)


def _exceptions(observation: Observation, rules: Rules, updates: Sequence[Update]) -> Iterator[Condition]:
    expired = [placed for placed in rules.effective.exceptions if placed.value.ends() <= rules.now]
    expiring = [placed for placed in rules.exceptions if placed.value.ends() <= shifted(rules.now, WARNING)]
    if expired:
        message = f"{_dated(expired, 'ended')}: ignored since then; renew or remove what has expired"
        yield Condition(ConditionType.EXCEPTION_EXPIRED, True, "Expired", message)
    if expiring:
        message = f"{_dated(expiring, 'ends')}: ignored from then on; renew what is still needed"
        yield Condition(ConditionType.EXCEPTION_EXPIRING, True, "Expiring", message)
    used = rules.naming_exceptions.of_any({one.package for one in (*observation.installed, *updates)})
    unused = [
        f"'{placed.value.name}' ({placed.origin})"
        for placed in rules.exceptions
        if placed.value.name not in used
    ]
    if unused:
        message = f"no installed or offered package is named by exception {listed(unused)}"
        yield Condition(ConditionType.EXCEPTION_UNUSED, True, "NothingMatches", message)
    yield from _unjudged(rules, updates, observation.manager)


def _dated(exceptions: Iterable[PlacedException], verb: str) -> str:
    """Name exceptions with their end, as the document writes it and as the instant that it means."""
    ends = sorted(
        (
            placed.value.ends(),
            placed.value.name,
            str(placed.origin),
            format_moment(placed.value.expires),
        )
        for placed in exceptions
    )
    return listed(
        [
            f"exception '{name}' ({place}, expires: {written}) {verb} at {instant(end)}"
            for end, name, place, written in ends
        ]
    )


def _unjudged(rules: Rules, updates: Sequence[Update], manager: str) -> Iterator[Condition]:
    if rules.machine.order is not None:
        return
    used = rules.naming_exceptions.of_any(update.package for update in updates)
    named = [
        f"'{placed.value.name}' ({placed.origin})"
        for placed in rules.exceptions
        if placed.value.versions is not None and placed.value.name in used
    ]
    if named:
        message = (
            f"the order of {manager}'s versions is not known, so exception {listed(named)} counts for all"
            " versions it would hold back and for none it would include"
        )
        yield Condition(ConditionType.VERSION_RANGE_UNJUDGED, True, "UnknownOrder", message)


def _boot(observation: Observation, resolution: Resolution) -> Iterator[Condition]:
    found = filling(resolution.changes, observation.health)
    if found is not None:
        yield found


def _reboot(observation: Observation) -> Condition:
    because = ": " + listed(observation.reboot.reasons) if observation.reboot.reasons else ""
    match observation.reboot.need:
        case RebootNeed.REQUIRED:
            return Condition(ConditionType.REBOOT_REQUIRED, True, "Required", f"a reboot is pending{because}")
        case RebootNeed.NOT_REQUIRED:
            return Condition(ConditionType.REBOOT_REQUIRED, False, "NotRequired", "no reboot is pending")
        case RebootNeed.UNKNOWN:
            message = f"whether a reboot is pending cannot be told{because}"
            return Condition(ConditionType.REBOOT_REQUIRED, None, "Unknown", message)


def next_change(observation: Observation, effective: Effective, now: datetime) -> datetime | None:
    """Return the next instant after ``now`` at which the plan may change though nothing else does.

    These are: a version becomes old enough, or the day of ``as_of`` is over; an exception or a required
    approval ends, or an exception's warning begins; metadata become stale. Until then, equal observation and
    policy give an equal plan.

    Returns:
        ``None`` where time alone changes nothing.
    """
    instants = {
        *_ripenings(observation, effective.settings, now),
        *_endings(effective),
        *_stalings(observation, effective.settings),
    }
    return min((at for at in instants if at > now), default=None)


def asked_again(observation: Observation, answered: Iterable[Exchange], now: datetime) -> datetime | None:
    """Return when to ask anew for what only explains and was not said, since the machine may have been busy.

    Returns:
        ``None`` where all was said.
    """
    silent = observation.unexplained or not all(exchange.answer.is_given for exchange in answered)
    return shifted(now, _ASKED_AGAIN) if silent else None


def _ripenings(observation: Observation, settings: Settings, now: datetime) -> Iterator[datetime]:
    offered = ((offer.name, available) for offer in observation.offers for available in offer.versions)
    return ripenings(observation.first_seen, offered, settings, now)


def _endings(effective: Effective) -> Iterator[datetime]:
    for exception in effective.exceptions:
        yield exception.value.ends()
        yield shifted(exception.value.ends(), -WARNING)
    if effective.settings.approval == "required":
        yield from (approval.value.ends() for approval in effective.approvals)


def _stalings(observation: Observation, settings: Settings) -> Iterator[datetime]:
    newest = _newest_fetch(observation)
    if newest is not None:
        yield shifted(newest, settings.refresh.stale_after)
    for source in observation.sources:
        if source.valid_until is not None:
            yield source.valid_until
