"""A web server on a quiet Sunday, as values: the parts that tests of gate, report and texts vary."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler.planning.facts.observation import (
    Change,
    ClockState,
    Facts,
    Filesystem,
    Health,
    Installed,
    Observation,
    Offer,
    Reboot,
    RebootNeed,
    Refresh,
    RefreshOutcome,
    Source,
)
from reconciler.planning.gates.recording import Judged, Ruling, record
from reconciler.planning.gates.types import Decision, GateInputs, GateSettings, PolicyState, WindowState
from reconciler.planning.reporting.document import Report
from reconciler.planning.reporting.report import build_report
from reconciler.planning.resolving.approval import ApprovalText
from reconciler.planning.resolving.dispositions import Disposition, Plan, Reason, Update
from reconciler.policy.documents import PackageException, Settings
from reconciler.policy.load import Origin, Placed
from reconciler.policy.match import HostFacts
from reconciler.policy.resolve import Effective
from reconciler.policy.windows import Freeze, Occurrence
from reconciler.policy.yamltext import YamlDocument

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
COMMIT = "abc123def4567890abc123def4567890abc123de"
HOUR = timedelta(hours=1)
DIGEST = "sha256:" + "5c" * 32
SECURITY = "Debian-Security:12/bookworm-security"
MAIN = "Debian:12.8/bookworm"


def change(name: str = "nginx", **values: object) -> Change:
    """Return an upgrade of ``name``, with ``values`` in place of the usual ones."""
    usual = Change("upgrade", name, "amd64", "1.0-1", "1.0-2", MAIN, size=2**20, installed_delta=2**18)
    return replace(usual, **values)  # type: ignore[arg-type]  # names and types are checked by the dataclass


def update(name: str = "nginx", **values: object) -> Update:
    """Return a planned update of ``name``, with ``values`` in place of the usual ones."""
    usual = Update(
        name=name,
        arch="amd64",
        installed="1.0-1",
        candidate="1.0-2",
        origin=MAIN,
        security=False,
        disposition=Disposition.PLANNED,
        reasons=(Reason("wanted", "the policy wants all updates", f"policies/web.yaml:4@{COMMIT[:12]}"),),
        size=2**20,
    )
    return replace(usual, **values)  # type: ignore[arg-type]  # names and types are checked by the dataclass


def plan_of(*updates: Update) -> Plan:
    """Return a plan whose transaction is the planned ones among ``updates``."""
    planned = [one for one in updates if one.disposition is Disposition.PLANNED]
    moves = [
        change(one.name, from_version=one.installed, to_version=one.candidate, origin=one.origin)
        for one in planned
    ]
    return Plan(tuple(moves), updates, DIGEST)


HELD = update(
    "nginx",
    installed="1.22.1-8",
    candidate="1.22.1-9",
    disposition=Disposition.HELD,
    reasons=(
        Reason(
            "exception-hold",
            "held by the exception nginx-http2-regression: HTTP/2 regression",
            f"exceptions/nginx.yaml:3@{COMMIT[:12]}",
        ),
    ),
)
USUAL = plan_of(
    update("bash"),
    HELD,
    update("openssl", installed="3.0.14-1", candidate="3.0.15-1", security=True, origin=SECURITY),
)
EMPTY = Plan((), (), "sha256:" + "00" * 32)

SETTINGS = GateSettings(
    action="apply",
    budget=timedelta(minutes=30),
    origins=(
        ("action", f"policies/web.yaml:5@{COMMIT[:12]}"),
        ("schedule", f"policies/web.yaml:6@{COMMIT[:12]}"),
    ),
)
POLICY = PolicyState(
    remote="ssh://git.example/policy",
    ref="main",
    commit=COMMIT,
    committed_at=NOW - timedelta(days=3),
    fetched_at=NOW - HOUR,
    verification="not verified: this host trusts the remote",
)
WINDOWS = WindowState(
    schedules=("sunday-night",),
    spans=(
        Occurrence(NOW - HOUR, NOW + 2 * HOUR, "sunday-night", 0),
        Occurrence(NOW + timedelta(days=7) - HOUR, NOW + timedelta(days=7) + 2 * HOUR, "sunday-night", 0),
    ),
    opening=NOW + timedelta(days=7) - HOUR,
    zones=("Europe/Berlin", "Europe/Berlin"),
)
INPUTS = GateInputs(SETTINGS, POLICY, ClockState.SYNCHRONISED, windows=WINDOWS)
"""Every gate is open."""

FREEZE = Freeze(
    name="year-end",
    start=NOW - HOUR,
    end=NOW + timedelta(days=2),
    allow="none",
    reason="year-end change freeze",
    origin=f"freezes/year-end.yaml:1@{COMMIT[:12]}",
)
APPROVAL = ApprovalText(
    "november", DIGEST, (), NOW + timedelta(days=1), "CHG-77", f"approvals/november.yaml:1@{COMMIT[:12]}"
)

OBSERVATION = Observation(
    at=NOW,
    facts=Facts("debian", "12", "Debian GNU/Linux 12 (bookworm)", "amd64", "6.1.0-27-amd64", "b-1"),
    manager="apt",
    manager_version="2.6.1",
    privileged=True,
    installed=(
        Installed("bash", "amd64", "1.0-1"),
        Installed("curl", "amd64", "7.88.1-10"),
        Installed("nginx", "amd64", "1.22.1-8"),
    ),
    offers=(Offer("bash", "amd64", "1.0-1", "1.0-2", ()),),
    sources=(
        Source(SECURITY, "http://deb.example/security", NOW - 6 * HOUR, None, NOW - HOUR),
        Source(MAIN, "http://deb.example/debian", NOW - 30 * HOUR, None, NOW - HOUR),
    ),
    refresh=Refresh(RefreshOutcome.NOT_DUE),
    health=Health(filesystems=(Filesystem("/", 10 * 2**30, 20 * 2**30),)),
    reboot=Reboot(RebootNeed.NOT_REQUIRED),
    clock=ClockState.SYNCHRONISED,
    scripts=(("apt-update.sh", "sha256:" + "ab" * 32),),
)
FACTS = HostFacts("web-01", {"env": "production"}, "debian", "12", "apt")

EXCEPTION = Placed(
    PackageException.model_validate(
        {
            "kind": "Exception",
            "name": "nginx-http2-regression",
            "packages": ["nginx*"],
            "action": "hold",
            "reason": "HTTP/2 regression",
            "owner": "web-team",
            "ticket": "CHG-1234",
            "expires": "2026-12-31",
        }
    ),
    Origin("exceptions/nginx.yaml", 3, COMMIT),
    YamlDocument.__new__(YamlDocument),
)


def effective(exceptions: tuple[Placed[PackageException], ...] = (EXCEPTION,)) -> Effective:
    """Return what holds for the web server."""
    return Effective(
        commit=COMMIT,
        settings=Settings(action="apply"),
        origins={},
        policies=(("web", Origin("policies/web.yaml", 1, COMMIT)),),
        exceptions=exceptions,
        freezes=(),
        approvals=(),
        schedules=(),
        frozen=(),
        ambiguities=(),
        host=None,
    )


def judged_of(
    plan: Plan,
    inputs: GateInputs,
    now: datetime,
    security_plan: Plan | None = None,
    by: Effective | None = None,
) -> Judged:
    """Ask every gate about a plan and the separate one of a freeze, as a tick does, and decide."""
    alone = None
    if security_plan is not None:
        alone = Ruling.of(security_plan, replace(inputs, is_security_plan=True), now)
    ordinary = replace(Ruling.of(plan, inputs, now), effective=by)
    return Judged(ordinary, None if alone is None else replace(alone, freeze="year-end", effective=by))


def decide(plan: Plan, inputs: GateInputs, now: datetime) -> Decision:
    """Return the decision alone."""
    return judged_of(plan, inputs, now).ordinary.decision


def report_of(
    plan: Plan = USUAL,
    inputs: GateInputs = INPUTS,
    *,
    observation: Observation = OBSERVATION,
    now: datetime = NOW,
    target: str = "web-01",
    security_plan: Plan | None = None,
) -> Report:
    """Return the report on the web server with ``plan`` and ``inputs`` judged at ``now``."""
    judged = judged_of(plan, inputs, now, security_plan)
    host = replace(FACTS, name=target)
    recording = record(observation, (), inputs, host, program="patchledger 0.1.0", now=now)
    return build_report(recording, effective(), judged)


def many(number: int) -> Plan:
    """Return a plan of ``number`` updates; every third is held and every fifth a security update."""
    return plan_of(
        *(
            update(
                f"package-{index:04}",
                security=index % 5 == 0,
                disposition=Disposition.HELD if index % 3 == 0 else Disposition.PLANNED,
            )
            for index in range(number)
        )
    )
