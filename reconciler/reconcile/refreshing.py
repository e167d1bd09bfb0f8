"""When package metadata are to be fetched anew, and what may be concluded from those that are here."""

from datetime import datetime

from reconciler.planning.facts.observation import Observation, RefreshOutcome
from reconciler.planning.gates.gates import CLOCK_TOLERANCE
from reconciler.policy.resolve import Effective
from reconciler.policy.zones import shifted
from reconciler.reconcile.ports.state import State


def is_due(
    seen: Observation, effective: Effective | None, state: State, now: datetime, *, may_begin: bool
) -> bool:
    """Say whether the metadata are to be fetched now; while there is no policy, nobody says how often.

    Args:
        seen: What was observed.
        effective: What the policy says.
        state: What the last tick left.
        now: Aware.
        may_begin: A run could begin now, which wants them recent.
    """
    if effective is None:
        return False
    fetched, settings = _fetched(seen, state, now), effective.settings.refresh
    patience = min(settings.every, settings.before_apply) if may_begin else settings.every
    return fetched is None or now >= shifted(fetched, patience)


def refresh_due(seen: Observation, effective: Effective, state: State, now: datetime) -> datetime | None:
    """Return when the metadata are to be fetched anew; ``None`` for at once."""
    fetched = _fetched(seen, state, now)
    return None if fetched is None else shifted(fetched, effective.settings.refresh.every)


def is_whole(seen: Observation) -> bool:
    """Say whether every source could be read, so that what is not offered is really gone."""
    is_failed = seen.refresh.outcome is RefreshOutcome.FAILED or bool(seen.refresh.missing)
    return not is_failed and not any(source.problem for source in seen.sources)


def _fetched(seen: Observation, state: State, now: datetime) -> datetime | None:
    """Return when the metadata were fetched last, ``None`` where nobody knows.

    An instant that has not come yet was told by a clock that was wrong, then or now, and tells nothing.
    """
    told = (state.refreshed_at, *(source.fetched for source in seen.sources))
    return max((at for at in told if at is not None and at <= now + CLOCK_TOLERANCE), default=None)
