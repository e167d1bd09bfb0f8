"""Services in a guest that still run replaced files: needrestart names them, its systemd restarts them.

What both answer is the guest's own word. One of the hypervisor's services that bears the same name is never
meant: it is another systemd that is asked.
"""

from collections.abc import Iterable, Sequence

from reconciler.errors import ReconcilerError, Transient
from reconciler.managers.scripts import guard_text, question
from reconciler.planning.runs.hooks_and_health import Leftovers, Restart, parse_needrestart
from reconciler.planning.text.untrusted import one_line
from reconciler.process import Completed
from reconciler.reconcile.ports.where import InGuest
from reconciler.targets.guest import GuestTarget

# -b is for programs and never asks or restarts; -r l says so once more.
_SCAN = b"command -v needrestart >/dev/null 2>&1 || exit 0\nneedrestart -b -r l\n"
# A line for each, so that it is known how far it came where the time is over.
_RESTART = b"""\
[ -d /run/systemd/system ] || { echo "systemd does not run here" >&2; exit 1; }
for service; do
    if said=$(systemctl --no-ask-password restart -- "$service" 2>&1); then
        echo restarted
    else
        printf 'failed %s\\n' "$(printf '%s\\n' "$said" | sed -n '/[^ ]/{p;q;}')"
    fi
done
"""
_SCAN_PATIENCE = 300.0  # seconds; the first scan of a machine is the longest
_RESTART_PATIENCE = 900.0  # seconds for all; systemd itself gives a service 90 to stop and 90 to start
_WORDS = 200


class GuestRestarts:
    """What runs replaced files in a guest, and its restarting.

    Args:
        target: The guest.
        patience: Seconds that all restarts of a run may take together.
    """

    def __init__(self, target: GuestTarget, patience: float = _RESTART_PATIENCE) -> None:
        self._target = target
        self._patience = patience

    @property
    def where(self) -> InGuest:
        """The guest."""
        return self._target.where

    def leftovers(self) -> Leftovers | None:
        """Ask needrestart in the guest, which restarts nothing; ``None`` where it is not installed.

        Raises:
            ReconcilerError: The guest is away, or what it says is not understood.
        """
        done = self._run(question(_SCAN), (), _SCAN_PATIENCE)
        if done.timed_out:
            raise Transient("needrestart does not answer")
        if done.returncode or done.truncated:
            said = one_line(done.error_text, _WORDS) or f"exit code {done.returncode}"
            raise Transient(f"needrestart failed: {said}")
        return parse_needrestart(done.text) if done.stdout else None

    def restart(self, services: Iterable[str]) -> tuple[Restart, ...]:
        """Restart each of ``services``, one after another, and tell what became of it; never raises."""
        names = tuple(services)
        if not names:
            return ()
        try:
            done = self._run(guard_text()[0] + b"\n" + _RESTART, names, self._patience)
        except ReconcilerError as error:
            return tuple(Restart(name, "failed", error.message) for name in names)
        told = [_told(name, line) for name, line in zip(names, done.lines, strict=False)]
        # Only our question is over: systemd has taken the job, and goes on with it.
        why = one_line(done.error_text, _WORDS) or "nothing was said of it"
        late = "systemd had not restarted it in time" if done.timed_out else why
        return (*told, *(Restart(name, "failed", late) for name in names[len(told) :]))

    def _run(self, text: bytes, args: Sequence[str], seconds: float) -> Completed:
        return self._target.run(text, "services", args, timeout=seconds)


def _told(service: str, line: str) -> Restart:
    word, _, detail = line.partition(" ")
    if word == "restarted":
        return Restart(service, "restarted")
    return Restart(service, "failed", one_line(detail, _WORDS) or "systemctl did not say why")
