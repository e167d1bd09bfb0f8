"""A policy of many signed commits that a host sees for the first time."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench, Row, rss
from benchmarks.installation import PLAN
from benchmarks.measure import Command, Sample

COMMITS = 1000
_NAME = {"patchledger.yaml": "repository: example/policy\n"}
_TRUST = "trust: {{mode: signed, allowed_signers: {signers}, repository: example/policy, floor: {floor}}}\n"
# Forgets all that the host knows, and what it has reported, so that each run is a first one.
_ANEW = """\
rm -rf "$1/state"
git -C "$1/reports.git" update-ref -d refs/heads/hosts/benchmark
exec "$2" --config "$1/config.yaml" run
"""


def first_adoption(bench: Bench) -> Iterator[Row]:
    """The first tick under a signed policy, and under the same without signatures being asked for."""
    if not Path("/usr/bin/apt-get").exists():
        bench.note("`first-adoption` needs a machine with apt")
        return
    plain, signed = (bench.installation.host(name, PLAN | _NAME).parent for name in ("plain", "signed"))
    signers = _sign(signed)
    floor = _git(signed / "policy", "rev-parse", f"HEAD~{COMMITS}")
    with (signed / "config.yaml").open("a", encoding="utf-8") as file:
        file.write(_TRUST.format(signers=signers, floor=floor))
    mine, other = (_first_run(bench, folder) for folder in (signed, plain))
    git = ("/usr/bin/git", "-C", str(signed / "policy"), "-c", f"gpg.ssh.allowedSignersFile={signers}")
    log = bench.command("git log --format=%G?", *git, "log", "--format=%G?", f"{floor}..HEAD", says="G")
    turns = bench.turns(mine, other, log)

    def each_more(one: Sample, without: Sample) -> float:
        return (one.cpu - without.cpu) * 1000 / COMMITS

    def ratio(one: Sample, without: Sample, peer: Sample) -> float:
        return (one.cpu - without.cpu) / peer.cpu

    name = "first-adoption"
    yield Row(
        name, "CPU for signatures ÷ `git log --format=%G?`", turns.each(ratio, mine, other, log), "×", 1.0
    )
    figure = f"CPU for each signed commit, of {COMMITS:,}"
    yield Row(name, figure, turns.each(each_more, mine, other), "ms", 15)
    yield Row(name, "peak RSS", turns.each(rss, mine), "MiB", 90)


def _first_run(bench: Bench, folder: Path) -> Command:
    argv = ("/bin/sh", "-c", _ANEW, "sh", str(folder), bench.installation.patchledger)
    return bench.command(f"the first run, {folder.name}", *argv, says="Committed report")


def _sign(folder: Path) -> Path:
    """Put signed commits on top of a policy, and return the list that has their key."""
    key, signers = folder / "key", folder / "signers"
    made = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    signers.write_text(
        f"ada@example.org {key.with_suffix('.pub').read_text(encoding='utf-8')}", encoding="utf-8"
    )
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "-c", "user.name=Ada")
    commit = ("-c", "user.email=ada@example.org", "commit", "-q", "-S", "--allow-empty", "-m", "change")
    for _ in range(COMMITS):
        _git(folder / "policy", *settings, *commit)
    return signers


def _git(folder: Path, *arguments: str) -> str:
    argv = ("git", "-C", str(folder), *arguments)
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
