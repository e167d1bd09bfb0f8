"""Why a wanted update is not in the transaction: what the manager's answer about it alone proves.

No cause is told that no answer shows: that a package stands in the way is said only where the update moves in
exactly the wanted version once nothing forbids that, or where the manager itself names it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from reconciler.planning.facts.observation import VENDOR, Answer, Change, Mode, Offer, Unmet
from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.facts.versions import VersionRange
from reconciler.planning.resolving.selection import (
    NotAdmitted,
    Obstacle,
    OperatorHold,
    OutsideMode,
    Rules,
    Standing,
    Unwanted,
    Wanted,
    against_change,
    is_named_by,
    moves,
    precedence,
)
from reconciler.records import dataclass

Setting = Literal["removals", "upgrade", "updates"]


@dataclass(frozen=True, slots=True)
class WouldRemove:
    """Only a transaction that removes other packages takes the update, and that was not made.

    Attributes:
        victims: What would go, sorted.
        setting: The setting that refuses it; ``None`` where none does, and the manager itself would not.
        guards: Of those that must stay whatever is set: which, and what holds it.
    """

    victims: tuple[PackageId, ...]
    setting: Setting | None
    guards: tuple[tuple[PackageId, Obstacle], ...] = ()


@dataclass(frozen=True, slots=True)
class WouldReplace:
    """The update takes the place of other packages, and the mode removes nothing at all.

    Attributes:
        replaced: What would go, sorted.
        setting: The setting that refuses it.
    """

    replaced: tuple[PackageId, ...]
    setting: Setting


@dataclass(frozen=True, slots=True)
class Needs:
    """The update comes only with packages that must not move or come in.

    Attributes:
        packages: Which, each with what stands against it, the decisive first.
    """

    packages: tuple[tuple[PackageId, Obstacle], ...]


@dataclass(frozen=True, slots=True)
class NeedsPhased:
    """The update comes only with one that the archive offers to ``share`` % of all machines so far."""

    package: PackageId
    share: int


@dataclass(frozen=True, slots=True)
class Impossible:
    """The manager cannot install the version, and says which relations stand in the way."""

    unmet: tuple[Unmet, ...]


@dataclass(frozen=True, slots=True)
class OtherVendor:
    """The manager would install the version, but only from another vendor than the installed one.

    Attributes:
        changes: Whose vendor changes, each with both of them in words.
    """

    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Alone:
    """The manager would install the version by itself, and leaves it out of the upgrade all the same."""


@dataclass(frozen=True, slots=True)
class KeptBack:
    """The manager leaves it out, and why is not known.

    Attributes:
        said: It named the package itself.
        failure: Why it could not be asked about the version alone; empty where it could.
    """

    said: bool
    failure: str = ""


Explanation = WouldRemove | WouldReplace | Needs | NeedsPhased | Impossible | OtherVendor | Alone | KeptBack
"""Why a wanted update is not in the transaction."""


@dataclass(frozen=True, slots=True)
class Case:
    """What was found out before the manager is asked: the offers, and what policy says of each.

    Attributes:
        standings: By the keys of ``offers``.
    """

    rules: Rules
    offers: Mapping[PackageId, Offer]
    standings: Mapping[PackageId, Standing]

    def refused(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        """Return the removals that policy refuses; what is protected is not even replaced."""
        return tuple(
            change
            for change in sorted(changes, key=lambda change: change.package)
            if (change.action == "remove" and not self._may_remove(change.package))
            or (change.action == "replace" and self._is_protected(change.package))
        )

    def _may_remove(self, key: PackageId) -> bool:
        settings = self.rules.effective.settings
        if settings.updates != "all" or self._is_protected(key):
            return False
        return settings.removals == "allow" or is_named_by(key, settings.allow_removals)

    def _is_protected(self, key: PackageId) -> bool:
        if self.rules.protects(key):
            return True
        match self.standings.get(key):
            case Unwanted(obstacles=obstacles):
                return any(not isinstance(obstacle, NotAdmitted | OutsideMode) for obstacle in obstacles)
            case Wanted(only_as_dependency=placed):
                return placed is not None
            case None:
                return False

    def judge(self, key: PackageId, answer: Answer, mode: Mode) -> Explanation | None:
        """Read the answer to a question about one version alone; ``None`` where it tells nothing.

        Args:
            key: Whose update it is.
            answer: To `Question.only` with the version that is wanted of it.
            mode: That of the transaction which leaves it out.
        """
        moved = moves(answer.changes, self.offers)
        # The manager cannot, even with nothing forbidden: it says why in relations, of which the first that
        # explains all counts.
        if key not in moved or moved[key].to_version != self.standings[key].version.version:
            if held := self._kept_by_others(key, answer.unmet):
                return Needs(held)
            beside = self._cannot_be_beside(key, answer.unmet)
            if guards := self._guards(beside):
                return WouldRemove(beside, self._refusal(beside), guards)
            return Impossible(answer.unmet) if answer.unmet else None
        # It can, and at this price: what must go is the worst of it, then what must not move, then whose it
        # would be.
        if victims := self._victims(answer.changes):
            return self._with_victims(key, answer, victims, mode)
        if needed := self._needed(key, answer.changes):
            return Needs(needed)
        vendors = tuple((one.package, one.needs) for one in answer.unmet if one.kind == VENDOR)
        return OtherVendor(vendors) if vendors else self._left_out(key, moved, mode)

    def _with_victims(
        self, key: PackageId, answer: Answer, victims: tuple[PackageId, ...], mode: Mode
    ) -> Explanation:
        """Tell a package that cannot live with the update from one that the update cannot live with."""
        is_theirs = all(
            not Mention.parse(relation.package).means(key) and "epends" in relation.kind
            for relation in answer.unmet
        )
        if answer.unmet and is_theirs:
            return Impossible(answer.unmet)
        is_permitted = mode == "full" and all(map(self._may_remove, victims))
        setting = None if is_permitted else self._refusal(victims)
        return WouldRemove(victims, setting, self._guards(victims))

    def _left_out(self, key: PackageId, moved: Mapping[PackageId, Change], mode: Mode) -> Explanation:
        for other, standing in self.standings.items():
            if other in moved and other != key and standing.version.phased is not None:
                return NeedsPhased(other, standing.version.phased)
        gone = {change.package for change in moved.values() if change.action == "replace"}
        replaced = tuple(sorted(gone.difference(self.offers[key].replaces)))
        return WouldReplace(replaced, self._refusal(())) if replaced and mode == "safe" else Alone()

    def _victims(self, changes: Iterable[Change]) -> tuple[PackageId, ...]:
        """Return what must go, other than to make room for what takes its place."""
        changes = tuple(changes)
        gone = [*self.refused(changes), *(change for change in changes if change.action == "remove")]
        return tuple(sorted({change.package for change in gone}))

    def _refusal(self, victims: Collection[PackageId]) -> Setting:
        settings = self.rules.effective.settings
        if settings.updates != "all":
            return "updates"
        is_permitted = settings.upgrade == "safe" and all(map(self._may_remove, victims))
        return "upgrade" if is_permitted else "removals"

    def _guards(self, victims: Collection[PackageId]) -> tuple[tuple[PackageId, Obstacle], ...]:
        versions = self.rules.machine.versions({one.name for one in victims})
        return tuple(
            (key, obstacle)
            for key in victims
            if (version := versions.get(key)) is not None
            for obstacle in self._holding(key, version)[:1]
        )

    def _holding(self, key: PackageId, version: str) -> tuple[Obstacle, ...]:
        """Return what keeps an installed package, also where there is no update of it."""
        match self.standings.get(key):
            case Unwanted(obstacles=obstacles):
                return tuple(
                    obstacle for obstacle in obstacles if not isinstance(obstacle, NotAdmitted | OutsideMode)
                )
            case _:
                return self.rules.keeping(key, version)

    def _kept_by_others(
        self, wanted: PackageId, unmet: Iterable[Unmet]
    ) -> tuple[tuple[PackageId, Obstacle], ...]:
        """Return what an update needs and no question can lift: the operator's holds and the update mode.

        Nothing where the manager names another relation as well, or where no version on offer would do.
        """
        found: list[tuple[PackageId, Obstacle]] = []
        for relation in unmet:
            name, _, versions = relation.needs.partition(" ")
            standing = self._standing_named(name)
            is_own = Mention.parse(relation.package).means(wanted) and "epends" in relation.kind
            # One relation that these do not explain, and lifting them would not be enough: then nothing is
            # promised.
            if not is_own or not isinstance(standing, Unwanted) or not self._would_do(standing, versions):
                return ()
            if not isinstance(standing.obstacles[0], OperatorHold | OutsideMode):
                return ()
            found.append((standing.offer.package, standing.obstacles[0]))
        return tuple(found)

    def _cannot_be_beside(self, wanted: PackageId, unmet: Iterable[Unmet]) -> tuple[PackageId, ...]:
        """Return what is installed, without anything newer, and in conflict with an update.

        Nothing where the manager names another relation as well.
        """
        names: set[str] = set()
        for relation in unmet:
            if "onflict" not in relation.kind:
                return ()
            names |= {relation.package, relation.needs.partition(" ")[0]}
        mentions = list(map(Mention.parse, names))
        return tuple(
            key
            for key in sorted(self.rules.machine.versions({one.name for one in mentions}))
            if key != wanted and key not in self.standings and any(one.means(key) for one in mentions)
        )

    def _standing_named(self, name: str) -> Standing | None:
        keys = list(filter(Mention.parse(name).means, self.standings))
        return self.standings[keys[0]] if len(keys) == 1 else None

    def _would_do(self, standing: Unwanted, versions: str) -> bool:
        order = self.rules.machine.order
        if not versions:
            return True
        try:
            wanted = VersionRange.parse(versions.strip("()"))
        except ValueError:
            return False
        return order is not None and wanted.contains(standing.version.version, order)

    def _needed(self, wanted: PackageId, changes: Iterable[Change]) -> tuple[tuple[PackageId, Obstacle], ...]:
        """Return what moves along and must not, each with what stands against it; the decisive first."""
        found: dict[PackageId, Obstacle] = {}
        for package, change in moves(changes, self.offers).items():
            if package != wanted:
                for obstacle in against_change(change, self.offers, self.rules)[:1]:
                    found.setdefault(package, obstacle)
        return tuple(sorted(found.items(), key=lambda item: (precedence(item[1]), item[0])))
