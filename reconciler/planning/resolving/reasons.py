"""Put the planner's findings into words: disposition, stable code, sentence, and the policy text behind it.

``docs/reference/dispositions.md`` lists every code.
"""

from collections.abc import Sequence
from itertools import dropwhile

from reconciler.planning.facts.observation import Change, Quarantined, Unmet
from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.resolving.dialogue import Failure
from reconciler.planning.resolving.dispositions import Disposition, Reason
from reconciler.planning.resolving.mode import kinds_of
from reconciler.planning.resolving.selection import (
    ExceptionBlock,
    ExceptionHold,
    FailedBefore,
    NotAdmitted,
    Obstacle,
    OperatorHold,
    OutsideMode,
    PlacedException,
    Rules,
    Standing,
    Unwanted,
    WaitsFor,
    Wanted,
)
from reconciler.planning.resolving.why_absent import (
    Alone,
    Explanation,
    Impossible,
    KeptBack,
    Needs,
    NeedsPhased,
    OtherVendor,
    WouldRemove,
    WouldReplace,
)
from reconciler.planning.resolving.youth import TooYoung
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.wording import listed
from reconciler.policy.managers import ManagerTraits
from reconciler.policy.resolve import Effective
from reconciler.policy.values import format_duration, format_state


def place_of(setting: str, effective: Effective) -> str:
    """Return where a setting was set, or nothing where it has its default."""
    origin = effective.origins.get(setting) or effective.origins.get(setting.partition(".")[0])
    return "" if origin is None else str(origin)


def _words_of(placed: PlacedException) -> str:
    exception = placed.value
    ticket = f", {exception.ticket}" if exception.ticket else ""
    return f"until {instant(exception.ends())} ({exception.reason}{ticket})"


def disposition_of(obstacle: Obstacle) -> Disposition:
    """Return the disposition that an obstacle gives to an update."""
    match obstacle:
        case OperatorHold() | ExceptionHold() | FailedBefore():
            return Disposition.HELD
        case ExceptionBlock():
            return Disposition.BLOCKED
        case NotAdmitted() | OutsideMode():
            return Disposition.NOT_SELECTED
        case TooYoung() | WaitsFor():
            return Disposition.TOO_YOUNG


def reason_of(package: PackageId, obstacle: Obstacle, rules: Rules) -> Reason:
    """Put what stands against a package into words."""
    name = rules.machine.name_of(package)
    match obstacle:
        case TooYoung() | WaitsFor():
            return _reason_of_youth(name, obstacle, rules)
        case NotAdmitted() | OutsideMode():
            return _reason_of_choice(name, obstacle, rules)
        case OperatorHold(of=other):
            name = name if other is None else rules.machine.name_of(other)
            return Reason("operator-hold", f"{name} is on hold on this machine, by its operator")
        case ExceptionHold(exception=placed, version=version):
            text = f"exception '{placed.value.name}' holds back {name} {version} {_words_of(placed)}"
            return Reason("exception-hold", text, str(placed.origin))
        case ExceptionBlock(exception=placed, version=version):
            text = f"exception '{placed.value.name}' blocks {name} {version} {_words_of(placed)}"
            return Reason("exception-block", text, str(placed.origin))
        case FailedBefore(quarantined=failed):
            return _failed_before(name, failed)


def _reason_of_choice(name: str, obstacle: NotAdmitted | OutsideMode, rules: Rules) -> Reason:
    match obstacle:
        case NotAdmitted():
            return _reason_of_source(name, obstacle, rules)
        case OutsideMode():
            return _reason_of_mode(name, obstacle, rules)


def _reason_of_source(name: str, obstacle: NotAdmitted, rules: Rules) -> Reason:
    what = f"{name} {obstacle.version}"
    if obstacle.setting is None:
        return Reason(
            "source-missing", f"{what} comes from {listed(obstacle.origins)}, which could not be read"
        )
    where = f"from {listed(obstacle.origins)}, " if obstacle.origins else ""
    text = f"{what} comes {where}not from a source that policy admits"
    return Reason("source-not-admitted", text, place_of(obstacle.setting, rules.effective))


def _reason_of_mode(name: str, obstacle: OutsideMode, rules: Rules) -> Reason:
    settings, traits = rules.effective.settings, rules.machine.traits
    what, place = f"{name} {obstacle.version}", place_of("updates", rules.effective)
    match obstacle.by:
        case "none":
            return Reason("updates-none", "no updates are wanted", place)
        case "security" if not traits.tells_security:
            text = (
                f"the package manager does not say whether {what} fixes security problems, and only such"
                " updates are wanted"
            )
            return Reason("security-only", text, place)
        case "security":
            text = f"the security service does not offer {what}, and only its updates are wanted"
            return Reason("security-only", text, place)
        case "severity":
            said = f"its advisories are {listed(obstacle.said)} at most, and policy wants {settings.severity}"
            return Reason("severity", f"{what} is left out: {said}", place_of("severity", rules.effective))
        case "kinds":
            said = f"{_kinds(obstacle, traits)}, and policy wants {' or '.join(settings.kinds)}"
            return Reason("kinds", f"{what} is left out: {said}", place_of("kinds", rules.effective))


def _kinds(obstacle: OutsideMode, traits: ManagerTraits) -> str:
    if not traits.tells_kinds:
        return "the package manager does not say of what kind it is"
    return f"its advisories are of kind {listed(obstacle.said)}" if obstacle.said else "it has no advisory"


def _reason_of_youth(name: str, obstacle: TooYoung | WaitsFor, rules: Rules) -> Reason:
    match obstacle:
        case TooYoung(version=version, setting=setting, seen=seen, ready=ready):
            what = f"{name} {version} was first seen at {instant(seen)}"
            place = place_of(setting, rules.effective)
            if ready is None:
                return Reason("as-of", f"{what}, and {_state(rules)}", place)
            least = f"{setting} is {format_duration(ready - seen)}"
            return Reason("min-age", f"{what} and is old enough at {instant(ready)} ({least})", place)
        case WaitsFor(package=package, cause=cause):
            other = f"{rules.machine.name_of(package)} {cause.version}"
            if cause.ready is None:
                when = f"was first seen at {instant(cause.seen)}, and {_state(rules)}"
            else:
                when = f"is old enough at {instant(cause.ready)}"
            text = f"this package manager knows no partial upgrades, so all updates wait for {other}"
            text = f"{text}, which {when}"
            return Reason("waits-for", text, place_of(cause.setting, rules.effective))


def _state(rules: Rules) -> str:
    return f"policy patches to the state of {format_state(rules.effective.settings.as_of)}"


def _failed_before(name: str, failed: Quarantined) -> Reason:
    at = f"at {instant(failed.at)}: {failed.message}"
    if failed.until is not None:
        text = (
            f"the file of {name} {failed.version} could not be fetched {at}; it is tried again after"
            f" {instant(failed.until)}, with newer metadata, or by run --now"
        )
        return Reason("not-fetched", text)
    doing = "removing" if failed.is_removal else "installing"
    text = (
        f"{doing} {name} {failed.version} failed {at}; it is tried again when the policy, the package or"
        " its version changes, or by run --now"
    )
    return Reason("failed-before", text)


def account_of_obstacles(
    package: PackageId, obstacles: Sequence[Obstacle], rules: Rules
) -> tuple[Disposition, tuple[Reason, ...]]:
    """Account for an update that is not wanted now; ``obstacles`` has the decisive one first."""
    return disposition_of(obstacles[0]), _reasons_of(package, obstacles, rules)


def _reasons_of(package: PackageId, obstacles: Sequence[Obstacle], rules: Rules) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(reason_of(package, obstacle, rules) for obstacle in obstacles))


def account_of_absence(
    wanted: Wanted, explanation: Explanation, failure: Failure | None, rules: Rules
) -> tuple[Disposition, tuple[Reason, ...]]:
    """Account for a wanted update that the transaction leaves out."""
    disposition, reasons = _absence(wanted, explanation, failure, rules)
    passed_over = _reasons_of(wanted.offer.package, wanted.passed_over, rules)
    return disposition, tuple(dict.fromkeys((*reasons, *passed_over)))


def _absence(
    wanted: Wanted, explanation: Explanation, failure: Failure | None, rules: Rules
) -> tuple[Disposition, tuple[Reason, ...]]:
    version = wanted.version.version
    if wanted.only_as_dependency is not None:
        return Disposition.HELD, (_dependency_reason(wanted.only_as_dependency, "no other update needs it"),)
    if wanted.version.phased is not None:
        return Disposition.PHASED, (_phased(version, wanted.version.phased),)
    if failure is not None:
        if failure.reason == "RemovalsForced":
            place = place_of("removals", rules.effective)
            return Disposition.REMOVAL_REFUSED, (Reason("would-remove", failure.message, place),)
        return Disposition.UNAVAILABLE, (Reason("cannot-resolve", failure.message),)
    return _explained(wanted, explanation, rules)


def _phased(what: str, share: int) -> Reason:
    text = f"the archive offers {what} to {share} % of all machines so far, and not to this one"
    return Reason("phased", text)


def _explained(
    wanted: Wanted, explanation: Explanation, rules: Rules
) -> tuple[Disposition, tuple[Reason, ...]]:
    version = wanted.version.version
    match explanation:
        case WouldRemove(victims=victims, setting=setting, guards=guards):
            names = listed([rules.machine.name_of(one) for one in victims])
            text = f"{version} comes only with the removal of {names}"
            if setting is None:
                text = f"{text}, which policy allows and the package manager's full upgrade does not do"
                return Disposition.UNAVAILABLE, (Reason("kept-back", text),)
            causes = [reason_of(package, obstacle, rules) for package, obstacle in guards]
            origin = causes[0].origin if causes else place_of(setting, rules.effective)
            return Disposition.REMOVAL_REFUSED, (Reason("would-remove", text, origin), *causes)
        case Needs(packages=packages):
            return _needing(version, packages, rules)
        case NeedsPhased(package=package, share=share):
            name = rules.machine.name_of(package)
            needs = Reason("needs-phased", f"{version} needs {name}")
            return Disposition.PHASED, (needs, _phased(f"the update of {name}", share))
        case WouldReplace() | Impossible() | OtherVendor() | Alone() | KeptBack():
            text, origin = _kept_back(wanted, explanation, rules)
            return Disposition.UNAVAILABLE, (Reason("kept-back", text, origin),)


def _kept_back(
    wanted: Wanted, explanation: WouldReplace | Impossible | OtherVendor | Alone | KeptBack, rules: Rules
) -> tuple[str, str]:
    """Say why the manager keeps an update back, and where policy makes it do so."""
    version = wanted.version.version
    if hidden_by := wanted.offer.hidden_by:
        return f"the machine's own {hidden_by} hides {version}; 'updates: security' looks behind it", ""
    match explanation:
        case WouldReplace(replaced=replaced, setting=setting):
            refusal = {
                "upgrade": "which 'upgrade: safe' never removes",
                "updates": f"which 'updates: {rules.effective.settings.updates}' never removes",
                "removals": "and no full upgrade was found without a removal that policy refuses",
            }[setting]
            names = listed([rules.machine.name_of(one) for one in replaced])
            return f"{version} replaces {names}, {refusal}", place_of(setting, rules.effective)
        case Impossible(unmet=unmet):
            relations = listed([_relation(wanted, each) for each in unmet])
            return f"{version} cannot be installed: {relations}", ""
        case OtherVendor(changes=changes):
            name = wanted.offer.name
            vendors = listed(
                [f"{'' if who == name else f'with {who} '}from vendor {change}" for who, change in changes]
            )
            text = f"{version} comes only {vendors}, and an upgrade changes no vendor"
            return f"{text}; it does where somebody installs {name} {version} by hand", ""
        case Alone():
            text = "the package manager keeps it back and does not say why"
            return f"{text}; by itself, {version} can be installed", ""
        case KeptBack(said=said, failure=failure):
            who = "keeps it back" if said else "leaves it out"
            text = f"the package manager {who} and does not say why"
            return f"{text}; asking about {version} alone failed: {failure}" if failure else text, ""


_RELATIONS = {
    "Depends": "needs",
    "PreDepends": "needs",
    "Pre-Depends": "needs",
    "Conflicts": "conflicts with",
    "Breaks": "breaks",
    "Removes": "would remove",
}


def _relation(wanted: Wanted, unmet: Unmet) -> str:
    is_wanted = Mention.parse(unmet.package).means(wanted.offer.package)
    version = wanted.version.version if is_wanted else unmet.version
    who = f"{unmet.package} {version}" if version else unmet.package
    return f"{who} {_RELATIONS.get(unmet.kind, unmet.kind)} {unmet.needs}"


def _needing(
    version: str, packages: Sequence[tuple[PackageId, Obstacle]], rules: Rules
) -> tuple[Disposition, tuple[Reason, ...]]:
    disposition = disposition_of(packages[0][1])
    names = listed([rules.machine.name_of(package) for package, _ in packages])
    text = f"{version} needs {names}, which must not be installed or updated"
    causes = [reason_of(package, obstacle, rules) for package, obstacle in packages]
    return disposition, (Reason(f"needs-{disposition}", text, causes[0].origin), *causes)


def _dependency_reason(placed: PlacedException, need: str) -> Reason:
    name = placed.value.name
    text = f"exception '{name}' allows it only as a dependency {_words_of(placed)}, and {need}"
    return Reason("exception-allow-as-dependency", text, str(placed.origin))


def reasons_for_change(change: Change, standing: Standing | None, rules: Rules) -> tuple[Reason, ...]:
    """Account for a package that the transaction moves.

    Args:
        change: Its move.
        standing: What policy says of it; ``None`` where the sources offer no newer version of it.
        rules: Those the plan is made by.
    """
    match change.action:
        case "remove":
            key = "removals" if rules.effective.settings.removals == "allow" else "allow_removals"
            text = f"it makes way for {_doers(change)}, and policy allows that"
            return (Reason("removal-allowed", text, place_of(key, rules.effective)),)
        case "replace":
            return (Reason("replaced", f"its place is taken by {_doers(change)}"),)
        case "rotate":
            return (Reason("rotated", "only so many versions of it may be installed, and it is the oldest"),)
        case "install" | "upgrade" | "downgrade":
            return _reasons_for_coming(change, standing, rules)


def _reasons_for_coming(change: Change, standing: Standing | None, rules: Rules) -> tuple[Reason, ...]:
    match change.action, standing:
        case _, Wanted(only_as_dependency=None, offer=offer) if offer.replaces:
            replaced = listed([rules.machine.name_of(one) for one in offer.replaces])
            takes = Reason("replaces", f"it takes the place of {replaced}")
            return (_selected(standing, rules), takes, *_superseded(change, standing, rules))
        case "install", Wanted(only_as_dependency=None):
            beside = Reason("beside", "it comes beside the versions of it that are installed")
            return (_selected(standing, rules), beside, *_superseded(change, standing, rules))
        case "install", _:
            return (Reason("new-dependency", f"it comes in new, needed by {_doers(change)}"),)
        case "downgrade", _:
            return (Reason("downgrade", "the machine's own pins prefer an older version"),)
        case _:
            return _reasons_for_upgrade(change, standing, rules)


def _lifted(wanted: Wanted) -> tuple[Reason, ...]:
    """Say which setting of the machine does not count for a security update."""
    hidden_by = wanted.offer.hidden_by
    text = f"the machine's own {hidden_by} prefers another release, which counts for no security update"
    return (Reason("hidden", text),) if hidden_by else ()


def _reasons_for_upgrade(change: Change, standing: Standing | None, rules: Rules) -> tuple[Reason, ...]:
    match standing:
        case Wanted(only_as_dependency=placed) if placed is not None:
            return (_dependency_reason(placed, f"{_doers(change)} needs it"),)
        case Wanted():
            return (_selected(standing, rules), *_lifted(standing), *_superseded(change, standing, rules))
        case Unwanted(obstacles=obstacles):
            text = f"it is updated since {_doers(change)} needs it"
            return (Reason("dependency", text), *_reasons_of(change.package, obstacles, rules))
        case None:
            return (Reason("dependency", f"it is updated since {_doers(change)} needs it"),)


def _selected(wanted: Wanted, rules: Rules) -> Reason:
    if wanted.included_by is not None:
        placed = wanted.included_by
        text = f"exception '{placed.value.name}' includes it {_words_of(placed)}"
        return Reason("exception-include", text, str(placed.origin))
    place, settings = place_of("updates", rules.effective), rules.effective.settings
    if settings.updates == "security":
        words = (
            _severity(wanted) if settings.severity != "low" and rules.machine.traits.tells_severity else ""
        )
        return Reason("selected", f"the security service offers it{words}", place)
    if settings.kinds:
        kinds = listed(sorted(kinds_of(wanted.version)))
        return Reason("selected", f"its advisories are of kind {kinds}", place_of("kinds", rules.effective))
    return Reason("selected", "all updates are wanted", place)


def _severity(wanted: Wanted) -> str:
    version = wanted.version
    if version.is_unrated or not version.severity:
        return ", and an advisory of it does not say how severe it is"
    return f", and its advisories are {version.severity}"


def _superseded(change: Change, wanted: Wanted, rules: Rules) -> tuple[Reason, ...]:
    return (*_passed_over(change, wanted, rules), *_older(change, wanted))


def _passed_over(change: Change, wanted: Wanted, rules: Rules) -> tuple[Reason, ...]:
    strange = (one.version for one in wanted.passed_over if isinstance(one, NotAdmitted))
    newest = next(strange, wanted.offer.candidate)
    if not wanted.passed_over or change.to_version == newest:
        return ()
    causes = _reasons_of(change.package, wanted.passed_over, rules)
    text = f"{change.to_version} is taken instead of {newest}"
    return (Reason("superseded", text, causes[0].origin), *causes)


def _older(change: Change, wanted: Wanted) -> tuple[Reason, ...]:
    """Say that the manager takes an older version than is wanted; why, it tells of what is left then."""
    newest = wanted.version.version
    versions = dropwhile(lambda version: version != newest, (one.version for one in wanted.offer.versions))
    if change.to_version not in tuple(versions)[1:]:
        return ()
    text = f"{change.to_version} is taken, since the package manager keeps {newest} back"
    return (Reason("older-fits", text),)


def _doers(change: Change) -> str:
    """Name whose doing a move is, where the packages declare it."""
    return listed(change.by) or "another update"
