"""The report server of ``examples/server``, set up by the commands of its README, behind a real sshd."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.edge.gitops.bench import ENVIRONMENT, Repository, make_key, sshd
from tests.labs.signing import Key, Keys

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "server"
HOSTS = ("web-01", "web-02")
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class ReportServer:
    """A running server.

    Attributes:
        home: Where its repositories lie.
        url: Of its ``reports.git``.
        known_hosts: Knows its key.
        identities: The key that each of its users connects with, by name.
        signing: The key that a host signs with, by its name.
    """

    home: Path
    url: str
    known_hosts: Path
    identities: Mapping[str, Path]
    signing: Mapping[str, Key]

    @property
    def reports(self) -> Repository:
        return Repository(self.home / "reports.git")

    def as_(self, who: str) -> dict[str, str]:
        """Return the environment of a git that connects as somebody."""
        command = (
            f"ssh -F /dev/null -i {self.identities[who]} -o IdentitiesOnly=yes -o IdentityAgent=none"
            f" -o 'UserKnownHostsFile=\"{self.known_hosts}\"' -o StrictHostKeyChecking=yes"
        )
        return {**ENVIRONMENT, "GIT_SSH_COMMAND": command}


@contextlib.contextmanager
def report_server(folder: Path, hosts: Sequence[str] = HOSTS) -> Iterator[ReportServer]:
    """Set it up as its README says, for some hosts, a publisher and a reader, and start it."""
    here, home, keys = folder / "example", folder / "home", Keys(folder / "keys")
    shutil.copytree(EXAMPLE, here)
    home.mkdir()
    identities = {who: make_key(here / who) for who in (*hosts, "publisher", "ada", "stranger")}
    signing = {host: keys.ssh(host) for host in hosts}
    for host, key in signing.items():
        (here / f"{host}-report.pub").write_text(f"{key.public} {host}\n", encoding="utf-8")
    blocks = _BLOCK.findall((here / "README.md").read_text(encoding="utf-8"))
    about_a_host = [block for block in blocks if "web-01" in block]
    first = [block.replace("web-01", hosts[0]) for block in blocks]
    again = [block.replace("web-01", host) for host in hosts[1:] for block in about_a_host]
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
    told = "\n".join(first + again)
    done = subprocess.run(
        ["sh", "-eu"], input=told, cwd=here, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    Repository.create(home / "policy.git")
    with sshd(folder / "sshd", home / ".ssh/authorized_keys") as (address, known_hosts):
        yield ReportServer(home, f"{address}{home}/reports.git", known_hosts, identities, signing)
