"""Reboot a machine: found due by a look, told before, asked for through every gate, proven after.

The rules are those of :mod:`reconciler.planning.gates.reboot`; here is what must happen around them:

- The host's own hooks may refuse it, and the report that says what comes of it is committed and told before
  anything goes down.
- All gates are asked again when it is asked for, since committing and pushing takes its time.
- What comes up is another boot of the machine, or it was no reboot. Then health is asked once more.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.planning.gates.reboot import (
    BOOT_TIME,
    NOT_NOW,
    NoReboot,
    RebootDue,
    RebootRefused,
    against,
    announcement,
    once_pushed,
    refusal,
)
from reconciler.planning.gates.types import GateInputs, Pause
from reconciler.planning.runs.journal import Journal, Phase
from reconciler.policy.documents import Settings
from reconciler.policy.load import Revision
from reconciler.reconcile.apply import Applier
from reconciler.reconcile.assess import Assessment
from reconciler.reconcile.site import AnySite
from reconciler.reconcile.surroundings import failing
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Descent:
    """A reboot that is due, and that the host's own hooks have nothing against.

    Attributes:
        assessment: That found it due, without a word on what comes of it.
        journal: Of the reboot, with what the hooks said.
        due: Why it is wanted, and by which history it may be.
        warns: Whether those in there have the policy's notice before it.
    """

    assessment: Assessment
    journal: Journal
    due: RebootDue
    warns: bool = True

    @property
    def notice(self) -> timedelta:
        """How long after it is asked for it happens."""
        return self.journal.settings.reboot.notice if self.warns else timedelta(0)

    def announced(self, now: datetime) -> Assessment:
        """Return the look with the announcement that the machine goes down, a notice after ``now``."""
        return self.assessment.telling(announcement(self.due.because, now, self.notice))

    def refused(self, why: str, by: str = NOT_NOW) -> Assessment:
        """Return the look that says why the machine does not go down now after all, and by what."""
        return refused(self.assessment, why, by)

    def still_against(self, asked: GateInputs, pause: Pause | None, now: datetime) -> str:
        """Say what stands against the reboot at this moment; empty where nothing does.

        Args:
            asked: For the gates, by the policy of this moment.
            pause: The host may have been paused since it was looked at.
            now: Aware.
        """
        finding = self.assessment.finding
        inputs = replace(asked, pause=pause)
        found = against(finding.judged.plan, inputs, self.journal.settings, self.due.history, now)
        return "" if found is None else found.why


def prepared(assessment: Assessment, applier: Applier) -> tuple[Assessment, Descent | None]:
    """Ask the host's own hooks about a reboot that is due, and let the report say what comes of it.

    Returns:
        What is to be reported, and the reboot; ``None`` where none is due, or a hook is against it.
    """
    match assessment.reboot:
        case NoReboot() | RebootRefused():
            return assessment, None
        case RebootDue() as due:
            journal = applier.intend(assessment)
    now = assessment.report.generated_at
    why = needed(applier.site, journal.settings, assessment.finding.revision, now)
    if why:
        return refused(assessment, why, by="Guests"), None
    results = applier.site.around.hook("pre-reboot", journal.settings, dict(journal.facts), b"")
    bad = failing(results)
    if bad is not None:
        return refused(assessment, f"the hook pre-reboot.d/{bad.name} is against it: {bad.reason}"), None
    power = applier.site.power
    warns = power is None or not power.is_awaited
    descent = Descent(assessment, replace(journal, hooks=results), due, warns)
    if assessment.must_be_pushed:
        return assessment.telling(once_pushed(due.because)), descent
    return descent.announced(assessment.report.generated_at), descent


def needed(site: AnySite, settings: Settings, revision: Revision | None, now: datetime) -> str:
    """Say which guests a reboot would interrupt; empty where none, or where policy takes that on itself.

    Args:
        site: The hypervisor; a host without guests interrupts none.
        settings: Of the policy by which the reboot is due.
        revision: The policy of this moment, by which guests are in a freeze.
        now: Aware.
    """
    until = now + settings.reboot.notice + BOOT_TIME
    return "" if settings.reboot.guests == "ignore" else site.needed(revision, now, until)


def refused(assessment: Assessment, why: str, by: str = NOT_NOW) -> Assessment:
    """Return ``assessment`` with what nobody could know then: why there is no reboot after all."""
    return replace(assessment.telling(refusal(why, by)), reboot=RebootRefused(why, asks_again=True))


def going_down(journal: Journal, boot_id: str, now: datetime) -> Journal:
    """Return the journal of a machine that is told to reboot."""
    return replace(journal, phase=Phase.REBOOTING, boot_id=boot_id, rebooting_since=now)
