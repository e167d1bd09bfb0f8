"""Host documents from an Ansible inventory: a label for each group that a host is in.

The rules:

1. Files are read as Ansible's own plugins read them: YAML where a file is named so or looks so, else INI. Of
   YAML only what a policy may be written in counts: no anchors, no tags, no key twice.
2. A host has the label ``group/NAME: member`` of each group that it is in, through however many groups
   between. ``all`` and ``ungrouped`` say nothing.
3. No value of a variable is copied: there are secrets among them. Which variables there are is told.
4. A name that can be no host id has no document; it is told, with what is wrong.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from itertools import product
from math import prod
from string import ascii_letters

from reconciler.policy.conversion import Converted, Data, Machine
from reconciler.policy.problems import Problem, dotted, quoted
from reconciler.policy.values import HOST_NAME, LABEL_KEY, names_a_branch
from reconciler.policy.yamltext import YamlDocument, parse_documents
from reconciler.records import dataclass

MOST_HOSTS = 10_000
"""As many documents as a policy may hold."""

MOST_GROUPS = 1000
MOST_LABELS = 60_000
"""As many values as the documents of a policy may hold."""

MEMBER = "member"
"""Value of the label of a group."""

_YAML_NAMES = (".yaml", ".yml", ".json")
_LOOKS_LIKE_YAML = re.compile(r"---(?:\s|$)|\{|[\w.-]+:\s*(?:#.*)?$")
_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_NO_SECTION = re.compile(r"\[[^:\]]*\]?(?:\s|$)")
_PORT = re.compile(r"(.*[^:]|\[.*\]):[0-9]+")
_RANGE = re.compile(r"\[([0-9]{0,9}|[A-Za-z]):([0-9]{1,9}|[A-Za-z])(?::([0-9]{1,9}))?\]")
_LESS = "convert a part of it"
_LETTERS = ascii_letters
_ID = "small letters, digits, '.' and '-', at most 63"
_EVERY = frozenset({"all", "ungrouped"})
_POLICY: Data = {
    "kind": "Policy",
    "name": "base",
    "description": "Plan all updates on all hosts, change nothing.",
    "action": "plan",
}


class _UnfitError(Exception):
    """What Ansible could not read, or what is more than a policy may hold."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        self.line, self.message, self.hint = line, message, hint


@dataclass(slots=True)
class _Group:
    hosts: dict[str, None] = field(default_factory=dict)
    parents: dict[str, None] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    is_defined: bool = False


@dataclass(slots=True)
class _Variable:
    file: str
    line: int
    uses: int = 0


@dataclass(slots=True)
class _Inventory:
    """What the files say, as far as they were read."""

    file: str = ""
    hosts: dict[str, tuple[str, int]] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    variables: dict[str, _Variable] = field(default_factory=dict)
    left: list[Problem] = field(default_factory=list)
    named: int = 0

    def group(self, name: str, line: int, *, is_defined: bool = True) -> _Group:
        """Return a group, which may be new."""
        found = self.groups.setdefault(name, _Group(file=self.file, line=line))
        found.is_defined |= is_defined
        if len(self.groups) > MOST_GROUPS:
            raise _UnfitError(line, f"there are more than {MOST_GROUPS:,} groups", _LESS)
        return found

    def add(self, pattern: str, group: str, line: int) -> None:
        """Add all hosts that a pattern stands for to a group."""
        names = _expanded(pattern, line)
        self.named += len(names)
        self.hosts |= {name: (self.file, line) for name in names if name not in self.hosts}
        self.group(group, line).hosts |= dict.fromkeys(names)
        if len(self.hosts) > MOST_HOSTS or self.named > MOST_LABELS:
            raise _UnfitError(line, f"there are more than {MOST_HOSTS:,} hosts", _LESS)

    def use(self, variable: str, line: int) -> None:
        """Note down that a variable is set."""
        self.variables.setdefault(variable, _Variable(self.file, line)).uses += 1


def convert(files: Sequence[tuple[str, str]], machine: Machine) -> Converted | Problem:
    """Convert files of an inventory, each a name and its text; a later one adds to those before it.

    Returns:
        The documents, or the first mistake in the files.
    """
    del machine
    inventory = _Inventory()
    for name, text in files:
        inventory.file = name
        try:
            _read(inventory, text)
        except _UnfitError as error:
            return Problem(name, error.line, "", error.message, error.hint)
    undefined = next((item for item in inventory.groups.items() if not item[1].is_defined), None)
    if undefined is not None:
        name, group = undefined
        return Problem(group.file, group.line, "", f"there is no group {quoted(name)}", "define it")
    return _converted(inventory)


def _read(inventory: _Inventory, text: str) -> None:
    first = next((line for line in text.splitlines() if line.strip() and line[0] not in "#;"), "")
    if text.startswith("#!"):
        hint = "convert what `ansible-inventory -i FILE --list --yaml` prints"
        raise _UnfitError(1, "is a program and no inventory", hint)
    if inventory.file.endswith(_YAML_NAMES) or _LOOKS_LIKE_YAML.match(first):
        _read_yaml(inventory, text)
    else:
        _read_ini(inventory, text)


# --- INI ---------------------------------------------------------------------------------------------------


def _read_ini(inventory: _Inventory, text: str) -> None:
    group, kind = "ungrouped", "hosts"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        section = _SECTION.fullmatch(line)
        if section is not None:
            group, kind = section[1], section[2] or "hosts"
            if kind not in {"hosts", "children", "vars"}:
                raise _UnfitError(number, f"there is no section {quoted(line)}", "hosts, children or vars")
            # Variables of a group make no group: somewhere else it must be one.
            inventory.group(group, number, is_defined=kind != "vars" or group in _EVERY)
        elif _NO_SECTION.match(line):
            raise _UnfitError(number, f"{quoted(line)} is no section")
        else:
            _read_line(inventory, group, kind, line, number)


def _read_line(inventory: _Inventory, group: str, kind: str, line: str, number: int) -> None:
    if kind == "vars":
        inventory.use(line.partition("=")[0].strip(), number)
        return
    words = _words(line, number)
    if kind == "children":
        below = inventory.group(words[0], number, is_defined=words[0] in _EVERY)
        below.parents[group] = None
        return
    inventory.add(words[0], group, number)
    for word in words[1:]:
        inventory.use(word.partition("=")[0], number)


def _words(line: str, number: int) -> list[str]:
    """Return the words of a line as Ansible splits it."""
    if not set("\"'\\#").intersection(line):
        return line.split()
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise _UnfitError(number, f"{str(error).lower()} in {quoted(line)}") from error
    return words or [""]


# --- YAML --------------------------------------------------------------------------------------------------


def _read_yaml(inventory: _Inventory, text: str) -> None:
    documents, problems = parse_documents(text.encode(), inventory.file)
    data = documents[0].data if len(documents) == 1 else None
    if not isinstance(data, dict):
        told = problems[0] if problems else Problem("", 1, "", "is not one mapping of groups")
        raise _UnfitError(told.line, f"{told.path}: {told.message}" if told.path else told.message, told.hint)
    # What the strict reader steps over is told, such as a variable that is a secret of ansible-vault.
    inventory.left += problems
    # Depth is bounded by the reader.
    todo: list[tuple[_Path, object]] = [((name,), one) for name, one in data.items()]
    while todo:
        path, found = todo.pop()
        todo += _read_group(_Node(inventory, documents[0], path), found)


_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    """Somewhere in a YAML inventory."""

    inventory: _Inventory
    document: YamlDocument
    path: _Path

    @property
    def line(self) -> int:
        return self.document.line(self.path)

    @property
    def name(self) -> str:
        return self.path[-1]

    def below(self, key: str) -> "_Node":
        return _Node(self.inventory, self.document, (*self.path, key))

    def mapping(self, value: object) -> dict[str, object]:
        """Return a value that is a mapping of names; a single name may stand for itself."""
        match value:
            case None:
                return {}
            case str():
                return {value: None}
            case dict():
                return value
            case _:
                raise _UnfitError(self.line, f"{dotted(self.path)}: is not a mapping of names")


def _read_group(place: _Node, data: object) -> list[tuple[_Path, object]]:
    """Read one group; return the groups in it, with their places."""
    inventory = place.inventory
    inventory.group(place.name, place.line)
    inside: list[tuple[_Path, object]] = []
    for key, value in place.mapping(data).items():
        here = place.below(key)
        match key:
            case "hosts":
                for pattern, variables in here.mapping(value).items():
                    inventory.add(pattern, place.name, here.below(pattern).line)
                    _use(here.below(pattern), variables)
            case "vars":
                _use(here, value)
            case "children":
                for name, group in here.mapping(value).items():
                    inventory.group(name, here.below(name).line).parents[place.name] = None
                    inside.append((here.below(name).path, group))
            case _:
                said = f"is unknown to Ansible in group {quoted(place.name)}"
                inventory.left.append(Problem(inventory.file, here.line, key, said))
    return inside


def _use(place: _Node, variables: object) -> None:
    for name in place.mapping(variables):
        place.inventory.use(name, place.below(name).line)


# --- Hosts -------------------------------------------------------------------------------------------------


def _expanded(pattern: str, line: int) -> list[str]:
    """Return the hosts that a pattern such as ``web[01:50].example.org:22`` stands for, without the port."""
    port = _PORT.fullmatch(pattern)
    bare = port[1] if port is not None else pattern
    pieces = _RANGE.split(bare)
    # Of each range the expression has three groups, between which the other text stands.
    texts = pieces[::4]
    ranges = [_range(*pieces[start : start + 3], line=line) for start in range(1, len(pieces), 4)]
    if prod(map(len, ranges)) > MOST_HOSTS:
        raise _UnfitError(line, f"{quoted(pattern)} is of more than {MOST_HOSTS:,} hosts", _LESS)
    return [
        "".join(f"{text}{part}" for text, part in zip(texts, (*chosen, ""), strict=True))
        for chosen in product(*ranges)
    ]


def _range(begin: str, end: str, step: str | None, *, line: int) -> Sequence[str]:
    """Return what a range stands for, as Ansible counts: both ends included."""
    by = int(step or 1)
    begin = begin or "0"
    said = f"[{begin}:{end}]"
    if begin.isdigit() != end.isdigit():
        raise _UnfitError(line, f"the range {said} is of a number and a letter")
    width = len(begin) if begin[0] == "0" and len(begin) > 1 else 0
    if by < 1 or (width and len(end) != width):
        hint = "write both ends with as many digits, and a step from 1"
        raise _UnfitError(line, f"the range {said} is none", hint)
    first, last = (int(begin), int(end)) if begin.isdigit() else (_LETTERS.index(begin), _LETTERS.index(end))
    found = range(first, last + 1, by)
    if len(found) > MOST_HOSTS:
        raise _UnfitError(line, f"the range {said} is of more than {MOST_HOSTS:,} hosts", _LESS)
    return [f"{number:0{width}}" for number in found] if begin.isdigit() else [_LETTERS[one] for one in found]


# --- What becomes of it ------------------------------------------------------------------------------------


def _converted(inventory: _Inventory) -> Converted | Problem:
    hosts = {name: dict[str, str]() for name in inventory.hosts if _is_host_id(name)}
    above, count = _above(inventory.groups), 0
    for name, group in inventory.groups.items():
        labels = [label for each in (name, *above[name]) if (label := _label(each))]
        for host in hosts.keys() & group.hosts:
            hosts[host] |= dict.fromkeys(labels, MEMBER)
        count += len(labels) * len(group.hosts)
        if count > MOST_LABELS:
            said = f"there are more than {MOST_LABELS:,} memberships of hosts in groups"
            return Problem(group.file, group.line, name, said, _LESS)
    documents = {f"hosts/{name}.yaml": _document(name, hosts[name]) for name in sorted(hosts)}
    left = (*inventory.left, *_no_ids(inventory), *_no_labels(inventory), *_variables(inventory))
    return Converted({"policies/base.yaml": _POLICY, **documents}, tuple(sorted(left)))


def _above(groups: Mapping[str, _Group]) -> dict[str, frozenset[str]]:
    """Return all groups that each group is in, through however many between; a loop ends where it began."""
    found = {}
    for name in groups:
        seen, todo = set[str](), [name]
        while todo:
            fresh = groups[todo.pop()].parents.keys() - seen
            seen |= fresh
            todo += fresh
        found[name] = frozenset(seen - {name})
    return found


def _label(group: str) -> str:
    """Return the label of a group; empty of one that says nothing, or that can be none."""
    label = f"group/{group}"
    return "" if group in _EVERY or not re.fullmatch(LABEL_KEY, label) else label


def _is_host_id(name: str) -> bool:
    return re.fullmatch(HOST_NAME, name) is not None and names_a_branch(name)


def _document(name: str, labels: Mapping[str, str]) -> Data:
    found: Data = {"kind": "Host", "name": name}
    return {**found, "labels": dict(sorted(labels.items()))} if labels else found


def _no_ids(inventory: _Inventory) -> Iterator[Problem]:
    for name, (file, line) in inventory.hosts.items():
        if not _is_host_id(name):
            hint = f"write hosts/*.yaml with the id that it is set up with: {_ID}"
            yield Problem(file, line, "", f"{quoted(name)} is no host id, and has no document", hint)


def _no_labels(inventory: _Inventory) -> Iterator[Problem]:
    for name, group in inventory.groups.items():
        if name not in _EVERY and not _label(name):
            said = f"the group {quoted(name)} is no label's name, and no host has it"
            yield Problem(group.file, group.line, "", said, "give its hosts a label of another name")


def _variables(inventory: _Inventory) -> Iterator[Problem]:
    for name, one in inventory.variables.items():
        said = f"the variable {quoted(name)} is no label, wherever it is set (places: {one.uses:,})"
        hint = "" if name.startswith("ansible_") else "write a label where policies need it, and no secret"
        yield Problem(one.file, one.line, "", said, hint)
