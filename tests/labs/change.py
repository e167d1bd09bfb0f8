"""People who change the policy of a fleet by pull request, and the hosts that follow it: over ssh, signed.

Reports go to the server of ``examples/server``, from which hosts and the console read the policy as well.
People push to the same policy repository by an sshd of their own, as they would to a forge.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.e2e.machines import Plant
from tests.edge.gitops.bench import ENVIRONMENT, SshServer, ssh_server
from tests.labs.forge import TOKEN, Forge
from tests.labs.report_server import ReportServer, report_server
from tests.labs.signing import Key, Keys

REPOSITORY = "example/policy"
_WHO = ("GIT_AUTHOR", "GIT_COMMITTER")


@dataclass(frozen=True)
class Person:
    """Somebody with a clone of the policy, who signs commits or does not."""

    name: str
    clone: Path
    key: Key | None
    environment: Mapping[str, str]

    def git(self, *arguments: str) -> str:
        """Run git in the clone, and return what it prints."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def commit(self, message: str, files: Mapping[str, str]) -> str:
        """Write files, commit them, and return the commit."""
        for name, text in files.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / name).write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str) -> str:
        """Merge a branch of the server into main, push that, and return the merge."""
        self.git("fetch", "-q", "origin")
        self.git("checkout", "-q", "main")
        self.git("merge", "-q", "--ff-only", "origin/main")
        self.git("merge", "-q", "--no-ff", "-m", f"Merge {branch}", f"origin/{branch}")
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def line(self) -> list[str]:
        """Return the subjects of main's own line, the newest first; each commit has a good signature."""
        signers = f"gpg.ssh.allowedSignersFile={self.clone.parent}/signers"
        told = self.git("-c", signers, "log", "--first-parent", "--format=%G? %s", "main").splitlines()
        assert {row[:2] for row in told} == {"G "}
        return [row[2:] for row in told]

    def revert(self, commit: str, *options: str) -> str:
        """Take a commit of main back, push that, and return the commit that does so."""
        self.git("checkout", "-q", "main")
        self.git("pull", "-q", "--ff-only")
        self.git("revert", "--no-edit", *options, commit)
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")


@dataclass
class Change:
    """Servers, keys, people, hosts and the console of one fleet.

    Attributes:
        folder: Everything but the servers is below it.
        hosts: By id; each ticks when it is told to.
    """

    folder: Path
    server: ReportServer
    forge: SshServer
    publisher: Key
    hosts: dict[str, Plant] = field(default_factory=dict)

    @property
    def reports(self) -> Path:
        """The report repository, as it lies on the server."""
        return self.server.reports.path

    @property
    def policy(self) -> Path:
        """The policy repository, as it lies on the server."""
        return self.server.home / "policy.git"

    def begin(self, by: Key, files: Mapping[str, str]) -> None:
        """Make the policy, signed by somebody whom hosts trust."""
        (self.folder / "signers").write_text(by.line(), encoding="utf-8")
        enrolled = {
            f"hosts/{host}.yaml": f'kind: Host\nname: {host}\nreport_key: "{key.public} {host}"\n'
            "labels: {role: web}\n"
            for host, key in self.server.signing.items()
        }
        more = {"patchledger.yaml": f"repository: {REPOSITORY}\n", "trust/publishers": self.publisher.line()}
        person = self.person(by.who, by)
        person.git("checkout", "-q", "-b", "main")
        person.commit("Begin", {**more, **enrolled, **files})
        person.git("push", "-q", "-u", "origin", "main")

    def person(self, name: str, key: Key | None = None) -> Person:
        """Give somebody a clone; with a key, all commits are signed by it."""
        clone = self.folder / name.partition("@")[0]
        ssh = (
            f"ssh -F /dev/null -i {self.forge.identity} -o IdentitiesOnly=yes -o IdentityAgent=none"
            f" -o 'UserKnownHostsFile=\"{self.forge.known_hosts}\"' -o StrictHostKeyChecking=yes"
        )
        # Who commits is said by the clone.
        anybody = {key: value for key, value in ENVIRONMENT.items() if not key.startswith(_WHO)}
        person = Person(name, clone, key, {**anybody, "GIT_SSH_COMMAND": ssh})
        if not clone.exists():
            clone.mkdir()
            person.git("clone", "-q", f"{self.forge.url}/policy.git", ".")
            settings = {
                "user.name": name.partition("@")[0].title(),
                "user.email": name,
                "core.sshCommand": ssh,
            }
            signing = {} if key is None else {**key.settings, "commit.gpgsign": "true"}
            for setting, value in {**settings, **signing}.items():
                person.git("config", setting, value)
        return person

    def follow(self, host: str, plant: Plant) -> None:
        """Let a machine be a host of the fleet."""
        self.hosts[host] = plant
        plant.site.configure(
            host=host,
            **self._remotes(host),
            labels={"manager": plant.machine.manager},
            reports={
                "remote": self.server.url,
                "signing_key": self.server.signing[host].settings["user.signingkey"],
            },
            environment={**plant.machine.environment, "TMPDIR": str(self.folder)},
            **plant.machine.settings,
        )

    def _remotes(self, who: str) -> dict[str, Any]:
        trust = {
            "mode": "signed",
            "allowed_signers": f"{self.folder}/signers",
            "repository": REPOSITORY,
        }
        identity = str(self.server.identities[who])
        return {
            "policy": {"remote": self.server.url.replace("reports.git", "policy.git")},
            "trust": trust,
            "git": {"known_hosts": str(self.server.known_hosts), "identity": identity},
        }

    def console(self, who: str) -> Path:
        """Return the configuration by which somebody reads the fleet."""
        folder = self.folder / f"console-{who}"
        folder.mkdir(exist_ok=True)
        told = {
            "host": "console-01",
            **self._remotes(who),
            "reports": {"remote": self.server.url},
            "state_dir": f"{folder}/state",
            "log_dir": f"{folder}/log",
        }
        (folder / "config.yaml").write_text(json.dumps(told), encoding="utf-8")
        return folder / "config.yaml"

    def bot(self, forge: Forge) -> Path:
        """Return the configuration of the job that proposes, which may push to the policy as people do."""
        token, known = self.folder / "token", self.folder / "known hosts"
        token.write_text(f"{TOKEN}\n", encoding="utf-8")
        token.chmod(0o600)
        known.write_text(self.server.known_hosts.read_text() + self.forge.known_hosts.read_text())
        authorized = self.forge.identity.with_name("authorized")
        person = authorized.read_text(encoding="utf-8")
        of_bot = self.server.identities["publisher"].with_suffix(".pub").read_text(encoding="utf-8")
        authorized.write_text(f"{person}{person.partition('ssh-ed25519')[0]}{of_bot}", encoding="utf-8")
        told = json.loads(self.console("publisher").read_bytes())
        told |= {"state_dir": f"{self.folder}/bot", "log_dir": f"{self.folder}/bot/log"}
        told["policy"]["remote"] = f"{self.forge.url}/policy.git"
        told["git"]["known_hosts"] = str(known)
        where = {"forge": forge.kind, "api": forge.api, "repository": "ops/policy", "file": str(token)}
        file = self.folder / "bot.yaml"
        file.write_text(json.dumps({**told, "proposals": where}), encoding="utf-8")
        return file

    def tick(self, at: datetime, *hosts: str) -> dict[str, Any]:
        """Have these hosts tick, or all, and return their newest reports, which the server has."""
        for host in hosts or self.hosts:
            self.hosts[host].tick(at)
        return {host: self.report(host) for host in hosts or self.hosts}

    def on_server(self, *arguments: str) -> str:
        """Look into the report repository."""
        argv = ["git", "-C", str(self.reports), *arguments]
        return subprocess.run(
            argv, env=ENVIRONMENT, capture_output=True, text=True, check=True
        ).stdout.strip()

    def report(self, host: str) -> Any:
        """Return the newest report of a host."""
        return json.loads(self.on_server("show", f"hosts/{host}:report.json"))

    def runs(self, host: str) -> list[Any]:
        """Return the records of all runs of a host, the oldest first."""
        names = self.on_server("ls-tree", "--name-only", f"hosts/{host}", "runs/").splitlines()
        records = sorted(name for name in names if name.endswith(".json"))
        return [json.loads(self.on_server("show", f"hosts/{host}:{name}")) for name in records]

    def fetched(self, who: str) -> Path:
        """Have somebody fetch all reports by ssh, and return where they are."""
        copy = self.folder / "reports-of-a-reviewer.git"
        argv = ["git", "clone", "--quiet", "--mirror", self.server.url, str(copy)]
        if copy.exists():
            argv = ["git", "-C", str(copy), "fetch", "--quiet", "--prune"]
        subprocess.run(argv, env=self.server.as_(who), check=True)
        return copy


@contextlib.contextmanager
def change(folder: Path, hosts: Sequence[str], keys: Keys) -> Iterator[Change]:
    """Set up both servers for some hosts."""
    (folder / "fleet").mkdir()
    with (
        report_server(folder / "reports", hosts) as server,
        ssh_server(folder / "forge", server.home) as forge,
    ):
        yield Change(folder / "fleet", server, forge, keys.ssh("pub"))
