"""The documents of the policy language, one model for each kind, and the settings with their defaults.

Every model is frozen and refuses unknown keys. Its attribute docstrings are the descriptions in the JSON
Schemas, so that an editor shows them. Rules that need a second document (a schedule's name, the budget that a
window must hold) are checked in ``load.py``.

A model here is what somebody wrote. Its namesake, where it has one, is what that means (``Schedule`` and
``Freeze`` of ``windows.py``) or what was seen (``Host``, ``Health``, ``Reboot`` and ``Refresh`` in
``planning/``): they are never one type, since people leave things out and machines do not.

A value that is left out of a nested mapping has its default on the model, and ``model_fields_set`` tells the
two apart: that is how layering merges mappings key by key.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Strict,
    StringConstraints,
    Tag,
    model_serializer,
    model_validator,
)

from reconciler.policy import values
from reconciler.policy import windows as compiled_windows  # `windows` is a key of a Schedule
from reconciler.policy.fields import (
    FIRST,
    Action,
    ApprovalMode,
    Duration,
    Length,
    OneAlone,
    OneOrMany,
    Pin,
    Strictly,
    T,
)
from reconciler.policy.icalendarfile import IcsCalendar
from reconciler.policy.machine_ids import MACHINE_ID
from reconciler.policy.managers import ManagerName, traits_of
from reconciler.policy.recurrence import parse_rrule
from reconciler.policy.sources import are_named
from reconciler.policy.values import refuse
from reconciler.policy.zones import end_instant, start_instant, zone

Name = Annotated[str, StringConstraints(pattern=values.NAME)]
HostName = Annotated[str, StringConstraints(pattern=values.HOST_NAME), AfterValidator(values.check_host_name)]
TargetName = Annotated[
    str, StringConstraints(pattern=values.TARGET_NAME), AfterValidator(values.check_target_name)
]
LabelKey = Annotated[str, StringConstraints(pattern=values.LABEL_KEY)]
Glob = Annotated[str, StringConstraints(pattern=values.GLOB)]
PackageGlob = Annotated[str, StringConstraints(pattern=values.PACKAGE_GLOB)]
Line = Annotated[str, StringConstraints(pattern=values.LINE)]
SourcePattern = Annotated[str, StringConstraints(pattern=values.SOURCE)]
ReleasePattern = Annotated[str, StringConstraints(pattern=values.RELEASE)]
Count = Annotated[int, Strict(), Field(ge=1)]

Deadline = Annotated[
    timedelta | Literal["none"],
    BeforeValidator(
        values.as_deadline,
        json_schema_input_type=Annotated[str, Field(pattern=values.DURATION)] | Literal["none"],
    ),
    PlainSerializer(values.format_deadline, return_type=str),
]
"""A duration that is not zero, or ``none``."""

Rate = Annotated[
    int | Literal["none"],
    BeforeValidator(
        values.as_rate, json_schema_input_type=Annotated[str, Field(pattern=values.RATE)] | Literal["none"]
    ),
    PlainSerializer(values.format_rate, return_type=str),
]
"""Bytes a second, or ``none``."""

Moment = Annotated[
    date | datetime,
    BeforeValidator(values.as_moment, json_schema_input_type=Annotated[str, Field(pattern=values.MOMENT)]),
    PlainSerializer(values.format_moment, return_type=str),
]
"""A date, or a local date and time, in the zone of its document."""

Day = Annotated[
    date,
    BeforeValidator(values.as_day, json_schema_input_type=Annotated[str, Field(pattern=values.DAY)]),
    PlainSerializer(values.format_moment, return_type=str),
]
"""A date without a time."""

AsOf = Annotated[
    date | Literal["none"],
    BeforeValidator(
        values.as_state,
        json_schema_input_type=Annotated[str, Field(pattern=values.DAY)] | Literal["none"],
    ),
    PlainSerializer(values.format_state, return_type=str),
]
"""A date, or ``none``."""

Zone = Annotated[str, AfterValidator(values.check_zone)]
Endpoint = Annotated[
    str,
    AfterValidator(values.check_endpoint),
    BeforeValidator(values.as_endpoint, json_schema_input_type=str),
]
Percent = Annotated[
    int,
    BeforeValidator(values.as_percent, json_schema_input_type=Annotated[str, Field(pattern=values.PERCENT)]),
    PlainSerializer(values.format_percent, return_type=str),
]

Updates = Literal["all", "security", "none"]
Severity = Literal["low", "moderate", "important", "critical"]
"""The least first, as in ``planning/facts/observation.py``."""
Kind = Literal["security", "bugfix", "enhancement", "recommended", "optional"]
Removals = Literal["forbid", "allow"]
Upgrade = Literal["safe", "full"]
Autoremove = Literal["none", "kernels", "new-unused"]
Steps = Literal["minimal", "single"]
Overrun = Literal["stop", "finish"]
Conffiles = Literal["keep", "new"]
OnFailure = Annotated[Literal["report", "rollback"], BeforeValidator(values.not_yet_restored)]
Snapshot = Literal["none", "auto", "required"]
When = Literal["never", "if-required", "always"]
Event = Literal[
    "applied",
    "failed",
    "recovered",
    "plan-changed",
    "needs-approval",
    "announce",
    "window-missed",
    "overrun",
    "reboot",
    "policy-rejected",
    "metadata-stale",
    "overdue",
    "exception-expiring",
    "interrupted",
    "changed-outside",
    "weekly-digest",
    "every-run",
]
"""What a notification can be about; all but the last two are transitions."""


AnyNumber = Annotated[tuple[T, ...], OneAlone()]
"""A list that may be empty; a single entry may stand alone."""


class Match(Strictly):
    """Which hosts and guests a document is about.

    All keys must agree; inside a list one entry is enough. Every text may be a shell pattern (`*`, `?`,
    `[abc]`) and is compared with regard to case. No key at all selects everything.
    """

    name: OneOrMany[Glob] | None = None
    """Id of the host; of a guest its id, or what its hypervisor calls it."""
    labels: Annotated[Mapping[LabelKey, OneOrMany[Glob]], Field(min_length=1)] | None = None
    """Labels and the value, or one of the values, that each must have."""
    os: OneOrMany[Glob] | None = None
    """`ID` of /etc/os-release, or `ID-VERSION_ID`: `debian`, `debian-12`, `ubuntu-22.*`."""
    manager: OneOrMany[ManagerName] | None = None
    """Package manager."""
    guest_of: OneOrMany[Glob] | None = None
    """Host id of the hypervisor whose guest it is; hosts that are no guests never match."""
    not_: "Match | None" = Field(default=None, alias="not")
    """What must not match."""

    @model_validator(mode="after")
    def _excludes_something(self) -> Self:
        if self.not_ is not None and not self.not_.model_fields_set:
            raise refuse("is empty, so nothing at all is selected", "name what to leave out", key="not")
        return self


class Document(Strictly):
    """What all kinds share."""

    folder: ClassVar[str]
    """Where documents of this kind live in the policy repository."""
    since: ClassVar[str] = FIRST
    """Version in which the kind came; keys that came later than it are marked by ``Since``."""

    name: Name
    """Unique among documents of its kind."""
    description: str = ""
    """For people."""


# --- Policy ---------------------------------------------------------------------------------------------


class Refresh(Strictly):
    """When the package manager's metadata are fetched anew."""

    every: Length = timedelta(hours=6)
    """Refresh when they are older than this."""
    before_apply: Duration = timedelta(hours=1)
    """Refresh before applying when they are older than this; `0s` refreshes always."""
    stale_after: Length = timedelta(days=3)
    """Older ones count as stale: the host is not compliant and nothing is applied."""
    age_unknown: Literal["accept", "stale"] = "accept"
    """Sources that the package manager takes while nothing vouches for their age: `stale` applies nothing."""
    may_be_missing: Literal["marked", "none"] | AnyNumber[SourcePattern] = "marked"
    """Sources without which all else goes on where they cannot be read.

    Those that the operator marked so (dnf's `skip_if_unavailable` in a repository's file), none, or those of
    these patterns as well.
    """


class Sources(Strictly):
    """Package sources, by patterns.

    A pattern is the id, alias or name of a repository (dnf, zypper, pacman), or fields of an apt source
    (`"o=Debian,n=bookworm-security"`), which must all agree.
    """

    only: AnyNumber[SourcePattern] = ()
    """These; left out: all."""
    except_: AnyNumber[SourcePattern] = Field(default=(), alias="except")
    """But not these."""

    @model_serializer
    def _written(self) -> dict[str, tuple[str, ...]]:
        return {"only": self.only, "except": self.except_}

    def admit(self, name: str, release: str) -> bool:
        """Tell whether a source is among them; see :func:`reconciler.policy.sources.is_named`."""
        is_in = not self.only or are_named(self.only, name, release)
        return is_in and not are_named(self.except_, name, release)


class MinAge(Strictly):
    """How long an update must have been on offer before it is planned."""

    security: Duration = timedelta(0)
    """For security updates."""
    other: Duration = timedelta(0)
    """For all others."""


class Deadlines(Strictly):
    """How long after this host first saw a version it may be without that or a newer one.

    What has no deadline of its own counts as the next: critical updates as security updates, these as others.
    """

    critical: Deadline = "none"
    """For security updates that an advisory calls critical (dnf, zypper)."""
    security: Deadline = "none"
    """For security updates."""
    other: Deadline = "none"
    """For all others."""


class Reboot(Strictly):
    """Whether and how a run may reboot the host."""

    when: When = "never"
    """`if-required` asks the system; `always` reboots after every run that changed something."""
    notice: Duration = timedelta(minutes=5)
    """Warning given to logged-in users."""
    max_per_window: Count = 1
    """Reboots in one window, so that a host cannot loop."""
    guests: Literal["respect", "ignore"] = "respect"
    """Whether a hypervisor's reboot waits for runs in its guests, and for freezes of them."""


class Inhibit(Strictly):
    """What keeps a run from starting."""

    sessions: Literal["ignore", "defer"] = "ignore"
    """People who are logged in."""
    battery: Literal["ignore", "defer"] = "defer"
    """Running on battery."""
    inhibitors: Literal["ignore", "defer"] = "defer"
    """Locks taken with `systemd-inhibit`."""
    metered: Literal["ignore", "defer"] = "defer"
    """A connection that costs money, by NetworkManager: then nothing is fetched either."""


class RestartServices(Strictly):
    """What becomes of services that still run replaced files."""

    mode: Literal["report", "restart"] = "report"
    """Name them in the report, or restart them too."""
    never: AnyNumber[Glob] = ()
    """Units that are never restarted."""


class Health(Strictly):
    """What must work after a run, besides the host's own health scripts."""

    units: AnyNumber[Annotated[str, StringConstraints(pattern=values.UNIT)]] = ()
    """systemd units that must be active."""
    tcp: AnyNumber[Endpoint] = ()
    """`host:port` that must accept a connection."""
    http: AnyNumber[Annotated[str, AfterValidator(values.check_url)]] = ()
    """URLs that must answer with a status below 400."""
    settle: Duration = timedelta(seconds=30)
    """Time given to services: all are asked until they are well or it has passed."""


class Hooks(Strictly):
    """How the host's own hook scripts are run; policy never names a command."""

    on_pre_failure: Literal["abort", "skip", "ignore"] = "abort"
    """What a failing pre-hook does to the run: it fails, it waits for another time, or it goes on."""
    timeout: Length = timedelta(minutes=5)
    """For each hook."""


class Concurrency(Strictly):
    """How many hosts of a group may apply at the same time."""

    group: Name
    """Hosts with the same group share its slots."""
    slots: Count
    """How many may apply at once."""


class RingOf(Strictly):
    """The ring of a Rollout that a host belongs to."""

    name: Name
    """Name of the Rollout."""
    ring: Name
    """One of its rings."""


class Route(Strictly):
    """Which events go to which receiver."""

    to: Name
    """Name of a notifier in the host's own configuration; addresses and keys never enter policy."""
    on: OneOrMany[Event]
    """The events."""


PackageGlobs = tuple[PackageGlob, ...]
ScriptPins = Mapping[Annotated[str, StringConstraints(pattern=values.SCRIPT_NAME)], Pin]


class Settings(Strictly):
    """Every setting with a value: what holds for a host once all of its policies are merged.

    The defaults stand here and nowhere else; the meaning of each setting is described at `Policy`. They are
    built without validation, since that would build validators at import for commands that need none.
    """

    updates: Updates = "all"
    severity: Severity = "low"
    kinds: tuple[Kind, ...] = ()
    action: Action = "plan"
    schedule: tuple[Name, ...] = ()
    approval: ApprovalMode = "none"
    refresh: Refresh = Refresh.model_construct()
    min_age: MinAge = MinAge.model_construct()
    as_of: AsOf = "none"
    deadline: Deadlines = Deadlines.model_construct()
    security_sources: tuple[ReleasePattern, ...] = ()
    sources: Sources = Sources.model_construct()
    removals: Removals = "forbid"
    allow_removals: PackageGlobs = ()
    upgrade: Upgrade = "safe"
    autoremove: Autoremove = "none"
    steps: Steps = "minimal"
    step_time: Length = timedelta(minutes=10)
    lock_wait: Duration = timedelta(minutes=10)
    download_limit: Rate = "none"
    budget: Length = timedelta(minutes=30)
    overrun: Overrun = "stop"
    reboot: Reboot = Reboot.model_construct()
    inhibit: Inhibit = Inhibit.model_construct()
    max_policy_age: Length = timedelta(days=14)
    restart_services: RestartServices = RestartServices.model_construct()
    conffiles: Conffiles = "keep"
    health: Health = Health.model_construct()
    on_failure: OnFailure = "report"
    snapshot: Snapshot = "none"
    hooks: Hooks = Hooks.model_construct()
    concurrency: Concurrency | None = None
    rollout: RingOf | None = None
    announce: Duration = timedelta(0)
    notify: tuple[Route, ...] = ()
    scripts: ScriptPins = Field(default={})

    @property
    def rate(self) -> int | None:
        """Bytes a second that fetching may take at most, ``None`` for as many as there are."""
        return None if self.download_limit == "none" else self.download_limit


DEFAULTS = Settings.model_construct()
"""What holds where no policy says otherwise."""


class Policy(Document):
    """What is wanted on the hosts it matches: which updates, how far to go, when, and with which care.

    Every setting may be left out; then the matching policy with the next lower priority decides, and in the
    end the default.
    """

    folder: ClassVar[str] = "policies"

    kind: Literal["Policy"]
    """`Policy`"""
    priority: Annotated[int, Strict(), Field(ge=0, le=1000)] = 0
    """Of two matching policies that set one setting, the one with the higher priority decides."""
    match: Match = Match.model_construct()
    """The hosts and guests it is about; left out: all."""

    updates: Updates | None = None
    """Which updates are wanted."""
    severity: Severity | None = None
    """With `updates: security`, the least severity that counts, where advisories tell it (dnf, zypper)."""
    kinds: AnyNumber[Kind] | None = None
    """With `updates: all`, the kinds of advisories whose updates count (dnf, zypper); none: all updates."""
    action: Action | None = None
    """How far to go: `plan` never changes anything, `download` fetches, `apply` installs."""
    schedule: AnyNumber[Name] | None = None
    """Names of the Schedules whose windows allow applying; none: never."""
    approval: ApprovalMode | None = None
    """Whether a plan must be approved before it is applied."""
    refresh: Refresh | None = None
    """When the package manager's metadata are fetched anew."""
    min_age: MinAge | None = None
    """How long an update must have been on offer before it is planned."""
    as_of: AsOf | None = None
    """What a host sees for the first time after this day (UTC) is too young, so that many hosts patch to one
    state; `none`: nothing is."""
    deadline: Deadlines | None = None
    """How long after an update was first seen it must be installed; what is late is reported as `Overdue`."""
    security_sources: AnyNumber[ReleasePattern] | None = None
    """Sources that serve security updates beside the distribution's own service (apt), such as
    `"o=Kali,n=kali-*"`."""
    sources: Sources | None = None
    """Which of the machine's package sources count; what is installed from another one stays as it is."""
    removals: Removals | None = None
    """Whether a plan may remove packages."""
    allow_removals: AnyNumber[PackageGlob] | None = None
    """Packages that may be removed although `removals` is `forbid`."""
    upgrade: Upgrade | None = None
    """`safe` removes nothing; `full` is apt's full-upgrade, as a Proxmox host needs it."""
    autoremove: Autoremove | None = None
    """Which packages that nothing needs any more are removed."""
    steps: Steps | None = None
    """Apply in few self-contained transactions, security updates first, or in a single one."""
    step_time: Length | None = None
    """How long one of these transactions is to take at most; before each of them all gates are asked."""
    lock_wait: Duration | None = None
    """How long to wait while another program holds the package database."""
    download_limit: Rate | None = None
    """Bytes a second that fetching packages and metadata may take at most, with K, M or G for 1024 and its
    powers: `2M`. What the host's own configuration says counts where it is lower."""
    budget: Length | None = None
    """Time that one run needs, hooks, settling and reboot included; a run starts only where it still fits."""
    overrun: Overrun | None = None
    """When a run exceeds its window: `stop` before the next step, or `finish`. A package manager at work is
    never interrupted."""
    reboot: Reboot | None = None
    """Whether and how a run may reboot the host."""
    inhibit: Inhibit | None = None
    """What keeps a run from starting."""
    max_policy_age: Length | None = None
    """Nothing is applied under a policy that could not be fetched anew for this long."""
    restart_services: RestartServices | None = None
    """What becomes of services that still run replaced files."""
    conffiles: Conffiles | None = None
    """Which version of a locally changed configuration file stays."""
    health: Health | None = None
    """What must work after a run."""
    on_failure: OnFailure | None = None
    """What follows when the host is not healthy after a run."""
    snapshot: Snapshot | None = None
    """Whether a snapshot is taken before applying: where possible (`auto`), or else nothing is applied
    (`required`)."""
    hooks: Hooks | None = None
    """How the host's own hook scripts are run."""
    concurrency: Concurrency | None = None
    """How many hosts of a group may apply at the same time; left out: any number."""
    rollout: RingOf | None = None
    """The ring of a Rollout that the host belongs to; left out: it waits for nobody."""
    announce: Duration | None = None
    """Notice sent this long before a window that would apply something; `0s` sends none."""
    notify: tuple[Route, ...] | None = None
    """Which events go to which receiver."""
    scripts: ScriptPins | None = None
    """Patch scripts and the SHA-256 that each must have before it is run."""

    @model_validator(mode="after")
    def _security_updates_can_be_told(self) -> Self:
        wanted = self.match.manager or () if self.updates == "security" else ()
        for name in (name for name in wanted if not traits_of(name).tells_security):
            raise refuse(
                f"{name} cannot tell security updates from others",
                f"write `updates: all`, or leave {name} out of `match`",
                key="updates",
            )
        return self

    @model_validator(mode="after")
    def _severity_is_told(self) -> Self:
        if self.severity in (None, "low"):
            return self
        if self.updates not in (None, "security"):
            raise refuse(
                f"chooses among security updates, and means nothing beside `updates: {self.updates}`",
                "write `updates: security`, or leave it out",
                key="severity",
            )
        for name in (name for name in self.match.manager or () if not traits_of(name).tells_severity):
            raise refuse(
                f"{name} does not say how severe a security update is",
                f"leave it out, or leave {name} out of `match`",
                key="severity",
            )
        return self

    @model_validator(mode="after")
    def _kinds_are_told(self) -> Self:
        if not self.kinds:
            return self
        if self.updates not in (None, "all"):
            raise refuse(
                f"chooses among all updates, and means nothing beside `updates: {self.updates}`",
                "write `updates: all`, or leave it out",
                key="kinds",
            )
        for name in (name for name in self.match.manager or () if not traits_of(name).tells_kinds):
            raise refuse(
                f"{name} does not say of what kind an update is",
                f"write `updates: security` or leave it out, or leave {name} out of `match`",
                key="kinds",
            )
        return self


# --- Schedule and Freeze --------------------------------------------------------------------------------


class _Entry(Strictly):
    """What the kinds of window share."""

    timezone: Zone | None = None
    """Instead of the Schedule's own."""
    splay: Duration = timedelta(0)
    """Each host starts later by its own share of this, always the same; the end stays."""


class StartEntry(_Entry):
    """Windows that start at a systemd calendar expression."""

    start: Annotated[Line, AfterValidator(values.check_start)]
    """As in systemd.time(7), without a zone: `Sun 02:00`, `Mon..Fri 22:00`, `*-*-01 03:00`."""
    duration: Length
    """Elapsed time that the window is open."""

    def window(self, timezone: str) -> compiled_windows.CalendarWindow:
        """Return the window of a Schedule in ``timezone``; raises ``ValueError`` where a bound is wrong."""
        zone_name = self.timezone or timezone
        return compiled_windows.CalendarWindow(
            values.calendar_of(self.start), zone_name, self.duration, self.splay
        )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        _check_bounds(self)
        return self


class CronEntry(_Entry):
    """Windows that start at a cron expression."""

    cron: Annotated[Line, AfterValidator(values.check_cron)]
    """Five fields as in crontab(5): minute, hour, day of month, month, day of week."""
    duration: Length
    """Elapsed time that the window is open."""

    def window(self, timezone: str) -> compiled_windows.CronWindow:
        """Return the window of a Schedule in ``timezone``; raises ``ValueError`` where a bound is wrong."""
        zone_name = self.timezone or timezone
        return compiled_windows.CronWindow(values.cron_of(self.cron), zone_name, self.duration, self.splay)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        _check_bounds(self)
        return self


class RRuleEntry(_Entry):
    """Windows that start by a recurrence rule."""

    rrule: Line
    """As in RFC 5545, section 3.3.10: `FREQ=MONTHLY;BYDAY=2TU`."""
    at: Annotated[str, StringConstraints(pattern=values.TIME_OF_DAY)]
    """Local time of day at which the window opens, with quotes."""
    from_: Day | None = Field(default=None, alias="from")
    """First day that the rule counts from; needed with INTERVAL or COUNT."""
    offset: Duration = timedelta(0)
    """Days between the rule's day and the window, in wall-clock days: `4d` after patch Tuesday."""
    duration: Length
    """Elapsed time that the window is open."""

    def window(self, timezone: str) -> compiled_windows.RRuleWindow:
        """Return the window of a Schedule in ``timezone``; raises ``ValueError`` where a bound is wrong."""
        expression = parse_rrule(self.rrule, self.at, self.from_)
        zone_name = self.timezone or timezone
        return compiled_windows.RRuleWindow(expression, zone_name, self.duration, self.offset, self.splay)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.offset % timedelta(days=1):
            raise refuse("is not in whole days", "write 4d, and the time of day in `at`", key="offset")
        try:
            parse_rrule(self.rrule, self.at, self.from_)
        except ValueError as error:
            raise values.explained(error, key="rrule") from None
        _check_bounds(self)
        return self


class IcsEntry(_Entry):
    """Windows that are the events of a calendar file."""

    ics: Annotated[str, StringConstraints(pattern=values.ICS_PATH)]
    """Path of the calendar in this repository; every event is a window."""

    def window(self, timezone: str, calendar: IcsCalendar) -> compiled_windows.IcsWindow:
        """Return the windows of a Schedule in ``timezone``; raises ``ValueError`` for an event too short."""
        return compiled_windows.IcsWindow(calendar, self.timezone or timezone, self.splay, self.ics)


def _check_bounds(entry: StartEntry | CronEntry | RRuleEntry) -> None:
    """Check length, splay and offset of an entry whose expression is good."""
    shortest, longest = compiled_windows.SHORTEST, compiled_windows.LONGEST
    if not shortest <= entry.duration <= longest:
        said = f"{values.format_duration(entry.duration)} is no length of a window"
        raise refuse(said, f"write 1m to {values.format_duration(longest)}", key="duration")
    if entry.splay >= entry.duration:
        length = values.format_duration(entry.duration)
        said = f"{values.format_duration(entry.splay)} is not shorter than the window ({length})"
        raise refuse(said, "shorten it, or lengthen the window", key="splay")
    try:
        entry.window("UTC")
    except ValueError as error:
        raise values.explained(error) from None


_ENTRY_KEYS = ("start", "cron", "rrule", "ics")


def _entry_tag(entry: object) -> str | None:
    if isinstance(entry, Mapping):
        present = [key for key in _ENTRY_KEYS if key in entry]
    else:
        present = [key for key in _ENTRY_KEYS if hasattr(entry, key)]
    return f"<{present[0]}>" if len(present) == 1 else None


WindowEntry = Annotated[
    Annotated[StartEntry, Tag("<start>")]
    | Annotated[CronEntry, Tag("<cron>")]
    | Annotated[RRuleEntry, Tag("<rrule>")]
    | Annotated[IcsEntry, Tag("<ics>")],
    Discriminator(
        _entry_tag,
        custom_error_type="window_kind",
        custom_error_message="needs exactly one of start, cron, rrule and ics",
    ),
]
"""One entry of a Schedule's windows."""


class Schedule(Document):
    """Maintenance windows: when applying and rebooting are allowed."""

    folder: ClassVar[str] = "schedules"

    kind: Literal["Schedule"]
    """`Schedule`"""
    timezone: Zone
    """Name in the time zone database, such as `Europe/Berlin`."""
    windows: Annotated[tuple[WindowEntry, ...], Field(min_length=1, max_length=100)]
    """They may overlap and may cross midnight."""

    def compiled(self, calendars: Mapping[str, IcsCalendar]) -> compiled_windows.Schedule:
        """Return what can be asked for windows.

        Args:
            calendars: What the calendar files hold, by path.

        Raises:
            ValueError: An event of a calendar is too short for the splay.
            KeyError: A calendar is missing; a loaded revision has them all.
        """
        found = tuple(
            entry.window(self.timezone, calendars[entry.ics])
            if isinstance(entry, IcsEntry)
            else entry.window(self.timezone)
            for entry in self.windows
        )
        return compiled_windows.Schedule(self.name, found)


class Freeze(Document):
    """A time in which nothing is applied and nothing reboots; it beats every window."""

    folder: ClassVar[str] = "freezes"

    kind: Literal["Freeze"]
    """`Freeze`"""
    match: Match = Match.model_construct()
    """The hosts and guests it is about; left out: all."""
    from_: Moment = Field(alias="from")
    """When it begins; a bare date means from the first instant of that day."""
    until: Moment
    """When it ends; a bare date means through the end of that day."""
    timezone: Zone
    """Name in the time zone database, such as `Europe/Berlin`."""
    reason: Line
    """For people: shown wherever the freeze holds something back."""
    allow: Literal["none", "security"] = "none"
    """`security` lets security updates through, without removals."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        tz = zone(self.timezone)
        if start_instant(self.from_, tz) >= end_instant(self.until, tz):
            raise refuse("is not after `from`", "a bare date lasts through its whole day", key="until")
        return self

    def compiled(self, origin: str = "") -> compiled_windows.Freeze:
        """Return what can be asked whether it holds; ``origin`` is where the document stands."""
        start, end = compiled_windows.freeze_bounds(self.from_, self.until, self.timezone)
        return compiled_windows.Freeze(self.name, start, end, self.allow, self.reason, origin)


# --- Exception and Approval -----------------------------------------------------------------------------


class PackageException(Document):
    """A decision about some packages that differs from what the policies say, until a given day."""

    folder: ClassVar[str] = "exceptions"

    kind: Literal["Exception"]
    """`Exception`"""
    packages: OneOrMany[PackageGlob]
    """Names or shell patterns, each with an optional `:arch`."""
    versions: Annotated[str, StringConstraints(pattern=values.VERSION_RANGE)] | None = None
    """Range of candidate versions it is about, such as `>= 1.22.1-9` or `>= 1, < 2`, in the order of the
    target's package manager; left out: all."""
    sources: Sources | None = None
    """Sources whose versions it is about; left out: all."""
    action: Literal["hold", "block", "allow-as-dependency", "include"]
    """`hold`: not updated. `block`: neither it nor what would pull it in. `allow-as-dependency`: updated only
    where another update needs it. `include`: wanted although `updates` leaves it out."""
    match: Match = Match.model_construct()
    """The hosts and guests it is about; left out: all."""
    reason: Line
    """For people: shown wherever the exception decides."""
    owner: Line | None = None
    """Who answers for it."""
    ticket: Line | None = None
    """Where the decision is recorded."""
    expires: Moment
    """When it ends; a bare date means through the end of that day. Afterwards it is ignored and reported."""
    timezone: Zone = "UTC"
    """Of `expires`."""

    @property
    def is_about_all(self) -> bool:
        """Whether it is about every version of its packages, wherever that comes from."""
        return self.versions is None and self.sources is None

    def ends(self) -> datetime:
        """Return the aware UTC instant from which it is ignored."""
        return end_instant(self.expires, zone(self.timezone))


class Approval(Document):
    """Permission to apply one exact plan, or exactly these versions, where policy requires approval."""

    folder: ClassVar[str] = "approvals"

    kind: Literal["Approval"]
    """`Approval`"""
    plan: Pin | None = None
    """Digest of the plan, as the report shows it."""
    versions: (
        Annotated[
            Mapping[
                Annotated[str, StringConstraints(pattern=values.PACKAGE)],
                Annotated[str, StringConstraints(pattern=values.GLOB)],
            ],
            Field(min_length=1),
        ]
        | None
    ) = None
    """Packages and the version of each; every change of the plan must be among them."""
    match: Match = Match.model_construct()
    """The hosts and guests it is about; left out: all."""
    expires: Moment
    """When it ends; a bare date means through the end of that day."""
    timezone: Zone = "UTC"
    """Of `expires`."""
    reason: Line | None = None
    """For people."""

    @model_validator(mode="after")
    def _approves_one_thing(self) -> Self:
        if (self.plan is None) == (self.versions is None):
            hint = "copy the digest from the host's report, or take `patchledger approve`"
            raise refuse("needs exactly one of plan and versions", hint)
        return self

    def ends(self) -> datetime:
        """Return the aware UTC instant from which it permits nothing."""
        return end_instant(self.expires, zone(self.timezone))


# --- Host and Rollout -----------------------------------------------------------------------------------


class Host(Document):
    """One host, or a guest of one, as the policy repository knows it.

    Hosts need no document; labels here beat the host's own.
    """

    folder: ClassVar[str] = "hosts"

    kind: Literal["Host"]
    """`Host`"""
    name: TargetName
    """The host's id; of a guest `HOST/GUEST`: the hypervisor's id and its own."""
    labels: Mapping[LabelKey, Glob] = {}
    """Labels that policies match on."""
    machine_id: Annotated[str, StringConstraints(pattern=MACHINE_ID)] | None = None
    """Content of its /etc/machine-id: a cloned host with another one applies nothing."""
    report_key: Annotated[str, AfterValidator(values.check_public_key)] | None = None
    """The SSH public key that signs its reports, and those of its guests."""

    @property
    def guest_of(self) -> str | None:
        """Id of the hypervisor, ``None`` for a host that is no guest."""
        home, slash, _ = self.name.rpartition("/")
        return home if slash else None

    @model_validator(mode="after")
    def _signs_for_itself(self) -> Self:
        if self.guest_of is not None and self.report_key is not None:
            hint = f"leave it out: the key in the document of {self.guest_of} signs them"
            raise refuse("is of a guest, whose reports its hypervisor signs", hint, key="report_key")
        return self


class RingRule(Strictly):
    """What a ring must show before the next one opens; the Rollout's own values hold for keys left out."""

    name: Name
    """Policies put hosts into the ring by this name."""
    soak: Duration | None = None
    """How long its hosts must have run the same updates and been healthy."""
    healthy: Percent | None = None
    """Share of its hosts that must have them installed and be healthy."""
    min_hosts: Count | None = None
    """It never counts as proven with fewer hosts than this."""
    stop_on_failures: Count | None = None
    """This many failed hosts stop the rollout."""


class Rollout(Document):
    """Rings of hosts that get updates one after the other."""

    folder: ClassVar[str] = "rollouts"

    kind: Literal["Rollout"]
    """`Rollout`"""
    rings: Annotated[tuple[RingRule, ...], Field(min_length=2)]
    """In the order in which they open."""
    soak: Duration = timedelta(days=1)
    """How long a ring's hosts must have run the same updates and been healthy before the next ring opens."""
    healthy: Percent = 95
    """Share of a ring's hosts that must have them installed and be healthy."""
    min_hosts: Count = 1
    """A ring never counts as proven with fewer hosts than this."""
    stop_on_failures: Count = 1
    """This many failed hosts in a ring stop the rollout."""
    max_summary_age: Length = timedelta(hours=24)
    """Older summaries of the fleet prove nothing."""

    @model_validator(mode="after")
    def _rings_have_names_of_their_own(self) -> Self:
        seen: set[str] = set()
        for index, ring in enumerate(self.rings):
            if ring.name in seen:
                raise refuse("is the name of an earlier ring, too", key=f"rings.{index}.name")
            seen.add(ring.name)
        return self

    def position(self, ring: str) -> int | None:
        """Return the place of a ring in the order, or ``None`` where there is no such ring."""
        return next((index for index, rule in enumerate(self.rings) if rule.name == ring), None)


class Repository(Strictly):
    """The file `patchledger.yaml` at the top of a policy repository."""

    requires: Annotated[str, StringConstraints(pattern=values.REQUIREMENT)] | None = None
    """Versions of patchledger that understand this repository, such as `>=1.4`."""

    repository: Annotated[str, StringConstraints(pattern=values.REPOSITORY_NAME)] | None = None
    """Name of this repository: a host that follows a signed policy takes it from no other one."""


AnyDocument = Policy | Schedule | Freeze | PackageException | Approval | Host | Rollout
"""A document of any kind."""

KINDS: Mapping[str, type[AnyDocument]] = {
    "Policy": Policy,
    "Schedule": Schedule,
    "Freeze": Freeze,
    "Exception": PackageException,
    "Approval": Approval,
    "Host": Host,
    "Rollout": Rollout,
}
"""The kinds by the word that documents use."""
