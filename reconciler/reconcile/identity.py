"""Whether this is the machine that the policy and the reports of the host mean, and whether it is enrolled.

The rules:

1. A Host document that names a machine id decides: the machine that has it is the host, and every other one
   is not.
2. Without that, the machine of the last report is the host; a person may have it continued on another one
   (:meth:`reconciler.gitops.report_queue.ReportQueue.repair`).
3. A clone that kept even the machine id is seen by what its key signed under another boot: one machine knows
   all that it has reported.
4. What is not the host applies nothing and writes nothing to the host's branch: a person must say which is.
5. A host that was enrolled and is not named any more is retired. It applies nothing, and goes on reporting.
   That it was, it remembers by itself, in two places; without both, only a report under its own key says so.
"""

import json
from collections.abc import Iterator
from enum import StrEnum

from reconciler.planning.facts.observation import Facts
from reconciler.planning.resolving.dispositions import Condition, ConditionType
from reconciler.policy.documents import Host
from reconciler.policy.load import Placed
from reconciler.policy.signers import fingerprint_of_line
from reconciler.reconcile.ports.reports import NOBODY, Diverged, Stored, Writer
from reconciler.records import dataclass

_CLONE = "give a clone a host id of its own"
_CONTINUE = (
    f"{_CLONE}; if the host was installed anew, name its machine_id in a Host document, or have its reports "
    "continued by `patchledger reports repair`"
)
_STOP = (
    "stop the clone, or give it an id and a key of its own; then run `patchledger reports repair` on the host"
)
_SHORT = 12


class Enrolled(StrEnum):
    """What the policy says of the key that signs a host's reports."""

    NO = ""
    """It names none."""
    YES = "enrolled"
    OTHER_KEY = "other-key"
    """It names another one."""
    RETIRED = "retired"
    """It named one, and has no document of the host any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a machine that acts as a host has to show.

    Attributes:
        host: The host id.
        branch: Of its reports.
        facts: Of the machine.
        key: Fingerprint of the key that signs its reports, empty without one.
        is_revoked: That key counts no more, by the host's own configuration.
    """

    host: str
    branch: str
    facts: Facts
    key: str
    is_revoked: bool = False


def enrolled(
    claim: Claim, document: Placed[Host] | None, was: Enrolled, *, has_policy: bool = True
) -> Enrolled:
    """Say what the policy in force makes of a host's key.

    Args:
        claim: What the machine shows.
        document: The host's own, ``None`` where the policy has none.
        was: What was made of it last.
        has_policy: A policy is in force; while there is none, all stays as it was.
    """
    if not has_policy:
        return was
    named = None if document is None else document.value.report_key
    if named is not None:
        return Enrolled.YES if fingerprint_of_line(named) == claim.key else Enrolled.OTHER_KEY
    return Enrolled.RETIRED if document is None and was is not Enrolled.NO else Enrolled.NO


def told_enrolled(last: Stored | None) -> Enrolled:
    """Return what a report says of the key that signs the host's reports; anybody may have written it."""
    try:
        return Enrolled(json.loads(b"" if last is None else last.data)["host"]["enrolled"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Enrolled.NO  # of a host that is not, or of an earlier version


def told_of_enrolment(claim: Claim, found: Enrolled, document: Placed[Host] | None) -> Iterator[Condition]:
    """Tell of a host that is retired, and of one whose reports are signed by another key than named.

    Or by one that is revoked here: then its own reports prove nothing to the host itself either.
    """
    if claim.is_revoked:
        said = (
            f"the key {claim.key} that signs the reports of {claim.host} is revoked (trust.revoked lists it, "
            "or has mistakes), so that they prove nothing; have reports.signing_key name another one, and "
            "the Host document as well: `patchledger adjust` prints it"
        )
        yield Condition(ConditionType.REPORT_KEY_MISMATCH, True, "KeyRevoked", said)
    match found:
        case Enrolled.RETIRED:
            said = (
                f"host {claim.host} is retired: the policy enrolled it and has no document of it any more; "
                "enrol it again by a Host document with its report_key, or take it down by "
                "`patchledger cleanup`"
            )
            yield Condition(ConditionType.HOST_RETIRED, True, "NoDocument", said, stalled=True)
        case Enrolled.OTHER_KEY:
            place = "" if document is None else f" in {document.origin}"
            signed = f"signed by {claim.key}" if claim.key else "not signed"
            said = (
                f"the policy names another report_key of {claim.host}{place}, and its reports are {signed}; "
                "they do not count before the document names that key: `patchledger adjust` prints it"
            )
            yield Condition(ConditionType.REPORT_KEY_MISMATCH, True, "OtherKey", said)
        case Enrolled.NO | Enrolled.YES:
            pass


def told_of_machine(
    claim: Claim, document: Placed[Host] | None, last: Stored | None, diverged: Diverged | None
) -> Iterator[Condition]:
    """Tell that this machine is not the host, or that nobody can say which is.

    Args:
        claim: What the machine shows.
        document: As of :func:`enrolled`.
        last: As of :func:`enrolled`.
        diverged: What the report branch holds that this machine does not know.
    """
    own, branch = claim.facts.machine_id, claim.branch
    named = None if document is None else document.value.machine_id
    writer = NOBODY if diverged is None else diverged.writer
    written = "" if last is None else last.machine or Writer.of(last.data).machine
    this = f"and this is {_short(own)}"
    if document is not None and named is not None and named != own:
        said = f"the policy has {claim.host} on the machine {_short(named)} ({document.origin}), {this}"
        way = f"{_CLONE}; for one that was installed anew, change machine_id and report_key there"
        yield _other("Document", said, way)
    elif named is None and _differ(written, own):
        said = f"the last report on {branch} is of the machine {_short(written)}, {this}"
        yield _other("LastReport", said, _CONTINUE)
    elif named is None and _differ(writer.machine, own):
        said = f"{branch} goes on on the machine {_short(writer.machine)}, {this}"
        yield _other("ReportBranch", said, _CONTINUE)
    elif diverged is not None and diverged.is_own_key and _differ(writer.boot, claim.facts.boot_id):
        said = (
            f"{branch} holds reports that this machine does not know, and its own key signed under another "
            "boot: a clone of it is at work, or it was restored from a backup"
        )
        yield _other("OwnKeyElsewhere", said, _STOP)


def _other(reason: str, said: str, way: str) -> Condition:
    return Condition(ConditionType.OTHER_MACHINE, True, reason, f"{said}; {way}", stalled=True)


def _differ(one: str, other: str) -> bool:
    """Say whether both are known and not the same."""
    return bool(one and other) and one != other


def _short(machine: str) -> str:
    return machine[:_SHORT] or "one without a machine id"
