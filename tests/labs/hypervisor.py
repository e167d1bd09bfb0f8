"""A booted machine as a hypervisor: patchledger looks after its guests as its own unit does.

Its policy and its reports are repositories in ``/lab``, which the test sees too. It plans for itself, and
applies in guests in a window that is open, unless a test says otherwise.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.host.install.units import SERVICE, UnitInputs, unit_files
from tests.e2e.site import git
from tests.labs.machine import INSIDE, LAB, PATIENCE, Machine

HOSTS = "kind: Policy\nname: hosts\nmatch: {not: {guest_of: '*'}}\naction: plan\n"
GUESTS = "kind: Policy\nname: guests\nmatch: {guest_of: '*'}\naction: apply\nschedule: [now]\n"
SECRETS = ("hunter2", "hunter3")
"""A variable of the hypervisor, and a credential of its unit."""

_SOURCE = f"deb [trusted=yes] file:{LAB}/repository ./\n"
CONFIG = Path("/etc/patchledger/config.yaml")
UNIT = unit_files(UnitInputs(Path("/bin/true"), CONFIG, timedelta(hours=1)))[SERVICE]


def window(begins_in: timedelta) -> str:
    """Return a window of three hours that begins so long from now."""
    at = datetime.now(UTC) + begins_in
    return (
        "kind: Schedule\nname: now\ntimezone: UTC\n"
        f'windows:\n  - {{start: "*-*-* {at:%H:%M}", duration: 3h}}\n'
    )


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """patchledger on a booted machine.

    Attributes:
        machine: The machine.
        name: Of the host.
        python: An interpreter in there that has what patchledger needs.
        inside: Runs a line of shell in a guest, behind patchledger's back.
    """

    machine: Machine
    name: str
    python: str
    inside: Callable[[str, str], str]

    def prepare(self, kind: str, guests: Mapping[str, object] | None = None) -> None:
        """Make its repositories, and configure it; its own packages are those of ``/lab/repository``."""
        lab = self.machine.lab
        self.machine.run("sh", "-c", "rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*")
        self.machine.run("tee", "/etc/apt/sources.list", stdin=_SOURCE)
        git(lab, "init", "-q", "-b", "main", "policy")
        git(lab, "init", "-q", "--bare", "-b", "main", "reports.git")
        self.policy()
        said = {
            "host": self.name,
            "policy": {"remote": f"{LAB}/policy"},
            "reports": {"remote": f"{LAB}/reports.git"},
            "environment": {"TOKEN": SECRETS[0]},
            "guests": {"from": [kind], **(guests or {})},
        }
        self.machine.run("mkdir", "-p", str(CONFIG.parent))
        self.machine.run("tee", str(CONFIG), stdin=json.dumps(said))
        self.machine.run("chmod", "600", str(CONFIG))

    def policy(self, begins_in: timedelta = timedelta(hours=-1)) -> None:
        """Commit what is to be followed."""
        folder = self.machine.lab / "policy"
        for name, text in {
            "policies/hosts": HOSTS,
            "policies/guests": GUESTS,
            "schedules/now": window(begins_in),
        }.items():
            path = folder / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "--allow-empty", "-m", "change")

    def begin(self, *args: str, waits: bool = False) -> None:
        """Begin a command in the sandbox of the unit of a tick."""
        program = f"{self.python} -m reconciler --config {CONFIG} {' '.join(args or ('run',))}"
        text = re.sub("(?m)^ExecStart=.*$", f"ExecStart={program}", UNIT)
        told = (
            f"[Service]\nWorkingDirectory={INSIDE}\nReadWritePaths={LAB}\nStateDirectory=patchledger\n"
            f"SetCredential=lab:{SECRETS[1]}\nStandardOutput=truncate:{LAB}/said\nStandardError=inherit\n"
        )
        self.machine.run("systemctl", "reset-failed", "lab-run.service", check=False)
        self.machine.put_unit("lab-run.service", f"{text}\n{told}")
        waiting = () if waits else ("--no-block",)
        self.machine.run("systemctl", "start", *waiting, "lab-run.service", check=False)

    def ended(self) -> tuple[int, str]:
        """Wait until what was begun has ended; return its exit code and all that it printed."""
        ends = "while systemctl is-active lab-run.service | grep -q activating; do sleep 0.1; done"
        self.machine.run("timeout", str(PATIENCE / 2), "sh", "-c", ends)
        asked = ("systemctl", "show", "--property=ExecMainStatus", "--value", "lab-run.service")
        return int(self.machine.run(*asked)), (self.machine.lab / "said").read_text(errors="replace")

    def run(self, *args: str) -> tuple[int, str]:
        """Run a command, which is a tick unless it is named; return its exit code and all that it printed."""
        self.begin(*args, waits=True)
        return self.ended()

    def until_done(self) -> tuple[int, str]:
        """Run ticks until none of them finds a package manager at work; return what the last one said."""
        for _ in range(50):
            code, said = self.run()
            if "is still at work" not in said:
                break
        return code, said

    def kill(self) -> None:
        """End it, and nothing that it began."""
        self.machine.run("systemctl", "kill", "--signal=KILL", "lab-run.service")
        self.ended()

    def services(self) -> list[str]:
        """Return the services of ours that are there."""
        listed = self.machine.run(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", "patchledger-*"
        )
        return [line.split()[0] for line in listed.splitlines()]

    def report(self, branch: str) -> Any:
        """Return the report on a branch."""
        return json.loads(git(self.machine.lab / "reports.git", "show", f"{branch}:report.json"))

    def rows(self) -> dict[str, tuple[str, str]]:
        """Return what the hypervisor's report says of each guest: outcome and reason."""
        rows = self.report(f"hosts/{self.name}")["guests"]
        return {row["id"]: (row["outcome"], row["reason"]) for row in rows}

    def runs(self, guest: str) -> list[dict[str, Any]]:
        """Return the records of the runs in a guest, the oldest first."""
        reports, branch = self.machine.lab / "reports.git", f"guests/{self.name}/{guest}"
        names = git(reports, "ls-tree", "--name-only", branch, "runs/").splitlines()
        return [
            json.loads(git(reports, "show", f"{branch}:{name}"))
            for name in sorted(names)
            if name.endswith(".json")
        ]

    def version(self, guest: str) -> str:
        """Return state and version of the package in a guest, as ``ii 1.1``."""
        for _ in range(3):
            if told := self.inside(guest, "dpkg-query -W -f '${db:Status-Abbrev}${Version}' labapp"):
                return told
        # On a busy machine, `incus exec` ends well now and then and has lost what was printed.
        raise AssertionError(f"nothing was heard of guest {guest}")

    def is_to_wait(self, guest: str) -> None:
        """Have the postinst stand still in the next run in a guest.

        What is done inside shows only when a guest is looked at, as each is by a new commit of policy.
        """
        self.policy()
        self.inside(guest, "rm -f /srv/reached /srv/go; mkfifo /srv/reached /srv/go")

    def reaches(self, root: str) -> None:
        """Wait until the postinst stands still, in a guest with this root."""
        self.machine.run("timeout", str(PATIENCE / 2), "cat", f"{root}/srv/reached")

    def go_on(self, root: str) -> None:
        """Let it go on."""
        self.machine.run("timeout", str(PATIENCE / 2), "sh", "-c", f"echo go >{root}/srv/go")
