"""What a message asks of whoever reads it, in one sentence, and the document where one is asked for.

Each names the next step: a command, a file, a commit. Where there is none the answer is :data:`NOTHING`, so
that nobody wonders.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from reconciler.planning.resolving.dispositions import ConditionType
from reconciler.planning.text.wording import short_digest
from reconciler.policy.conversion import yaml_of
from reconciler.policy.zones import on_the_wall, shifted, zone_or_utc

NOTHING = "nothing"

_VALID = timedelta(days=7)
"""How long after its window an approval still counts: windows are missed, and nights are short."""

_STATUS = "`patchledger status` on the host says what is so now"
_OF_KIND: Mapping[str, str] = {
    ConditionType.APPLY_FAILED: "mend what the log of the run names; this plan is not tried again before"
    " something changes, or by `patchledger run --now`",
    ConditionType.PACKAGES_QUARANTINED: "mend what the log names, or wait for another version: this one is"
    " left alone until then, or until `patchledger run --now`",
    ConditionType.PACKAGE_SYSTEM_INTERRUPTED: f"see whether the next tick has repaired it; {_STATUS}",
    ConditionType.DEPENDENCIES_BROKEN: "mend the dependencies on the host; nothing is applied before",
    ConditionType.CANNOT_RESOLVE: "see what stands in the way: `patchledger explain`",
    ConditionType.CLOCK_WRONG: "set the clock of the host, and have it synchronised; nothing is applied until"
    " then",
    ConditionType.NEEDS_UPGRADE: "upgrade patchledger there; the last good policy is in force until then",
    ConditionType.METADATA_STALE: "see whether the package sources can be reached; nothing is applied before",
    ConditionType.REPORT_BRANCH_DIVERGED: "see which other machine writes this branch; reports wait for that",
    ConditionType.STOOD_STILL: "look at the host: `journalctl -u patchledger.service`",
    ConditionType.POLICY_REJECTED: "mend the policy by a commit; the last good one is in force until then",
    ConditionType.POLICY_STALLED: "mend the policy by a commit; nothing is applied before",
    ConditionType.POLICY_AMBIGUOUS: "give one of the policies that are named another `priority`",
    ConditionType.POLICY_STALE: "see why the host cannot fetch the policy; nothing is applied before",
    ConditionType.OVERDUE: "let the update through, or give it more time in the policy",
}


def in_guest(target: str, text: str) -> str:
    """Return what is asked for so that it is about the target: of a guest the commands of its hypervisor.

    Args:
        target: Host, or ``HOST/GUEST``.
        text: As it is written for a host.
    """
    home, _, own = target.rpartition("/")
    if not home:
        return text
    named = _COMMAND.sub(lambda found: f"`patchledger {found[1]} --target {own}`", text)
    return named.replace("` on the host", f"` on {home}")


_COMMAND = re.compile(r"`patchledger ((?:run --now|explain|status|plan|pause|log)\b[^`]*)`")


def of_trouble(kind: str) -> str:
    """Return what a trouble asks for, by the type of its condition."""
    return _OF_KIND.get(kind, f"look at the host; {_STATUS}")


def of_run(run: str, *, is_set_aside: bool) -> str:
    """Return what a run asks for that did not end well.

    Args:
        run: Its id.
        is_set_aside: Versions that failed in it are left alone since.
    """
    asks = f"mend what the log below names (`patchledger log {run}` on the host shows all of it)"
    if is_set_aside:
        asks += "; what failed is left alone until another version is there, or until `patchledger run --now`"
    return asks


def approval_document(
    target: str, digest: str, policy_ref: str, *, after: datetime, timezone: str
) -> tuple[str, str]:
    """Write the Approval of exactly this plan on this target, ready to be committed.

    Args:
        target: Host, or ``HOST/GUEST``.
        digest: The plan's, in full.
        policy_ref: Branch of the policy.
        after: End of the window that it is for, or the present where none is in sight.
        timezone: In which its end is written.

    Returns:
        A heading that says where it goes, and the text.
    """
    name = f"plan-{short_digest(digest)}"
    home, _, own = target.rpartition("/")
    until = on_the_wall(shifted(after, _VALID), zone_or_utc(timezone)).date()
    document = {
        "kind": "Approval",
        "name": name,
        "plan": digest,
        "match": {"name": own, "guest_of": home} if home else {"name": own},
        "expires": until.isoformat(),
        **({"timezone": timezone} if timezone != "UTC" else {}),
    }
    branch = policy_ref.removeprefix("refs/heads/")
    return f"approvals/{name}.yaml, on branch {branch} of the policy", yaml_of(document)
