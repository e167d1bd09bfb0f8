"""Programs that fail on purpose: each call that a patch script makes of any program, in turn.

    saboteur = Saboteur(folder, script, ("--observe",), lab.environment)
    saboteur.calls                          # which programs it calls
    saboteur.run(Fault("awk", 3, "killed")) # what it says where the third awk is killed
    saboteur.overlooked()                   # the faults that the script took for an answer

A fault is *noticed* where the script ends with another code, where it says the very same, or where every
section that differs tells by its own code that it failed, or by that of one that only explains and is what it
comes of. In all other cases it is overlooked: what is different then is an answer that nobody gave.
"""

import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from reconciler.managers.scripts import PatchScript
from reconciler.process import BASE_PATH
from reconciler.targets.local import LocalTarget

Way = Literal["killed", "cut"]
"""Ended before it says a word, or in the middle of what it says; with 137, as ``kill -9`` ends it."""

WAYS: tuple[Way, ...] = ("killed", "cut")

TIMEOUT = 300.0

_WORD = re.compile(r"[a-z][a-z0-9_.-]+")
_PRIVATE = re.compile(r"/\S*/patchledger\.[\w.]+")
_NUMBERS = re.compile(r"\d+")
_AGE = re.compile(r"\b(?:\d+ days?, )?\d+:\d{2}:\d{2} ago\b")
"""How long ago the metadata was fetched: two questions within one second show that as if it stood still."""
_SHELLS = frozenset({"sh", "dash", "bash", "busybox"})
_OF_THE_MOMENT = frozenset({"[filesystems]"})
"""What others on the machine change at any time, so that numbers in it tell nothing of a fault."""
_COMES_OF = {"[available]": ("[successors]", "[obsoleters]"), "[vendors]": ("[obsoleters]",)}
"""Where one of those, which only explain, has no answer, the other one tells less."""
_CHANGES_FILES = frozenset({"cp", "ln", "mkdir", "mktemp", "mv", "rm", "touch"})

# A call is known by its arguments, but for the name of the private folder.
_COUNTED = """\
#!/bin/sh
echo {name} $(printf '%s\\n' "$@" | /bin/sed 's/patchledger[.][A-Za-z0-9.]*//g' | /usr/bin/cksum) >>{log}
exec {real} "$@"
"""

# Calls beside one another, as in a pipe, must not take the same number: the one that makes the file has it,
# in a shell of its own, since dash ends where ":" cannot be redirected.
_FAILING = """\
#!/bin/sh
set -C
n=1
until ( : >{counted}/$n ) 2>/dev/null; do n=$((n + 1)); done
[ $n -eq {number} ] || exec {real} "$@"
{end}
exit 137
"""

_CUT = """\
{real} "$@" >{counted}/said
/usr/bin/head -c $(($(/usr/bin/wc -c <{counted}/said) / 2)) {counted}/said"""

# What differs between two calls of ours is the name of the private folder alone. The stub's own tools are
# called by their paths, since they are not what is to fail.
_REMEMBERING = """\
#!/bin/sh
called=$(printf '%s\\n' "$@" | /bin/sed 's/patchledger[.][A-Za-z0-9.]*//g' | /usr/bin/sha256sum)
key={memory}/${{called%% *}}
[ -e "$key.code" ] || {{
    {real} "$@" >"$key.$$" 2>"$key.err.$$"
    code=$?
    /bin/mv "$key.$$" "$key"
    /bin/mv "$key.err.$$" "$key.err"
    echo "$code" >"$key.code"
}}
/bin/cat "$key"
/bin/cat "$key.err" >&2
exit "$(/bin/cat "$key.code")"
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: the how-manieth call of a program, from 1, and how it ends."""

    program: str
    number: int
    way: Way


@dataclass(frozen=True, slots=True)
class Said:
    """What a script said: its exit code, and the lines of its sections, the section's own code the last."""

    code: int
    sections: Mapping[str, tuple[str, ...]]


class Saboteur:
    """Runs one question of a patch script, whole or with a fault.

    Args:
        folder: An empty folder of its own.
        script: The script.
        arguments: The question.
        environment: What the script needs in its environment.
        remembered: Slow programs that change nothing and answer the same to the same arguments. They are
            asked once, and anew where a fault concerns the files that they read.
        broken: Calls that need not fail once more: they did in another question.
        forgotten: Files and folders that the script keeps for later, taken away before each run: so what it
            takes to make them can fail, too.
    """

    def __init__(
        self,
        folder: Path,
        script: PatchScript,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        remembered: Sequence[str] = (),
        broken: Collection[tuple[str, str]] = (),
        forgotten: Sequence[Path] = (),
    ) -> None:
        self._folder = folder
        self._script = script
        self._arguments = tuple(arguments)
        self._environment = {**environment, "TMPDIR": str(self._made("work"))}
        self._broken = broken
        self._forgotten = forgotten
        self._memory = self._made("memory")
        self._remembering = self._made("remembering")
        for name in remembered:
            _put(self._remembering / name, _REMEMBERING, real=_found(name), memory=self._memory)

    @cached_property
    def calls(self) -> tuple[tuple[str, str], ...]:
        """Every call in order: the program, and what tells its arguments apart from others."""
        stubs, log = self._made("counted"), self._folder / "calls"
        log.unlink(missing_ok=True)
        for name in sorted(set(_WORD.findall(self._script.content.decode())) - _SHELLS):
            if real := _found(name):
                _put(stubs / name, _COUNTED, name=name, log=log, real=real)
        self._say(stubs)
        lines = (line.partition(" ") for line in log.read_text().splitlines())
        return tuple((name, arguments) for name, _, arguments in lines)

    @cached_property
    def usual(self) -> tuple[Said, Said]:
        """What it says without a fault, twice: what differs between them does so by itself."""
        return self._say(self._remembering), self._say()

    def faults(self) -> Iterator[Fault]:
        """Yield a fault for every call that is not the same as one before it, of both kinds in turn."""
        seen = set(self._broken)
        numbers: Counter[str] = Counter()
        for call in self.calls:
            numbers[call[0]] += 1
            if call not in seen:
                yield Fault(call[0], numbers[call[0]], WAYS[len(seen) % len(WAYS)])
                seen.add(call)

    def run(self, fault: Fault) -> Said:
        """Return what the script says where a call fails."""
        stubs = self._made("failing")
        counted = self._made("number")
        for old in (*stubs.iterdir(), *counted.iterdir()):
            old.unlink()
        is_remembered = (self._remembering / fault.program).exists()
        real = str(self._remembering / fault.program) if is_remembered else _found(fault.program)
        end = (
            _CUT.format(real=shlex.quote(real), counted=shlex.quote(str(counted)))
            if fault.way == "cut"
            else ""
        )
        stub = stubs / fault.program
        _put(stub, _FAILING, counted=counted, number=fault.number, real=real, end=end)
        return self._say(stubs, *(() if fault.program in _CHANGES_FILES else (self._remembering,)))

    def overlooked(self) -> list[Fault]:
        """Return the faults that the script does not notice."""
        return [fault for fault in self.faults() if not self._is_noticed(self.run(fault))]

    def _is_noticed(self, said: Said) -> bool:
        first, second = self.usual
        if said.code != first.code:
            return True
        for name in first.sections.keys() | said.sections.keys():
            seen, usual = said.sections.get(name, ()), first.sections.get(name, ())
            is_restless = name in _OF_THE_MOMENT or usual != second.sections.get(name, ())
            is_same = _shape(seen) == _shape(usual) if is_restless else seen == usual
            causes = (said.sections.get(cause, ()) for cause in _COMES_OF.get(name, ()))
            ends = {*seen[-1:], *(line for cause in causes for line in cause[-1:])}
            if not is_same and ends <= {"= 0"}:
                return False
        return True

    def _say(self, *folders: Path) -> Said:
        for kept in self._forgotten:
            if kept.is_dir():
                shutil.rmtree(kept)
            else:
                kept.unlink(missing_ok=True)
        path = ":".join((*map(str, folders), BASE_PATH))
        target = LocalTarget({**self._environment, "PATH": path})
        done = target.run(self._script.content, self._script.name, self._arguments, timeout=TIMEOUT)
        assert not done.timed_out, "the script does not end"
        return Said(done.returncode, dict(_sections(_AGE.sub("# ago", _PRIVATE.sub("#", done.text)))))

    def _made(self, name: str) -> Path:
        path = self._folder / name
        path.mkdir(exist_ok=True)
        return path


def _found(name: str) -> str:
    """Return the file of a program, empty where there is none."""
    places = (Path(folder) / name for folder in BASE_PATH.split(":"))
    return next((str(place) for place in places if os.access(place, os.X_OK) and place.is_file()), "")


def _put(path: Path, text: str, **values: object) -> None:
    path.write_text(text.format(**{key: _quoted(key, value) for key, value in values.items()}))
    path.chmod(0o755)


def _quoted(key: str, value: object) -> str:
    return str(value) if key == "end" else shlex.quote(str(value))


def _sections(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    name, lines = "", list[str]()
    for line in text.split("\n"):
        if line.startswith("["):
            yield name, tuple(lines)
            name, lines = line, []
        else:
            lines.append(line)
        if line.startswith("= "):
            yield name, tuple(lines)
            name, lines = "", []
    yield "the end", tuple(lines)


def _shape(lines: Sequence[str]) -> list[str]:
    return sorted(_NUMBERS.sub("#", line) for line in lines)
