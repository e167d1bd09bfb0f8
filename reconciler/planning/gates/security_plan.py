"""The separate plan of a freeze that only security updates pass, and what its gates are shown.

The rules:

- It is resolved for itself, never filtered out of the plan that it stands beside: :func:`security_only`.
- It passes the same gates, by its own digest. What it waits for is its own matter, and so is its approval.
- A freeze that lets nothing through counts for both plans.
- A freeze widens nothing: where policy wants no updates, or none of that kind, none are let through.
- Where the package manager does not tell which updates fix security problems, there is no such plan.
"""

from dataclasses import replace
from datetime import datetime

from reconciler.planning.gates.inputs import is_security_plan, window_state
from reconciler.planning.gates.types import BreakGlass, GateInputs
from reconciler.planning.resolving.plan import security_only
from reconciler.policy.managers import traits_of
from reconciler.policy.resolve import Effective
from reconciler.policy.windows import Freeze, active_freeze


def passed_freeze(
    effective: Effective, manager: str, now: datetime, glass: BreakGlass | None = None
) -> Freeze | None:
    """Return the freeze in force whose security plan counts, the one that ends last of several.

    Args:
        effective: What the policy says for the host.
        manager: Name of its package manager.
        now: Aware.
        glass: Whoever passes over the freeze wants the whole plan.

    Returns:
        ``None`` where nothing is frozen, or where nothing passes.
    """
    if glass is not None and glass.overrides_freeze:
        return None
    is_told = traits_of(manager).tells_security
    return active_freeze(effective.frozen, now) if is_told and lets_security_through(effective, now) else None


def lets_security_through(effective: Effective, now: datetime) -> bool:
    """Say whether a freeze that only security updates pass is in force, whatever tells which these are."""
    if security_only(effective).settings.updates == "none" or active_freeze(effective.frozen, now) is None:
        return False
    return active_freeze(effective.frozen, now, allow_security=True) is None


def shown_of_security(inputs: GateInputs, effective: Effective, target: str, now: datetime) -> GateInputs:
    """Return what the gates are shown about a security plan, instead of ``inputs``.

    Args:
        inputs: Those of the plan beside it.
        effective: As :func:`reconciler.planning.resolving.plan.security_only` gives it.
        target: Host id.
        now: The instant of the decision, aware.
    """
    return replace(
        inputs,
        windows=window_state(effective, target, now),
        is_security_plan=is_security_plan(effective),
    )
