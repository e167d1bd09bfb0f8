"""Which patch script runs: the program's own, or the one of the policy repository that the policy pins.

The rules:

- Without a pin it is the program's own.
- A pinned script is executed from the very bytes that were read with the policy and hashed. It must be one
  that this host's own configuration accepts; the manager asks for that once more.
- Where the pinned script cannot be had, or cannot be used, nothing is planned or applied. The machine is
  still looked at and reported on, by the program's own script, and the condition says so: never is anything
  done by another script than the pinned one.
- What machine it is must be known before it is known what the policy pins for it. So the first look is by the
  program's own script, or by the one by which something was begun last. Where that one is of no use any more,
  it is by the program's own after all: else the policy could never name a successor.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256

from reconciler.errors import Stalled, Transient
from reconciler.planning.facts.observation import Observation
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.policy.load import Revision
from reconciler.policy.resolve import Effective
from reconciler.reconcile.ports.target import AnyManager

_SHORT = 12
_UNUSABLE = "Unusable"


def first_look(manager: AnyManager, look: Callable[[], Observation]) -> Observation:
    """Look at the machine before it is known what the policy pins for it.

    Raises:
        Stalled: The machine cannot be observed by the program's own script either.
        Transient: As above.
    """
    try:
        return look()
    except (Stalled, Transient):
        if not manager.is_by_policy:
            raise
        manager.use_script(None)
        return look()


def pinned_otherwise(effective: Effective | None, seen: Observation) -> Iterator[Condition]:
    """Tell of every patch script that is not the one that the policy pins; then nothing more is run."""
    for name, digest in seen.scripts:
        wanted, here = _pin(effective, name), digest[:_SHORT]
        if wanted and wanted != digest:
            origin = "" if effective is None else str(effective.origins.get("scripts", ""))
            place = f" ({origin})" if origin else ""
            message = f"the policy pins {name} to sha256 {wanted[:_SHORT]}{place}, and here it is {here}"
            yield _mismatch("PinnedOtherwise", f"{message}; change the pin, or install what it names")
        elif not wanted and name in seen.policy_scripts:
            yield _mismatch("PinnedNoMore", f"the policy pins {name}, sha256 {here}, no more")


def with_pinned_script(
    manager: AnyManager,
    seen: Observation,
    revision: Revision | None,
    effective: Effective | None,
    look: Callable[[], Observation],
) -> tuple[Observation, tuple[Condition, ...]]:
    """Have the manager run the script that policy pins, and look again if that is another than before.

    Args:
        manager: Whose script it is.
        seen: The machine, as the script saw it that was in use until now.
        revision: The policy, with the scripts that it brings.
        effective: What it says for this machine.
        look: Looks at the machine again.

    Returns:
        The machine, and what is against doing anything to it.
    """
    against = tuple(pinned_otherwise(effective, seen))
    content = None if revision is None else _brought(revision, effective, seen)
    if not against or (content is None and not seen.policy_scripts):
        return seen, against
    try:
        manager.use_script(content)
        again = look()
    except (Stalled, Transient) as error:  # one that hangs is of no more use
        manager.use_script(None)
        why = f"{error.message}; {error.hint}" if error.hint else error.message
        told = _mismatch(error.reason or _UNUSABLE, f"the script that the policy pins cannot be used: {why}")
        return look() if seen.policy_scripts else seen, (told,)
    return again, tuple(pinned_otherwise(effective, again))


def _pin(effective: Effective | None, name: str) -> str:
    return "" if effective is None else effective.settings.scripts.get(name, "").removeprefix("sha256:")


def _brought(revision: Revision, effective: Effective | None, seen: Observation) -> bytes | None:
    """Return the script of the policy repository that has the pinned bytes, ``None`` where there is none."""
    for name, _ in seen.scripts:
        content, wanted = revision.scripts.get(name), _pin(effective, name)
        if content is not None and wanted == sha256(content).hexdigest():
            return content
    return None


def _mismatch(reason: str, message: str) -> Condition:
    return Condition(ConditionType.SCRIPT_MISMATCH, True, reason, message, stalled=True)
