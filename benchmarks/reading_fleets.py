"""``fleet publish`` and ``fleet status`` on ten thousand generated hosts."""

from collections.abc import Iterator

from benchmarks.bench import Bench, Row
from benchmarks.fleets import Fleet, public_line, signed_by
from benchmarks.measure import Sample, Spread, measure

HOSTS, OTHERS, CHANGED = 10_000, 4_000, 100
_TURNS = 5
_SIGNATURES = 100
_BEATING, _DAYS, _WEEK = 20, 90, 7
# Runs the command inside an interpreter that tells its own time from that of the processes it starts.
SPLIT = """\
import resource, sys
from reconciler.cli import main
code = main(sys.argv[1:])
own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(f"\\nsplit {own.ru_utime + own.ru_stime} {others.ru_utime + others.ru_stime}")
sys.exit(code)
"""
_VERIFY = """\
for one in $(seq "$4"); do ssh-keygen -q -Y verify -n git -I host -f "$1" -s "$2" < "$3"; done
echo verified
"""


def fleet(bench: Bench) -> Iterator[Row]:
    """Read ten thousand hosts for the first time, then with a hundred that are new, then with none."""
    folder = bench.installation.folder / "fleet"
    folder.mkdir()
    made = Fleet.create(folder, HOSTS, OTHERS)
    config = str(made.configuration())
    publish = ("--config", config, "fleet", "publish", "--signing-key", str(folder / "publisher"))
    cold = bench.command("first publish", bench.installation.patchledger, *publish, says=f"{HOSTS} targets")
    first = measure(cold, bench.output)
    signature = _one_signature(bench, made)
    yield _row(
        "first publish: CPU for each host, without its signature",
        (first.cpu / HOSTS - signature) * 1000,
        "ms",
    )
    yield _row("first publish: peak RSS of one process", first.rss, "MiB")
    changed = [_after(bench, made, publish, turn) for turn in range(_TURNS)]
    less = [(own, others - CHANGED * signature) for own, others in changed]
    yield Row("fleet", f"publish, {CHANGED} changed: own CPU", Spread.of([own for own, _ in less]), "s", 0.5)
    others = Spread.of([children for _, children in less])
    yield Row("fleet", f"publish, {CHANGED} changed: CPU of children without signatures", others, "s", 1.5)
    same = [_split(bench, publish, "nothing new since") for _ in range(_TURNS)]
    yield Row("fleet", "publish, none changed: own CPU", Spread.of([own for own, _ in same]), "s")
    yield Row("fleet", "publish, none changed: CPU of children", Spread.of([other for _, other in same]), "s")
    status = bench.command(
        "fleet status", bench.installation.patchledger, "--config", config, "fleet", "status", says="targets"
    )
    yield Row("fleet", "status: CPU", bench.turns(status, runs=_TURNS).each(_cpu, status), "s", 1.0)


def heartbeats(bench: Bench) -> Iterator[Row]:
    """Have hosts report for ninety days: a heartbeat each day, and once a week a report that is new."""
    folder = bench.installation.folder / "heartbeats"
    folder.mkdir()
    made = Fleet.create(folder, _BEATING, _BEATING)
    began = made.packed()
    for day in range(_DAYS):
        if day % _WEEK == _WEEK - 1:
            made.report(made.hosts, _BEATING, note=f" ({day})")
        else:
            made.beat(made.hosts)
    each = (made.packed() - began) / (_BEATING * _DAYS)
    yield Row("heartbeats", "packed, for each day of a host", Spread.of([each]), "bytes", 1024)


def _after(bench: Bench, made: Fleet, publish: tuple[str, ...], turn: int) -> tuple[float, float]:
    hosts = made.hosts[turn * CHANGED : (turn + 1) * CHANGED]
    made.report(hosts, note=f" ({turn})")
    return _split(bench, publish, "published")


def _split(bench: Bench, arguments: tuple[str, ...], says: str) -> tuple[float, float]:
    """Run a command of ours, and return its own seconds of CPU and those of its children."""
    python = str(bench.installation.python)
    measure(bench.command("split", python, "-I", "-c", SPLIT, *arguments, says=says), bench.output)
    _, own, others = bench.output.read_text(encoding="utf-8").split()[-3:]
    return float(own), float(others)


def _one_signature(bench: Bench, made: Fleet) -> float:
    """Return the seconds of CPU that one signature takes to be verified."""
    text, signers = made.folder / "text", made.folder / "signers"
    text.write_bytes(b"a report\n")
    signers.write_text(f"host {public_line(made.hosts[0])}\n", encoding="utf-8")
    signature = text.with_suffix(".sig")
    signature.write_bytes(signed_by(made.hosts[0], text.read_bytes()) + b"\n")
    arguments = (str(signers), str(signature), str(text), str(_SIGNATURES))
    argv = ("/bin/sh", "-c", _VERIFY, "sh", *arguments)
    return measure(bench.command("ssh-keygen", *argv, says="verified"), bench.output).cpu / _SIGNATURES


def _cpu(sample: Sample) -> float:
    return sample.cpu


def _row(figure: str, value: float, unit: str) -> Row:
    return Row("fleet", figure, Spread.of([value]), unit)
