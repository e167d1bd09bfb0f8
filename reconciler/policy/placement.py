"""Tell what lies in a policy repository outside of the places that are read, and yet is policy.

What nobody reads fails open: whoever wrote a Freeze believes that it holds, and whoever wrote an Expectation
that it is tested. The rules:

- A repository may hold anything else beside its policy: texts, CI files, scripts, other programs' YAML.
  Folders of documentation and of forges are free whatever they hold: nobody means policy there to be read.
- Beside the known folders, small YAML and JSON files are looked into, whatever stands before or behind their
  suffix, and every small file where the name of the top-level folder or file is nearly a known one.
- What is found there is a document where a mapping at the top of the file, or in a list at its top, has a
  ``kind`` that is, or nearly is, one of ours and no ``apiVersion``, as the documents of Kubernetes have. In
  YAML that cannot be read a ``kind`` at the begin of a line is enough.
- A link or a submodule at the top whose name is nearly that of a folder hides what it leads to.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache

from reconciler.policy.documents import KINDS
from reconciler.policy.problems import Problem
from reconciler.policy.signers import PUBLISHERS_FILE, SIGNERS_FILE
from reconciler.policy.values import SCRIPT_NAME
from reconciler.policy.yamltext import MAX_BYTES, parse_documents
from reconciler.records import dataclass

SUFFIXES: Mapping[str, str] = {
    **{model.folder: ".yaml" for model in KINDS.values()},
    "calendars": ".ics",
    "scripts": ".sh",
    "trust": "",
}
"""The folders that are read, and how the names of the files in each must end."""

REPOSITORY_FILE = "patchledger.yaml"

EXPECTATIONS = "expectations"
"""Read by ``policy test`` alone, which refuses what it cannot read there."""

MOST_LOOKED_INTO = 1000
MOST_BYTES_LOOKED_INTO = 2 * 1024 * 1024
"""Of files outside of the known folders; those behind these bounds are told instead."""

LINK, SUBMODULE = "120000", "160000"
_FOLDERS: Mapping[str, str] = {
    **{kind: model.folder for kind, model in KINDS.items()},
    "Expectation": EXPECTATIONS,
}
_HOLDING = frozenset(("Freeze", "Exception"))
_HOLDING_FOLDERS = frozenset(KINDS[kind].folder for kind in _HOLDING)
_MARKUP = re.compile(r"\.(?:ya?ml|json)(?![a-z0-9])", re.IGNORECASE)
_KIND_LINE = re.compile(
    r"""^(?:--- +|- +|\{ *)?["']?kind["']?[ \t]*:[ \t]*["']?([A-Za-z]{1,20})""", re.MULTILINE
)
_FOREIGN_LINE = re.compile(r"""^(?:--- +|- +|\{ *)?["']?apiVersion["']?[ \t]*:""", re.MULTILINE)
_ALIKE = 0.8
_FREE = frozenset(("docs", "doc", ".github", ".gitlab", ".gitea", ".forgejo", ".circleci"))


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing says of a file.

    Attributes:
        mode: As git writes it.
        size: In bytes.
    """

    path: str
    mode: str
    size: int


@dataclass(frozen=True, slots=True)
class Misplaced:
    """Something that is policy in a place that nobody reads.

    Attributes:
        holds_back: It is, or may be, a Freeze or an Exception: ignored, it lets through what it is to stop.
    """

    problem: Problem
    holds_back: bool


def is_read(path: str) -> bool:
    """Tell whether a file lies where policy is read."""
    return path == REPOSITORY_FILE or path.partition("/")[0] in SUFFIXES


def choose(entries: Iterable[Listed]) -> tuple[list[str], str]:
    """Choose what is looked into of the files outside of the known folders, the likeliest first.

    Returns:
        Their paths, and the first that is not looked into since there are too many; empty where all are.
    """
    candidates = sorted(
        (entry for entry in entries if _may_hide(entry)),
        key=lambda entry: (not _resembled(entry.path), entry.path.count("/"), entry.path),
    )
    chosen: list[str] = []
    size = 0
    for entry in candidates:
        size += entry.size
        if len(chosen) == MOST_LOOKED_INTO or size > MOST_BYTES_LOOKED_INTO:
            return chosen, entry.path
        chosen.append(entry.path)
    return chosen, ""


def _may_hide(entry: Listed) -> bool:
    if is_read(entry.path) or entry.path.partition("/")[0] in _FREE:
        return False
    if not entry.mode.startswith("100"):
        return "/" not in entry.path and bool(_resembled(entry.path))
    name = entry.path.rpartition("/")[2]
    return 0 < entry.size <= MAX_BYTES and bool(_MARKUP.search(name) or _resembled(entry.path))


def misplaced(path: str, mode: str, data: bytes) -> Misplaced | None:
    """Judge one file that :func:`choose` chose."""
    resembled = _resembled(path)
    if mode in (LINK, SUBMODULE):
        what = "is a symbolic link" if mode == LINK else "is a submodule"
        message = f"{what} that nobody follows"
        hint = f"put the files themselves into {resembled}/"
        return Misplaced(Problem(path, 1, "", message, hint), resembled in _HOLDING_FOLDERS)
    at_home = "Expectation" if path.startswith(f"{EXPECTATIONS}/") else ""
    found = [one for one in _documents(path, data) if one[0] != at_home]
    kind, line = next((one for one in found if one[0] in _HOLDING), found[0] if found else ("", 1))
    if kind:
        message = f"is a document of kind {kind} in a place that is not read"
        problem = Problem(path, line, "kind", message, _advice(path, _FOLDERS[kind]))
        return Misplaced(problem, kind in _HOLDING)
    if resembled and _is_of(path, resembled):
        hint = f"name it {resembled}" if resembled == REPOSITORY_FILE else f"move it to {resembled}/"
        return Misplaced(Problem(path, 1, "", "is in a place that is not read", hint), holds_back=False)
    return None


def _advice(path: str, folder: str) -> str:
    stem = re.split(_MARKUP, path.rpartition("/")[2].lstrip("."))[0]
    return f"move it to {folder}/{stem or 'NAME'}.yaml"


def _is_of(path: str, resembled: str) -> bool:
    """Tell whether a file without documents is what a folder or file of nearly this name is for."""
    if resembled == REPOSITORY_FILE:
        return True
    folder, _, name = path.rpartition("/")
    match resembled if folder else "":
        case "trust":
            return f"trust/{name}" in {SIGNERS_FILE, PUBLISHERS_FILE}
        case "scripts":
            return re.fullmatch(SCRIPT_NAME, name) is not None
        case "calendars":
            return name.endswith(SUFFIXES[resembled])
        case _:
            return False


def _resembled(path: str) -> str:
    """Return the known folder, or file, that the first part of a path nearly names; empty where none."""
    top, slash, _ = path.partition("/")
    if slash and top == EXPECTATIONS:
        return ""  # It is that folder: what lies there is no likelier to be meant for another one.
    return _known_like(top if slash else re.split(_MARKUP, top)[0], is_folder=bool(slash))


@lru_cache(maxsize=4096)
def _known_like(top: str, *, is_folder: bool) -> str:
    word = top.strip("._-~ ").casefold()
    if not is_folder and word == REPOSITORY_FILE.partition(".")[0]:
        return REPOSITORY_FILE
    # There may be a hundred thousand names to judge, and comparing each with all of ours would take a minute.
    near = [one for one in _WORDS if one[:1] == word[:1] and abs(len(one) - len(word)) <= _LONGER]
    found = get_close_matches(word, near, n=1, cutoff=_ALIKE)
    return _WORDS[found[0]] if found else ""


_LONGER = 4
_WORDS: Mapping[str, str] = {
    **{folder: folder for folder in (*SUFFIXES, EXPECTATIONS)},
    **{kind.casefold(): folder for kind, folder in _FOLDERS.items()},
    "calendar": "calendars",
    "script": "scripts",
}


def _documents(path: str, data: bytes) -> Iterator[tuple[str, int]]:
    """Yield kind and line of every document of ours."""
    documents, problems = parse_documents(data, path)
    if problems:
        if _MARKUP.search(path.rpartition("/")[2]):
            yield from _lines(data.decode("utf-8", "replace"))
        return
    for document in documents:
        value = document.data
        roots = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, root in roots:
            kind = _kind_of(root)
            if kind:
                yield kind, document.line(("kind",) if index is None else (index, "kind"))


def _lines(text: str) -> Iterator[tuple[str, int]]:
    if text.lstrip()[:1] in ("{", "["):
        text = re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE)  # Only there indentation means nothing.
    if _FOREIGN_LINE.search(text):
        return
    for found in _KIND_LINE.finditer(text):
        kind = _kind_like(found[1])
        if kind:
            yield kind, text.count("\n", 0, found.start()) + 1


def _kind_of(root: object) -> str:
    if not isinstance(root, dict) or "apiVersion" in root:
        return ""
    kind = root.get("kind")
    return _kind_like(kind) if isinstance(kind, str) else ""


@lru_cache(maxsize=1024)
def _kind_like(word: str) -> str:
    kinds = {kind.casefold(): kind for kind in _FOLDERS}
    found = get_close_matches(word[:20].casefold(), kinds, n=1, cutoff=_ALIKE)
    return kinds[found[0]] if found else ""
