"""What is measured: a wheel installed in a throw-away environment, as users have it, and a host's folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OLDEST = (3, 11)

_CONFIG = """\
host: benchmark
labels: {{env: test}}
policy: {{remote: "file://{folder}/policy", ref: main}}
reports: {{remote: "file://{folder}/reports.git"}}
state_dir: {folder}/state
log_dir: {folder}/log
"""
# Metadata are never due, so that nothing is refreshed while measuring; nothing is applied either.
_PLAN = """\
kind: Policy
name: everything
updates: all
action: plan
upgrade: full
removals: allow
refresh: {every: 520w, stale_after: 520w}
"""
PLAN = {"policies/everything.yaml": _PLAN}


@dataclass(frozen=True, slots=True)
class Installation:
    """Where everything is.

    Attributes:
        interpreter: The Python that the environment was made from.
        venv: The environment.
        folder: For inputs and outputs.
    """

    interpreter: Path
    venv: Path
    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Installation":
        """Build the wheel of this checkout and install it below ``folder``."""
        made = cls(_interpreter(), folder / "venv", folder)
        _run(str(made.interpreter), "-m", "venv", str(made.venv))
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(str(made.python), *pip, "--constraint", str(ROOT / "constraints.txt"), str(ROOT))
        return made

    def apart(self, name: str) -> "Installation":
        """Return the same installation with a new folder for one benchmark."""
        folder = self.folder / name
        folder.mkdir()
        return replace(self, folder=folder)

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return self.venv / "bin/python"

    @property
    def patchledger(self) -> str:
        """The installed command."""
        return str(self.venv / "bin/patchledger")

    @property
    def env(self) -> dict[str, str]:
        """What measured processes get."""
        return {"PATH": PATH, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def host(self, name: str = "host", policy: Mapping[str, str] = PLAN, settings: str = "") -> Path:
        """Make the repositories and the configuration of one host, and return the configuration.

        Args:
            name: Of its folder.
            policy: The documents of its policy by their path.
            settings: More lines of its configuration.
        """
        folder = self.folder / name
        _write(folder / "policy", policy)
        _run("git", "init", "--quiet", "--initial-branch=main", str(folder / "policy"))
        _commit(folder / "policy")
        _run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder / "reports.git"))
        config = folder / "config.yaml"
        config.write_text(_CONFIG.format(folder=folder) + settings, encoding="utf-8")
        config.chmod(0o600)
        return config

    def next_policy(self, config: Path, branch: str, policy: Mapping[str, str]) -> None:
        """Commit another policy to a branch of the repository that :meth:`host` made."""
        folder = config.parent / "policy"
        _run("git", "-C", str(folder), "checkout", "--quiet", "-b", branch)
        _write(folder, policy)
        _commit(folder)

    def usual_apt(self) -> Path:
        """Set apt up as Debian installs it, beside the machine's own way, and return the file for APT_CONFIG.

        Container images keep package lists compressed and no package cache. Here the lists are this
        machine's, uncompressed, and the cache is in a folder of its own.
        """
        folder = self.folder / "usual-apt"
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        for source in sorted(Path("/var/lib/apt/lists").glob("*_*")):
            plain = source.with_suffix("") if source.suffix in {".lz4", ".gz", ".xz", ".zst"} else source
            shown = subprocess.run(
                ["/usr/lib/apt/apt-helper", "cat-file", source], capture_output=True, check=True
            )
            copy = lists / plain.name
            copy.write_bytes(shown.stdout)
            found = source.stat()
            os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
        config = folder / "apt.conf"
        caches = "".join(
            f'Dir::Cache::{name} "{folder}/{name}.bin";\n' for name in ("pkgcache", "srcpkgcache")
        )
        config.write_text(
            f'Dir::State::lists "{lists}/";\nAcquire::GzipIndexes "false";\n{caches}', encoding="utf-8"
        )
        return config


def _interpreter() -> Path:
    """Return the distribution's Python where it is new enough, since it starts fastest, else this one."""
    system = Path("/usr/bin/python3")
    newer = f"import sys, ensurepip; sys.exit(sys.version_info < {_OLDEST})"
    if system.exists() and not subprocess.run([system, "-c", newer], check=False).returncode:
        return system.resolve()
    return Path(sys.base_prefix, "bin/python3").resolve()


def _write(folder: Path, documents: Mapping[str, str]) -> None:
    for path, document in documents.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document, encoding="utf-8")


def _commit(repository: Path) -> None:
    author = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org")
    _run("git", "-C", str(repository), "add", "--all")
    _run("git", "-C", str(repository), *author, "commit", "--quiet", "--message=Everything")


def _run(*argv: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shutil.which(argv[0]) or argv[0]} failed: {done.stderr.strip()}")
