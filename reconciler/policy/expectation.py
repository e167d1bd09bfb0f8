"""The kind ``Expectation``: what must hold, for ``policy test``; hosts never read it.

An Expectation is no part of a policy: it can be wrong without rejecting a revision, and says nothing to a
host. So it is a kind of its own, read by :func:`read_expectations` and by nothing else.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from reconciler.policy import values
from reconciler.policy.documents import (
    Deadlines,
    Document,
    Glob,
    HostName,
    LabelKey,
    Match,
    Moment,
    Severity,
    Updates,
    Zone,
)
from reconciler.policy.fields import Action, ApprovalMode, Length, OneOrMany, Strictly
from reconciler.policy.load import Origin, Placed, PolicyFile
from reconciler.policy.managers import ManagerName
from reconciler.policy.match import is_pattern
from reconciler.policy.placement import EXPECTATIONS, LINK, SUBMODULE
from reconciler.policy.problems import MAX_PROBLEMS, Problem, quoted
from reconciler.policy.values import refuse
from reconciler.policy.yamltext import YamlDocument, parse_documents, validate
from reconciler.policy.zones import end_instant, shifted, start_instant, zone
from reconciler.records import dataclass

MOST = 1000
"""Expectations of one repository."""

_SUFFIX = ".yaml"
_YEAR = timedelta(days=366)
_INSTANT = timedelta(microseconds=1)


class Assumed(Strictly):
    """What a Host document does not say of a host."""

    os: Glob | None = None
    """`ID` of /etc/os-release, or `ID-VERSION_ID`: `debian-12`."""
    manager: ManagerName | None = None
    """Package manager."""
    labels: Mapping[LabelKey, Glob] = {}
    """What a host says of itself; labels of its Host document beat these."""

    @field_validator("os")
    @classmethod
    def _is_one_system(cls, value: str | None) -> str | None:
        if value is not None and is_pattern(value):
            raise refuse("is a pattern, and a host has one system", "write ID-VERSION, such as debian-12")
        return value

    @field_validator("labels")
    @classmethod
    def _is_one_value(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for key, text in value.items():
            if "*" in text:
                raise refuse(
                    "is a pattern, and a host has one value", "write that, and another host", key=key
                )
        return value


class MadeUpHost(Assumed):
    """A host that is in no inventory."""

    name: HostName
    """Its id, which documents may match, and from which its splay comes."""
    guest_of: HostName | None = None
    """Id of its hypervisor."""


class Expected(Strictly):
    """What must hold; everything that is written."""

    updates: OneOrMany[Updates] | None = None
    """Which updates are wanted: this, or one of these."""
    severity: OneOrMany[Severity] | None = None
    """The least severity of security updates that counts: this, or one of these."""
    action: OneOrMany[Action] | None = None
    """How far a run goes: this, or one of these."""
    approval: ApprovalMode | None = None
    """Whether a plan needs an approval."""
    may_apply: Literal["all", "security", "none"] | None = None
    """The most that a run may apply at some moment of the time, by windows, freezes, `action` and `updates`;
    approvals, which are about a plan, do not count."""
    window_within: Length | None = None
    """From every moment of the time, a window in which a run may begin is at most so far away."""
    held: OneOrMany[Annotated[str, StringConstraints(pattern=values.HELD)]] | None = None
    """Packages that exceptions hold or block all the time, whatever the version, or `NAME=VERSION`."""
    not_held: OneOrMany[Annotated[str, StringConstraints(pattern=values.HELD)]] | None = None
    """Packages that no exception holds or blocks at any moment, in no version, or `NAME=VERSION`."""
    deadline: Deadlines | None = None
    """Deadlines that are as short as these, or shorter."""

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if not self.model_fields_set:
            raise refuse("is empty, so that nothing could fail", "write what must hold")
        deadline = self.deadline
        if deadline is not None and all(
            getattr(deadline, key) == "none" for key in type(deadline).model_fields
        ):
            said = "names no deadline, so that nothing could fail"
            raise refuse(said, "write how long it may be, such as `security: 14d`", key="deadline")
        return self


@dataclass(frozen=True, slots=True)
class AskedTime:
    """A time that an expectation is about, half-open and in UTC; a moment lasts a microsecond."""

    start: datetime
    end: datetime

    @property
    def is_moment(self) -> bool:
        """Whether it is one instant."""
        return self.end - self.start == _INSTANT


class Expectation(Document):
    """What must hold for some hosts, read by `policy test` alone."""

    folder: ClassVar[str] = EXPECTATIONS

    kind: Literal["Expectation"]
    """`Expectation`"""
    match: Match | None = None
    """The Host documents it is about; left out: all, or none where it makes up hosts of its own."""
    assume: Assumed = Assumed.model_construct()
    """Of hosts whose document it is about: what their documents do not say."""
    hosts: tuple[MadeUpHost, ...] = ()
    """Made-up hosts that it is about as well."""
    at: OneOrMany[Moment] | None = None
    """Moments; a bare date means all of that day."""
    from_: Moment | None = Field(default=None, alias="from")
    """Begin of a time; a bare date means from the first instant of that day."""
    until: Moment | None = None
    """End of that time; a bare date means through the end of that day."""
    timezone: Zone = "UTC"
    """Of `at`, `from` and `until`. Without them it is about the year that begins now."""
    expect: Expected
    """What must hold."""

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if (self.from_ is None) != (self.until is None):
            raise refuse("goes with `until`", "write both, or `at`", key="from" if self.from_ else "until")
        if self.at is not None and self.from_ is not None:
            raise refuse("does not go with `from` and `until`", "write a second Expectation", key="at")
        if self.from_ is not None and self.until is not None:
            tz = zone(self.timezone)
            if start_instant(self.from_, tz) >= end_instant(self.until, tz):
                raise refuse("is not after `from`", "a bare date lasts through its whole day", key="until")
        return self

    def spans(self, now: datetime) -> tuple[AskedTime, ...]:
        """Return the times it is about, in their order; where none is written, the next year."""
        tz = zone(self.timezone)
        if self.at is not None:
            return tuple(_span(one, start_instant(one, tz), end_instant(one, tz)) for one in self.at)
        if self.from_ is not None and self.until is not None:
            return (AskedTime(start_instant(self.from_, tz), end_instant(self.until, tz)),)
        begin = now.astimezone(UTC)
        return (AskedTime(begin, shifted(begin, _YEAR)),)


def _span(written: date | datetime, start: datetime, end: datetime) -> AskedTime:
    return AskedTime(start, shifted(start, _INSTANT) if isinstance(written, datetime) else end)


@dataclass(frozen=True, slots=True)
class Expectations:
    """What ``expectations/`` holds.

    Attributes:
        placed: Sorted by name.
        problems: Sorted; where there are any, none of them is to be believed.
    """

    placed: tuple[Placed[Expectation], ...]
    problems: tuple[Problem, ...]


def read_expectations(files: Iterable[PolicyFile], commit: str = "") -> Expectations:
    """Read every Expectation of a policy repository.

    Args:
        files: Its tree; what lies outside of ``expectations/`` is passed over.
        commit: Full id of the commit, or empty.
    """
    found: dict[str, Placed[Expectation]] = {}
    problems: list[Problem] = []
    for file in sorted(files, key=lambda one: one.path):
        folder, _, name = file.path.partition("/")
        if folder != Expectation.folder or len(problems) > MAX_PROBLEMS:
            continue
        refusal = _refusal(file, name)
        if refusal is not None:
            problems.append(refusal)
            continue
        documents, mistakes = parse_documents(file.data, file.path)
        problems += mistakes
        for document in documents:
            problems += _take(document, Origin(file.path, document.line(), commit), found)
    if len(found) > MOST:
        message = f"holds {len(found)} Expectations, more than {MOST}"
        problems.append(Problem(Expectation.folder, 1, "", message, "join some"))
    placed = tuple(found[name] for name in sorted(found))
    return Expectations(placed, tuple(sorted(set(problems))[:MAX_PROBLEMS]))


def _refusal(file: PolicyFile, name: str) -> Problem | None:
    """Return what keeps a file from being read: what is passed over in silence would look as if it held."""
    if file.mode in (LINK, SUBMODULE):
        return Problem(file.path, 1, "", "is no file", "put the file itself here")
    if file.unread:
        return Problem(file.path, 1, "", f"has {file.unread:,} bytes and is not read", "split it")
    if not name or "/" in name or not name.endswith(_SUFFIX) or name.startswith("."):
        return Problem(file.path, 1, "", "is not read", f"name it {Expectation.folder}/NAME{_SUFFIX}")
    return None


def _take(document: YamlDocument, origin: Origin, found: dict[str, Placed[Expectation]]) -> list[Problem]:
    data = document.data
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind != "Expectation":
        said = f"{quoted(str(kind))} is no kind of document here" if kind else "is required"
        return [Problem(origin.file, document.line(("kind",)), "kind", said, "write `kind: Expectation`")]
    model = validate(Expectation, document, origin.file)
    if not isinstance(model, Expectation):
        return model
    first = found.setdefault(model.name, Placed(model, origin, document))
    if first.origin == origin:
        return []
    place = f"{first.origin.file}:{first.origin.line}"
    line = document.line(("name",))
    return [Problem(origin.file, line, "name", f"Expectation {quoted(model.name)} exists already at {place}")]
