"""Draw the structure of the program in figures, for one or more revisions side by side.

Usage: python scripts/structure.py [REVISION ...]   (default: the files as they are)

A *room* is a package; an *arrow* says that something in one room imports something of another. Inside of
planning, arrows are counted between its rooms, or between its modules where it has none. *Twins* are class
names that exist twice, *copies* pairs of functions of four lines or more that do the same.
"""

import ast
import io
import subprocess  # noqa: TID251 - a tool of ours
import sys
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median, quantiles

_TOP = "reconciler"
_LONG = 35
_SHORTEST_COPY = 4


@dataclass(frozen=True, slots=True)
class Module:
    """A module with its dotted name below ``reconciler`` and whether it is a package's ``__init__``."""

    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The package that it lies in, empty at the top."""
        return self.name.rpartition(".")[0]


def read(revision: str | None) -> list[Module]:
    """Return the modules of a revision, or of the files as they are."""
    return [
        Module(name.removesuffix(".py").replace("/", "."), text, ast.parse(text))
        for name, text in sorted(_files(revision).items())
    ]


def _files(revision: str | None) -> Mapping[str, str]:
    if revision is None:
        top = Path(__file__).parent.parent / _TOP
        return {str(path.relative_to(top)): path.read_text(encoding="utf-8") for path in top.rglob("*.py")}
    archive = ["git", "archive", revision, _TOP]
    done = subprocess.run(archive, check=False, capture_output=True)
    if done.returncode or revision.startswith("-"):
        raise SystemExit(f"structure.py: there is no revision {revision} (give commits, or nothing)")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        members = [member for member in tar if member.name.endswith(".py")]
        return {
            member.name.removeprefix(f"{_TOP}/"): file.read().decode()
            for member in members
            if (file := tar.extractfile(member)) is not None
        }


def figures(modules: list[Module]) -> dict[str, str]:
    """Return what there is to say of a revision, by what it is called."""
    lengths = [node.end_lineno - node.lineno + 1 for node in _functions(modules) if node.end_lineno]
    twins = Counter(
        node.name for module in modules for node in module.tree.body if isinstance(node, ast.ClassDef)
    )
    return {
        **_lines(modules),
        "modules": str(len(modules)),
        "rooms": str(len({module.room for module in modules})),
        "arrows between rooms": str(len(arrows(modules, ""))),
        "modules or rooms right inside planning": str(len(_parts(modules, "planning."))),
        "arrows between them": str(len(arrows(modules, "planning."))),
        "functions": str(len(lengths)),
        "their lines: median, p90, max": ", ".join(f"{one:.0f}" for one in _spread(lengths)),
        f"functions of more than {_LONG} lines": str(sum(length > _LONG for length in lengths)),
        "of these without signature and docstring": str(
            sum(_body(one) > _LONG for one in _functions(modules))
        ),
        "class names that exist twice": str(sum(count > 1 for count in twins.values())),
        "copies": str(len(_copies(modules))),
        "lines with noqa": str(sum(module.text.count("# noqa") for module in modules)),
        "comments, % of lines": f"{_comments(modules):.1f}",
        "docstrings, also of names, % of lines": f"{_docstrings(modules):.1f}",
    }


def _spread(lengths: list[int]) -> tuple[float, float, int]:
    return median(lengths), quantiles(lengths, n=10)[-1], max(lengths)


def _lines(modules: list[Module]) -> dict[str, str]:
    lines: Counter[str] = Counter()
    for module in modules:
        lines[module.name.partition(".")[0] if "." in module.name else "at the top"] += module.text.count(
            "\n"
        )
    whole = {"lines": str(sum(lines.values()))}
    return whole | {f"lines of {name}": str(count) for name, count in sorted(lines.items())}


def _comments(modules: list[Module]) -> float:
    lines = [line.strip() for module in modules for line in module.text.splitlines()]
    return 100 * sum(line.startswith("#") or "  # " in line for line in lines) / len(lines)


def _docstrings(modules: list[Module]) -> float:
    texts = (
        node
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
    lines = sum((text.end_lineno or 0) - text.lineno + 1 for text in texts)
    return 100 * lines / sum(len(module.text.splitlines()) for module in modules)


def _parts(modules: list[Module], below: str) -> set[str]:
    inside = (module.name.removeprefix(below) for module in modules if module.name.startswith(below))
    return {name.partition(".")[0] for name in inside} - {"__init__"}


def arrows(modules: list[Module], below: str) -> set[tuple[str, str]]:
    """Return who imports whom, between packages or between the parts right inside of one (``planning.``)."""
    names = {module.name for module in modules}
    found = set()
    for module in modules:
        for imported in _imports(module, names):
            ends = tuple(_part(name, below) for name in (module.name, imported))
            if all(ends) and ends[0] != ends[1]:
                found.add((ends[0], ends[1]))
    return found


def _part(name: str, below: str) -> str:
    if below:
        return name.removeprefix(below).partition(".")[0] if name.startswith(below) else ""
    return name.rpartition(".")[0]


def _imports(module: Module, names: set[str]) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_TOP}."):
            base = (node.module or "").removeprefix(f"{_TOP}.")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in names else base


def _functions(modules: list[Module]) -> Iterator[ast.FunctionDef]:
    for module in modules:
        yield from (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))


def _body(function: ast.FunctionDef) -> int:
    first = function.body[1:2] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - first[0].lineno + 1 if first else 0


def _copies(modules: list[Module]) -> list[tuple[str, str]]:
    by_body = defaultdict(list)
    for function in _functions(modules):
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        if body and (body[-1].end_lineno or 0) - body[0].lineno + 1 >= _SHORTEST_COPY:
            by_body[ast.dump(ast.Module(body, []))].append(function.name)
    return [pair for names in by_body.values() for pair in combinations(names, 2)]


def main(revisions: list[str]) -> None:
    """Print the figures as a Markdown table, a column for each revision."""
    columns = [figures(read(revision)) for revision in revisions] or [figures(read(None))]
    rows = list(dict.fromkeys(name for column in columns for name in column))
    print("|  | " + " | ".join(revisions or ["as it is"]) + " |")  # noqa: T201 - this is what it is for
    print("|---|" + "---:|" * len(columns))  # noqa: T201 - the same
    for name in rows:
        print(f"| {name} | " + " | ".join(column.get(name, "") for column in columns) + " |")  # noqa: T201 - the same


if __name__ == "__main__":
    main(sys.argv[1:])
