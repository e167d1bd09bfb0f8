"""dnf (and yum, where that is dnf by its older name): its patch script asked, and what it answered.

The parsers are pure: recorded text in, values out. A change is told under the architecture that the package
is installed with, also where the new version changes it.
"""

from collections.abc import Iterator, Mapping, Sequence

from reconciler.managers.dialect import Dialect
from reconciler.managers.dnf_formats import MOVES, SKIPPED, RpmPackage, TableRow, moves, packages, rows
from reconciler.managers.dnf_observation import read_observation
from reconciler.managers.dnf_relations import RpmDoings, unmet
from reconciler.managers.rpm import RpmRow
from reconciler.managers.sections import Sections, unparsed, words_of
from reconciler.planning.facts import exit_codes as codes
from reconciler.planning.facts.observation import Action, Answer, Change, Offer, Refresh, RefreshOutcome
from reconciler.planning.facts.package import Names, PackageId, of_other_architecture
from reconciler.records import dataclass


def read_answer(sections: Sections, offers: Sequence[Offer] = ()) -> Answer:
    """Read ``--dry-run``; whether a version is a security update is as ``offers`` say.

    Raises:
        Stalled: A section is missing or does not parse.
    """
    code = sections.exit_code
    table = moves(sections.get("moves"))
    resolve = sections.get("resolve-fully" if "resolve-fully" in sections.by_name else "resolve")
    moved = {move.package for move in table if move.action not in SKIPPED}
    skipped = {move.package for move in table if move.action in SKIPPED} - moved
    name = Names.among(move.package for move in table)
    words = sections.get("refused").errors or resolve.errors or resolve.lines
    problems = (*sections.get("resolve").errors, *resolve.errors, *sections.get("why").errors)
    return Answer(
        changes=_Transaction(sections, table, offers).changes(),
        kept_back=tuple(name(package) for package in sorted(skipped)),
        exit_code=code,
        native_code=resolve.code,
        message=(words_of(words) or "dnf could not resolve") if code in codes.REFUSED else "",
        unmet=unmet(problems),
    )


@dataclass(frozen=True, slots=True)
class _Transaction:
    """dnf's table beside what is known of the packages in it."""

    sections: Sections
    table: Sequence[TableRow]
    offers: Sequence[Offer]

    def changes(self) -> tuple[Change, ...]:
        """Return what goes, then what comes, in dnf's order."""
        if all(move.action in SKIPPED for move in self.table):
            return ()
        present = rows(self.sections.need("installed"))
        newest = {row.package: row for row in present}
        moving = {move.package: move for move in self.table if move.action in MOVES}
        # A change is told under the architecture that the package has now.
        renamed = of_other_architecture(newest.keys() - moving, moving.keys() - newest)
        now = {new: old for old, new in renamed.items()}
        coming = [
            (move, newest.get(now.get(move.package, move.package)))
            for move in self.table
            if move.action in MOVES
        ]
        known = {(one.package, one.version): one for one in packages(self.sections.get("packages"))}
        doings = RpmDoings(
            [
                known[move.package, move.version]
                for move, _ in coming
                if (move.package, move.version) in known
            ],
            {
                move.package: row.version
                for move, row in coming
                if row is not None and move.action != "install"
            },
        )
        gone = self._gone(present, doings)
        return (*gone, *(self._move(move, row, known, doings) for move, row in coming))

    def _gone(self, present: Sequence[RpmRow], doings: RpmDoings) -> Iterator[Change]:
        by_version = {(row.package, row.version): row for row in present}
        section = self.sections.need("moves")
        installed = {move.package for move in self.table if move.action == "install"}
        removed = doings.of_removals(tuple(packages(self.sections.get("relations"))))
        for move in self.table:
            if move.action not in {"remove", "replace"}:
                continue
            row = by_version.get((move.package, move.version))
            if row is None:
                raise unparsed(section, f"{move.name} {move.version} is to go and is not installed")
            is_rotated = move.action == "remove" and row.package in installed
            action: Action = "rotate" if is_rotated else "replace" if move.action == "replace" else "remove"
            yield Change(
                action=action,
                name=row.name,
                arch=row.arch,
                from_version=row.version,
                to_version=None,
                installed_delta=None if row.size is None else -row.size,
                by=_blame(action, move, removed),
            )

    def _move(
        self,
        move: TableRow,
        row: RpmRow | None,
        known: Mapping[tuple[PackageId, str], RpmPackage],
        doings: RpmDoings,
    ) -> Change:
        package = known.get((move.package, move.version))
        action = _action(move)
        before = row if action != "install" else None
        size = package.installed_size if package else None
        growth = None if size is None else size - ((before.size or 0) if before else 0)
        return Change(
            action=action,
            name=move.name,
            arch=before.arch if before else move.arch,
            from_version=before.version if before else None,
            to_version=move.version,
            origin=move.other,
            size=package.size if package else None,
            installed_delta=growth,
            security=self._is_security(before.package if before else move.package, move.version),
            by=doings.needing(package) if package else (),
        )

    def _is_security(self, package: PackageId, version: str) -> bool:
        return any(
            one.security
            for offer in self.offers
            if offer.package == package
            for one in offer.versions
            if one.version == version
        )


def _action(move: TableRow) -> Action:
    match move.action:
        case "install" | "upgrade" | "downgrade":
            return move.action
        case _:
            raise AssertionError(move.action)


def _blame(action: Action, move: TableRow, removed: Mapping[PackageId, tuple[str, ...]]) -> tuple[str, ...]:
    match action:
        case "replace":
            return (move.other,)
        case "rotate":
            return (move.name,)
        case _:
            return removed.get(move.package, ())


# --- refresh --------------------------------------------------------------------------------------


def read_refresh(sections: Sections) -> Refresh:
    """Read why ``--refresh`` failed.

    Raises:
        Stalled: The section is missing.
    """
    section = sections.need("refresh")
    detail = "; ".join(dict.fromkeys(line.strip() for line in words_of(section.errors).splitlines()))
    if "only root may" in detail:
        return Refresh(RefreshOutcome.NOT_PERMITTED, detail)
    missing = tuple(sorted(set(sections.get("unread").lines)))
    detail = detail or f"dnf makecache ended with {section.code}"
    return Refresh(RefreshOutcome.FAILED, detail, missing=missing)


DNF = Dialect(
    name="dnf",
    observation=read_observation,
    answer=read_answer,
    refresh=read_refresh,
    repairs_whole=True,
    hint="run `dnf check` to see more",
    coded=frozenset({"clock", "restarting"}),
    explaining={"dependencies": "whether all that installed packages need is there"},
)
"""How dnf's sections are read."""
