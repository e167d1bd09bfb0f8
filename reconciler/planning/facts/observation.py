"""What was seen of a machine: everything a plan is made from, as values.

A manager's adapter builds these from what its patch script printed; ``observation.json`` records them, so
that plan and decision can be made again from git alone. All instants are aware and in UTC; all sizes are
bytes; tuples are sorted where no other order is named, so that equal machines give equal records.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.package import Identified, PackageId, Transition
from reconciler.planning.facts.unneeded import UnneededSeen
from reconciler.planning.text.layout import since
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What a policy may match on, and what a reader needs to recognise the machine.

    Attributes:
        os_id: ``ID`` of os-release, such as ``debian``.
        os_version: ``VERSION_ID`` of os-release, empty where it has none.
        os_name: ``PRETTY_NAME`` of os-release.
        architecture: The package manager's native architecture, such as ``amd64``.
        kernel: Release of the running kernel (``uname -r``).
        boot_id: ``/proc/sys/kernel/random/boot_id``, empty where it cannot be read.
        machine_id: ``/etc/machine-id`` of the system that is looked at, empty where it has none.
    """

    os_id: str
    os_version: str
    os_name: str
    architecture: str
    kernel: str
    boot_id: str
    machine_id: str = since(3, "")


@dataclass(frozen=True, slots=True)
class Installed(Identified):
    """A package that is on the machine, whole or broken.

    Attributes:
        status: dpkg's third column in words; ``installed`` is the healthy one.
        held: The operator's own hold or lock.
        automatic: Marked as installed only for others.
        source: The source package that it was built from; empty where that has its name, or is not known.
        source_version: Of that; empty where it is the package's own, or is not known. An rpm does not tell
            the epoch of its source.
    """

    name: str
    arch: str
    version: str
    status: str = "installed"
    held: bool = False
    automatic: bool = False
    source: str = since(3, "", is_left_out=True)
    source_version: str = since(3, "", is_left_out=True)

    @property
    def is_whole(self) -> bool:
        """Whether it is not half done."""
        return self.status == "installed"


Severity = Literal["", "low", "moderate", "important", "critical"]
"""How bad an advisory says that it is to be without it, the least first; empty where none says so."""

AdvisoryKind = Literal[
    "bugfix", "enhancement", "feature", "newpackage", "optional", "recommended", "security"
]
"""What advisories call themselves, as dnf and zypper know it."""

Urgency = Literal["other", "security", "critical"]
"""Which sort of update a version is, the least urgent first."""


@dataclass(frozen=True, slots=True)
class Available:
    """One version of a package that some source offers now.

    Attributes:
        origins: Where from, each as ``Label:Version/Suite`` or what identifies the source, best first.
        security: The distribution's security service is one of them.
        size: Download size.
        installed_size: Size on disk once installed.
        sha256: Of the archive, where the manager knows it.
        phased: Percentage of machines the archive offers it to, ``None`` for all.
        left_out: Only sources that policy does not admit have it.
        severity: The worst that a security advisory says that is above what is installed and not above this
            version, where one tells it; nothing of a version that is no security update.
        is_unrated: Another one of these security advisories tells none that is known.
        kinds: Of which kinds the advisories are that are above what is installed and not above this version.
    """

    version: str
    origins: tuple[str, ...]
    security: bool
    size: int | None = None
    installed_size: int | None = None
    sha256: str | None = None
    phased: int | None = None
    left_out: bool = since(2, False)
    severity: Severity = since(3, "", is_left_out=True)
    is_unrated: bool = since(3, False, is_left_out=True)
    kinds: tuple[AdvisoryKind, ...] = since(3, (), is_left_out=True)

    @property
    def urgency(self) -> Urgency:
        """Which sort of update it is; what no advisory calls critical is an ordinary security update."""
        if not self.security:
            return "other"
        return "critical" if self.severity == "critical" else "security"


@dataclass(frozen=True, slots=True)
class Offer(Identified):
    """An installed package for which the sources have a newer version, or one that would take its place.

    Attributes:
        installed: The version on the machine; of what would be replaced, the first of it.
        candidate: The version the manager would choose with nothing excluded.
        versions: Every available version newer than the installed one, newest first.
        advisories: Identifiers of advisories, where the manager knows them.
        hidden_by: The manager's setting that keeps it from a whole upgrade and from no security update; empty
            where there is none.
        replaces: Installed packages whose place this one takes in an upgrade: a rename, or a successor. It
            may be installed beside them. Empty of a newer version.
        held: The operator keeps it from taking a place. Of a newer version, what is installed says so.
    """

    name: str
    arch: str
    installed: str
    candidate: str
    versions: tuple[Available, ...]
    advisories: tuple[str, ...] = ()
    hidden_by: str = since(2, "")
    replaces: tuple[PackageId, ...] = since(2, ())
    held: bool = since(3, False)


@dataclass(frozen=True, slots=True)
class Source:
    """One configured source of packages and the age of what is known of it.

    Attributes:
        name: Such as ``Debian-Security:12/bookworm-security``.
        url: Without user information.
        published: ``Date`` of the signed release file.
        valid_until: ``Valid-Until`` of it.
        fetched: When this machine last read it (the file's own time).
        problem: Why it cannot be trusted as fresh, empty where nothing is known against it.
        age_unknown: Why nothing vouches for its age although the package manager itself takes it; empty where
            something does, or where it is a problem.
        security: Security updates come from it; ``None`` where the manager tells them otherwise or never, and
            nothing speaks against it.
        id: What the patch script knows it by; empty where that is its name.
        release: Of apt's sources, what patterns of policy are compared with, written as one.
        may_be_missing: The operator's configuration says that all else goes on without it.
    """

    name: str
    url: str
    published: datetime | None
    valid_until: datetime | None
    fetched: datetime | None
    problem: str = ""
    age_unknown: str = since(2, "")
    security: bool | None = since(2, None)
    id: str = since(2, "")
    release: str = since(2, "")
    may_be_missing: bool = since(2, False)

    @property
    def identity(self) -> str:
        """What the patch script knows it by."""
        return self.id or self.name


class RefreshOutcome(StrEnum):
    """How the last attempt to refresh the metadata in this run ended."""

    REFRESHED = "refreshed"
    NOT_DUE = "not-due"
    NOT_PERMITTED = "not-permitted"  # an ordinary user: planned from what is present
    METERED = "metered"  # it was due, and the connection costs money
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Refresh:
    """What became of refreshing the metadata.

    Attributes:
        detail: The manager's own words where it failed; who calls the connection metered.
        accept: What a person types to accept what the manager refuses; empty where time may mend it.
        missing: Ids of the sources that could not be read when it was tried last, sorted. Empty where the
            manager does not name all of them.
    """

    outcome: RefreshOutcome
    detail: str = ""
    accept: str = since(2, "")
    missing: tuple[str, ...] = since(2, ())


@dataclass(frozen=True, slots=True)
class Filesystem:
    """Free space of the file system that holds ``path``."""

    path: str
    free: int
    size: int


@dataclass(frozen=True, slots=True)
class BootKernel:
    """What one kernel takes in ``/boot``, all its files together.

    Attributes:
        release: As ``uname -r`` would say it.
        size: In bytes.
    """

    release: str
    size: int


@dataclass(frozen=True, slots=True)
class Health:
    """What would make a package run fail or do harm.

    Attributes:
        interrupted: Packages left half done, or the words of the journal; empty when clean.
        broken: Unmet dependencies in the manager's own words; empty when none.
        lock_holder: Who holds the package database now, such as ``apt-get (pid 812)``; empty when nobody.
        filesystems: Those that a run writes to.
        kernels: Those in ``/boot``, sorted by release.
    """

    interrupted: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    lock_holder: str = ""
    filesystems: tuple[Filesystem, ...] = ()
    kernels: tuple[BootKernel, ...] = since(3, (), is_left_out=True)


class RebootNeed(StrEnum):
    """Whether a reboot is pending; unknown is never "required"."""

    REQUIRED = "required"
    NOT_REQUIRED = "not-required"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reboot:
    """Whether a reboot is pending, and why."""

    need: RebootNeed
    reasons: tuple[str, ...] = ()


class ClockState(StrEnum):
    """Whether the wall clock can be believed."""

    SYNCHRONISED = "synchronised"
    UNSYNCHRONISED = "unsynchronised"
    UNKNOWN = "unknown"  # nobody to ask: a warning only


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """When this host first saw a version offered by an origin: the evidence for minimum ages and deadlines.

    Attributes:
        urgency: Which sort of update it was when it was seen last.
    """

    origin: str
    name: str
    version: str
    at: datetime
    urgency: Urgency = since(3, "other", is_left_out=True)


@dataclass(frozen=True, slots=True)
class Rival(Identified):
    """Another package in the version beside which one cannot be, such as one that has the same file.

    Attributes:
        arch: Empty where the manager does not say it.
        version: Beside another one, what failed is tried again.
    """

    name: str
    arch: str
    version: str


@dataclass(frozen=True, slots=True)
class Quarantined(Identified):
    """A version that failed to come to this host, or to go, and is left alone until something changes.

    Attributes:
        version: The one that failed; another one is tried.
        at: When it failed.
        run: Id of the run in which it did.
        message: Why, in the manager's words.
        policy_commit: In force at that time; under another one it is tried again.
        rivals: What it failed beside. Once none of them is installed or offered any more, it is tried again.
        until: Where it could not be fetched: when it is tried again; null where it failed otherwise.
        attempts: How often it could not be fetched.
        lists: Where it could not be fetched: when the newest of the metadata were published; with newer ones
            it is tried again at once.
        is_removal: It is installed, nothing needs it any more, and removing it failed.
    """

    name: str
    arch: str
    version: str
    at: datetime
    run: str
    message: str
    policy_commit: str
    rivals: tuple[Rival, ...] = since(2, ())
    until: datetime | None = since(3, None, is_left_out=True)
    attempts: int = since(3, 0, is_left_out=True)
    lists: datetime | None = since(3, None, is_left_out=True)
    is_removal: bool = since(3, False, is_left_out=True)

    @property
    def key(self) -> tuple[PackageId, str]:
        """Return what it is about: of a package, one version that comes, and each that goes."""
        return self.package, self.version if self.is_removal else ""


Unused = Literal["", "package", "kernel"]
"""As what a package is unused by the manager's own rule; empty where it is not, or nobody asked."""


Mode = Literal["safe", "full"]


@dataclass(frozen=True, slots=True)
class Question:
    """One run of the package manager's resolver: what it may choose from.

    Attributes:
        mode: ``safe`` removes nothing; ``full`` may remove (apt's dist-upgrade).
        security: Only the distribution's security service offers upgrades.
        exclude: Package names (``name`` or ``name:arch``) that must not move, sorted.
        block: Names that must neither move nor come in, sorted.
        choose: ``(name, version)`` pairs: take this available version instead of the newest, sorted by name.
        include: Names that every source may upgrade although ``security`` is set, sorted; empty without it.
        only: ``(name, version)``: what would installing this version alone do, instead of an upgrade? Asked
            to explain; the answer may remove packages, and takes no account of recommendations.
        security_sources: Ids of sources that serve security updates too, sorted.
        without: Ids of sources that nothing may come from, sorted.
        unused: Instead of an upgrade: what does nothing need any more, by the manager's own rule? Asked with
            nothing else.
        remove: ``(name, version)``, each name perhaps with its ``:arch``: what would the removal of these do,
            instead of an upgrade? Sorted; asked with nothing else.
    """

    mode: Mode = "safe"
    security: bool = False
    exclude: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    choose: tuple[tuple[str, str], ...] = ()
    include: tuple[str, ...] = ()
    only: tuple[str, str] | None = None
    security_sources: tuple[str, ...] = since(2, ())
    without: tuple[str, ...] = since(2, ())
    unused: bool = since(3, False, is_left_out=True)
    remove: tuple[tuple[str, str], ...] = since(3, (), is_left_out=True)

    @property
    def is_of_unused(self) -> bool:
        """Whether it is about what nothing needs any more, and no upgrade."""
        return self.unused or bool(self.remove)


Action = Literal["upgrade", "install", "remove", "replace", "rotate", "downgrade"]


@dataclass(frozen=True, slots=True)
class Change(Identified):
    """One package's move in a transaction, in the resolver's order.

    Attributes:
        from_version: ``None`` for an install.
        to_version: ``None`` for a removal.
        origin: Label of the source it comes from, empty for a removal.
        size: Download size, ``None`` where unknown.
        installed_delta: Growth on disk, ``None`` where unknown.
        sha256: Of the archive, where the manager knows it.
        security: The distribution's security service offers this version; what is not said counts as no.
        by: Names of the packages of the same transaction whose declared relations make this one move: which
            replace, remove or need it. Sorted; empty where no relation explains the move or none is known.
        heir_of: Names of those of them that are only there for its sake from now on: a person wants it where
            one wanted them.
        unused: Of a removal: it goes because nothing needs it any more, and as what.
    """

    action: Action
    name: str
    arch: str
    from_version: str | None
    to_version: str | None
    origin: str = ""
    size: int | None = None
    installed_delta: int | None = None
    sha256: str | None = None
    security: bool = False
    by: tuple[str, ...] = ()
    heir_of: tuple[str, ...] = since(2, ())
    unused: Unused = since(3, "", is_left_out=True)

    @property
    def transition(self) -> Transition:
        """What becomes of which package."""
        return Transition(self.package, self.from_version, self.to_version)


# Not the Change itself: what two looks at a machine tell apart has no size, no hash and nobody who asked for
# it, and its keys in reports are those of the first version.
@dataclass(frozen=True, slots=True)
class Move(Identified):
    """One change of the transaction; ``from`` is null for an install, ``to`` for a removal."""

    action: Action
    name: str
    arch: str
    from_: str | None
    to: str | None
    origin: str

    @property
    def transition(self) -> Transition:
        """What becomes of which package."""
        return Transition(self.package, self.from_, self.to)


VENDOR = "Vendor"
"""The kind of what stands in the way where a package would come from another vendor than it did."""


@dataclass(frozen=True, slots=True)
class Unmet:
    """A relation that stands in the way, as the manager says it.

    Attributes:
        package: Who declares it, ``name`` or ``name:arch``.
        version: The version of it that does, empty where unknown.
        kind: The manager's word, such as ``Depends`` or ``Conflicts``; or `VENDOR`.
        needs: What it names, such as ``libc6 (>= 2.36)``; alternatives are joined by "or". Of vendors, such
            as ``packman instead of openSUSE``.
    """

    package: str
    version: str
    kind: str
    needs: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the resolver said to a question.

    Attributes:
        changes: The whole transaction in the manager's order; empty when there is nothing to do.
        kept_back: Names the manager itself said it keeps back.
        exit_code: By the table of the patch scripts (0 done, 10 nothing to do, 25 cannot resolve, ...).
        native_code: The manager's own exit code.
        message: The manager's own words where it could not resolve; empty otherwise.
        unmet: What it says is unmet; of a question ``only`` also what makes it remove packages.
    """

    changes: tuple[Change, ...]
    kept_back: tuple[str, ...] = ()
    exit_code: int = 0
    native_code: int = 0
    message: str = ""
    unmet: tuple[Unmet, ...] = ()

    @property
    def is_given(self) -> bool:
        """Whether the manager answered at all, be it that it cannot; in time, for example."""
        return self.exit_code in exit_codes.WELL | exit_codes.REFUSED


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer, as recorded."""

    question: Question
    answer: Answer


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that was seen of one target at one moment.

    Attributes:
        at: When it was taken.
        manager: Name of the package manager, such as ``apt``.
        manager_version: As the manager says it.
        privileged: Taken with the rights to refresh and apply.
        installed: Sorted by (name, arch).
        offers: Sorted by (name, arch).
        sources: In the manager's order.
        database: Digest of the package database, so that "nothing changed" can be said without reading it
            all.
        scripts: ``(file name, SHA-256)`` of the patch scripts that were executed.
        quarantined: Versions that failed here, sorted by (name, arch).
        root: Of the system that was looked at, ``/`` for the running one.
        hooks: Digest of the machine's own hooks that are asked before anything is changed, the manager's or
            in ``pre.d``; empty where there are none or nobody knows.
        policy_scripts: Names of those of ``scripts`` that came from the policy repository.
        unexplained: What the manager did not say of what is only to explain, and why not, a sentence each.
        unneeded: What nothing needed any more at the look before, and which run was since; ``None`` where no
            look asked for it.
    """

    at: datetime
    facts: Facts
    manager: str
    manager_version: str
    privileged: bool
    installed: tuple[Installed, ...]
    offers: tuple[Offer, ...]
    sources: tuple[Source, ...]
    refresh: Refresh
    health: Health
    reboot: Reboot
    clock: ClockState
    first_seen: tuple[FirstSeen, ...] = ()
    database: str = ""
    scripts: tuple[tuple[str, str], ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    root: str = "/"
    hooks: str = since(2, "")
    policy_scripts: tuple[str, ...] = since(3, (), is_left_out=True)
    unexplained: tuple[str, ...] = since(3, (), is_left_out=True)
    unneeded: UnneededSeen | None = since(3, None, is_left_out=True)

    @property
    def lists(self) -> datetime | None:
        """When the newest of the metadata were published; ``None`` where no source says so."""
        return max((one.published for one in self.sources if one.published is not None), default=None)

    @property
    def executed(self) -> "tuple[ExecutedScript, ...]":
        """The patch scripts that looked at it."""
        return tuple(
            ExecutedScript(name, digest, is_of_policy=name in self.policy_scripts)
            for name, digest in self.scripts
        )


@dataclass(frozen=True, slots=True)
class ExecutedScript:
    """A patch script that ran, and the SHA-256 of the bytes that were executed.

    Attributes:
        is_of_policy: It came from the policy repository, and not with the program.
    """

    name: str
    sha256: str
    is_of_policy: bool = since(3, False, is_left_out=True)
