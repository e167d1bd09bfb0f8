"""What a package manager is told to do, and what it said it did.

An instruction names every change, so that a manager can refuse where it would do anything else. What an
execution came to is told by the difference of installed versions, never by what stands here: exit codes and
words of a manager are evidence, not truth.
"""

from collections.abc import Callable, Iterable
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from reconciler.planning.facts.observation import Change, Installed, Rival
from reconciler.planning.facts.package import Mention, PackageId
from reconciler.planning.facts.patience import pause_after
from reconciler.planning.text.layout import since
from reconciler.policy.managers import traits_of
from reconciler.records import dataclass

if TYPE_CHECKING:
    from reconciler.policy.documents import Conffiles


@dataclass(frozen=True, slots=True)
class Instruction:
    """One exact transaction.

    Attributes:
        changes: All of them; whatever else the resolver would do makes the script refuse with 25 or 26.
        exclude: Names that must not move, as in a :class:`reconciler.planning.facts.observation.Question`.
        block: Names that must neither move nor come in.
        conffiles: Whether a locally changed configuration file stays, or the package's own replaces it.
        lock_wait: How long to wait while another program holds the package database.
        automatic: ``name:arch`` of packages to be marked as installed only for others afterwards.
        without: Ids of sources that nothing may come from.
        rate: Bytes a second that fetching may take at most; ``None`` for as many as there are.
    """

    changes: tuple[Change, ...]
    exclude: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    conffiles: "Conffiles" = "keep"
    lock_wait: timedelta = timedelta(0)
    automatic: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class Unfetched:
    """Packages that could not be fetched ahead: what is tried again remembers that it was.

    Attributes:
        what: Of which plan, and by which lists; another plan or list is tried at once.
        at: When it was tried last.
        attempts: How often.
        message: Why it failed last, in the manager's words.
    """

    what: str
    at: datetime
    attempts: int
    message: str

    @property
    def again(self) -> datetime:
        """When it is to be tried again: after an hour at first, and at last once a day."""
        return self.at + pause_after(self.attempts)


Lacks = Literal["", "file", "server"]


@dataclass(frozen=True, slots=True)
class FailedPackage:
    """A package that the manager complains of, in its own words.

    Attributes:
        name: As the manager calls it: ``name``, or ``name:arch`` where it says so; ``hook`` and the words
            that announce it for a hook of a whole transaction.
        rivals: Packages that it cannot be installed beside, where that is why it failed.
        lacks: Where it could not be fetched, what is missing: its own ``file``, which the server does not
            have or has otherwise, or a ``server`` that answers for it; empty where it failed otherwise.
    """

    name: str
    message: str
    rivals: tuple[Rival, ...] = since(2, ())
    lacks: Lacks = since(3, "", is_left_out=True)

    @property
    def is_hook(self) -> bool:
        """Whether it is no package but a hook of the transaction."""
        return self.name.startswith("hook ")

    @property
    def mention(self) -> Mention:
        """Which package is meant."""
        return Mention.parse(self.name)


@dataclass(frozen=True, slots=True)
class Execution:
    """What a patch script said when it ended.

    Attributes:
        exit_code: By the table of the patch scripts.
        native_code: The manager's own, 0 where it was not reached.
        message: Why it did not end well, in the manager's or the script's own words; empty where it did.
        failed: Packages whose maintainer scripts or unpacking failed.
        conffiles: Files that wait for a person because a configuration file was changed locally, such as
            ``/etc/nginx.conf.dpkg-dist``; sorted.
        ended: When it ended, by the clock of that time; ``None`` where nobody knows.
        is_finished: The script printed its last line; without it, somebody or something ended it before.
    """

    exit_code: int
    native_code: int = 0
    message: str = ""
    failed: tuple[FailedPackage, ...] = ()
    conffiles: tuple[str, ...] = ()
    is_finished: bool = True
    ended: datetime | None = field(default=None, compare=False)


def automatic_in(installed: Iterable[Installed]) -> tuple[str, ...]:
    """Return ``name:arch`` of what is installed only for others, sorted; one mark is for all its versions."""
    return tuple(sorted(name for name, is_automatic in _marks(installed, str).items() if is_automatic))


def automatic_after(
    changes: Iterable[Change], installed: Iterable[Installed], manager: str
) -> tuple[str, ...]:
    """Return ``name:arch`` of what must be marked as automatic once ``changes`` are made, sorted.

    Naming a version marks a package as wanted by a person. An update changes nothing about why something is
    installed, so a mark passes on: from the version before and from others that stay beside it (kernels),
    else from what is replaced, or is from now on only there for it. Where one of several was wanted by a
    person, so is what comes. What comes in for none of these comes for others. What is to go and cannot stays
    what it was: a manager that has begun to remove it has forgotten its mark.

    Args:
        changes: The transaction.
        installed: What there is before.
        manager: Its name, as in a recording.
    """
    key = _name_of if traits_of(manager).marks_names else str
    changes = tuple(changes)
    before = _marks(installed, key)
    replaced: dict[str, bool] = {}
    for gone in changes:
        for name in gone.by if gone.action == "replace" else ():
            replaced[name] = replaced.get(name, True) and before.get(key(gone.package), True)
    by_name = _marks(installed, _name_of)
    for heir in changes:
        for name in heir.heir_of:
            replaced[heir.name] = replaced.get(heir.name, True) and by_name.get(name, True)
    marked = {
        str(change.package)
        for change in changes
        if before.get(key(change.package), change.to_version is not None and replaced.get(change.name, True))
    }
    return tuple(sorted(marked))


def _name_of(package: PackageId) -> str:
    return package.name


def _marks(installed: Iterable[Installed], key: Callable[[PackageId], str]) -> dict[str, bool]:
    """Tell of each package whether all that there is of it is automatic."""
    found: dict[str, bool] = {}
    for one in installed:
        found[key(one.package)] = found.get(key(one.package), True) and one.automatic
    return found
