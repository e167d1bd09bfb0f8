"""Say what holds for one host: the policies that match it, merged, with the origin of every value.

Rules:
* A setting comes from the matching Policy with the highest priority that sets it; else it has its default.
* Mappings merge key by key, lists replace.
* Two matching policies of one priority that set one setting differently are ambiguous: the setting has its
  default, both places are named, and the caller applies nothing. A policy with a higher priority that sets
  the setting ends the ambiguity.
* Neither the order of files nor that of documents matters.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import groupby
from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from reconciler.policy import windows
from reconciler.policy.documents import (
    DEFAULTS,
    Approval,
    Concurrency,
    Freeze,
    Host,
    Match,
    PackageException,
    Policy,
    RingOf,
    Settings,
)
from reconciler.policy.load import Origin, Placed, Revision
from reconciler.policy.match import HostFacts, MatchIndex, positions_of
from reconciler.policy.problems import dotted
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """One setting that policies of equal priority set differently.

    Attributes:
        key: Such as ``reboot.when``.
        message: One sentence for people that names both.
    """

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds for one host.

    Attributes:
        origins: By dotted key (``reboot.when``; ``schedule``) where the value was set; a default has none.
        policies: Name and place of every matching policy, strongest first.
        exceptions: All that match, expired ones included, sorted by name.
        freezes: All that match, sorted by name.
        approvals: All that match, expired ones included, sorted by name.
        schedules: Those of ``settings.schedule``, ready to be asked for windows.
        frozen: ``freezes``, ready to be asked.
        ambiguities: Sorted by key; while there are any, nothing may be applied.
        host: The host's own document, where it has one.
    """

    commit: str
    settings: Settings
    origins: Mapping[str, Origin]
    policies: tuple[tuple[str, Origin], ...]
    exceptions: tuple[Placed[PackageException], ...]
    freezes: tuple[Placed[Freeze], ...]
    approvals: tuple[Placed[Approval], ...]
    schedules: tuple[windows.Schedule, ...]
    frozen: tuple[windows.Freeze, ...]
    ambiguities: tuple[Ambiguity, ...]
    host: Placed[Host] | None


class HostClass(NamedTuple):
    """Which documents of a revision are about a host: a bit for each, in the order of :class:`Resolver`.

    What holds for hosts that share it is the same, but for their own Host documents.
    """

    policies: int
    freezes: int
    exceptions: int
    approvals: int


Key = tuple[str, ...]
_SETTINGS = tuple(Settings.model_fields)
C = TypeVar("C", Freeze, PackageException, Approval)


def labels_of(revision: Revision, host: HostFacts) -> Mapping[str, str]:
    """Return the labels that documents are matched with: those of the Host document beat the host's own."""
    return Resolver(revision).labels_of(host)


def resolve(revision: Revision, host: HostFacts) -> Effective:
    """Say what holds for one host; for many hosts of one revision use a :class:`Resolver`."""
    return Resolver(revision).resolve(host)


def flat_settings(settings: Settings) -> Iterator[tuple[str, object]]:
    """Yield every setting with its dotted key and its value as plain JSON data."""
    yield from _flat(settings.model_dump(mode="json"), "")


def _flat(settings: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def shown_value(value: object) -> str:
    """Write a value that :func:`flat_settings` yields for people."""
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, list):
        return ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    return str(value)


def settings_of(policy: Policy) -> dict[Key, object]:
    """Return what a policy sets, by key; nested mappings give one key for each of their own."""
    leaves: dict[Key, object] = {}
    for name in _SETTINGS:
        value = getattr(policy, name)
        if isinstance(value, BaseModel):
            written = _written(type(value))
            leaves.update({(name, written[key]): getattr(value, key) for key in value.model_fields_set})
        elif isinstance(value, Mapping):
            leaves.update({(name, key): item for key, item in value.items()})
        elif value is not None:
            leaves[name,] = value
    return leaves


def _written(model: type[BaseModel]) -> dict[str, str]:
    """Return what people write for each key of a nested mapping, where Python keeps the word for itself."""
    return {key: field.alias or key for key, field in model.model_fields.items()}


@dataclass(frozen=True, slots=True)
class _Layer:
    """A policy taken apart, once for all hosts."""

    placed: Placed[Policy]
    leaves: Mapping[Key, object]


@dataclass(slots=True)
class _Merge:
    """What the policies seen so far, strongest first, have decided."""

    values: dict[Key, object] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    ambiguities: list[Ambiguity] = field(default_factory=list)
    decided: set[Key] = field(default_factory=set)

    def add(self, layers: Sequence[_Layer]) -> None:
        """Merge all policies of one priority."""
        # A stronger priority settled the others, be it by an ambiguity: that is not for a weaker one to hide.
        for key in {key for layer in layers for key in layer.leaves} - self.decided:
            self.decided.add(key)
            setters = [layer for layer in layers if key in layer.leaves]
            first = setters[0]
            other = next((one for one in setters if one.leaves[key] != first.leaves[key]), None)
            if other is None:
                self.values[key] = first.leaves[key]
                self.origins[dotted(key)] = first.placed.origin_of(key)
            else:
                self.ambiguities.append(_ambiguity(key, first, other))

    def settings(self) -> Settings:
        nested: dict[str, dict[str, object]] = {}
        flat: dict[str, object] = {}
        for key, value in self.values.items():
            if len(key) == 1:
                flat[key[0]] = value
            else:
                nested.setdefault(key[0], {})[key[1]] = value
        flat.update({name: _merged(name, values) for name, values in nested.items()})
        return DEFAULTS.model_copy(update=flat)


def _merged(name: str, values: Mapping[str, object]) -> object:
    default = getattr(DEFAULTS, name)
    if isinstance(default, BaseModel):
        written = _written(type(default))
        return default.model_copy(
            update={key: values[word] for key, word in written.items() if word in values}
        )
    if isinstance(default, Mapping):
        return {**default, **dict(sorted(values.items()))}
    model = _OPTIONAL[name]
    if values.keys() < model.model_fields.keys():
        return None  # One of its keys is ambiguous; without it the rest means nothing.
    return model.model_construct(None, **values)


_OPTIONAL: dict[str, type[BaseModel]] = {"concurrency": Concurrency, "rollout": RingOf}


def _ambiguity(key: Key, first: _Layer, second: _Layer) -> Ambiguity:
    places = first.placed.origin_of(key), second.placed.origin_of(key)
    names = first.placed.value.name, second.placed.value.name
    message = (
        f"Policy {names[0]} ({places[0]}) and Policy {names[1]} ({places[1]}) both have priority"
        f" {first.placed.value.priority} and set {dotted(key)} differently"
    )
    return Ambiguity(dotted(key), message)


class _Selection(Generic[C]):
    """Documents of one kind that are selected by match and not merged."""

    def __init__(self, placed: tuple[Placed[C], ...]) -> None:
        self._placed: tuple[Placed[C], ...] = placed
        self._index = MatchIndex([one.value.match for one in placed])

    def about(self, host: HostFacts, labels: Mapping[str, str]) -> int:
        """Return which are about a host: a bit for each."""
        return self._index.bits(host, labels)

    def where(self, selects: Callable[[Match], bool | None]) -> int:
        """Return a bit for each of whose match ``selects`` says so."""
        return _bits(selects(one.value.match) for one in self._placed)

    @property
    def everything(self) -> int:
        """A bit for each of them."""
        return (1 << len(self._placed)) - 1

    def of(self, bits: int) -> tuple[Placed[C], ...]:
        """Return those whose bits are set, in their order."""
        return tuple(self._placed[position] for position in positions_of(bits))


def _bits(answers: Iterable[bool | None]) -> int:
    return sum(1 << position for position, answer in enumerate(answers) if answer)


class Resolver:
    """Answers for many hosts of one revision; what does not depend on the host is worked out once."""

    def __init__(self, revision: Revision) -> None:
        self._revision = revision
        ordered = sorted(revision.policies, key=lambda one: (-one.value.priority, one.value.name))
        self._layers = [_Layer(placed, settings_of(placed.value)) for placed in ordered]
        self._index = MatchIndex([placed.value.match for placed in ordered])
        self._freezes = _Selection(revision.freezes)
        self._exceptions = _Selection(revision.exceptions)
        self._approvals = _Selection(revision.approvals)
        self._hosts = {placed.value.name: placed for placed in revision.hosts}
        self._schedules = {placed.value.name: placed for placed in revision.schedules}
        self._compiled: dict[str, windows.Schedule] = {}
        self._known: dict[HostClass, Effective] = {}

    def labels_of(self, host: HostFacts) -> Mapping[str, str]:
        """Return the labels that documents are matched with, as :func:`labels_of` does."""
        known = self._host(host)
        return {**host.labels, **known.value.labels} if known else host.labels

    def _host(self, host: HostFacts) -> Placed[Host] | None:
        # A guest may bear the name of a host, and is another machine.
        return self._hosts.get(host.target)

    def class_of(self, host: HostFacts) -> HostClass:
        """Return which documents are about a host."""
        labels = self.labels_of(host)
        return HostClass(
            self._index.bits(host, labels),
            self._freezes.about(host, labels),
            self._exceptions.about(host, labels),
            self._approvals.about(host, labels),
        )

    def class_where(self, selects: Callable[[Match], bool | None]) -> HostClass:
        """Return the class of a host that those documents are about of whose match ``selects`` says so."""
        policies = _bits(selects(layer.placed.value.match) for layer in self._layers)
        selections = self._freezes, self._exceptions, self._approvals
        freezes, exceptions, approvals = (one.where(selects) for one in selections)
        return HostClass(policies, freezes, exceptions, approvals)

    def resolve(self, host: HostFacts) -> Effective:
        """Say what holds for one host."""
        return replace(self.of_class(self.class_of(host)), host=self._host(host))

    def of_class(self, kind: HostClass) -> Effective:
        """Say what holds for the hosts of a class, their own Host documents left aside."""
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = self._resolved(kind)
        return known

    def _resolved(self, kind: HostClass) -> Effective:
        matching = [self._layers[position] for position in positions_of(kind.policies)]
        merge = _Merge()
        for _, layers in groupby(matching, key=lambda layer: layer.placed.value.priority):
            merge.add(list(layers))
        settings = merge.settings()
        freezes = self._freezes.of(kind.freezes)
        return Effective(
            commit=self._revision.commit,
            settings=settings,
            origins=dict(sorted(merge.origins.items())),
            policies=tuple((layer.placed.value.name, layer.placed.origin) for layer in matching),
            exceptions=self._exceptions.of(kind.exceptions),
            freezes=freezes,
            approvals=self._approvals.of(kind.approvals),
            schedules=tuple(self._schedule(name) for name in settings.schedule),
            frozen=tuple(placed.value.compiled(str(placed.origin)) for placed in freezes),
            ambiguities=tuple(sorted(merge.ambiguities, key=lambda one: one.key)),
            host=None,
        )

    @property
    def everything(self) -> HostClass:
        """The class that all documents would be about."""
        selections = self._freezes, self._exceptions, self._approvals
        freezes, exceptions, approvals = (one.everything for one in selections)
        return HostClass((1 << len(self._layers)) - 1, freezes, exceptions, approvals)

    def documents(self, kind: HostClass) -> tuple[Placed[Policy | Freeze | PackageException | Approval], ...]:
        """Return the documents that are about the hosts of a class, by kind and in their order."""
        return (
            *(self._layers[position].placed for position in positions_of(kind.policies)),
            *self._freezes.of(kind.freezes),
            *self._exceptions.of(kind.exceptions),
            *self._approvals.of(kind.approvals),
        )

    def _schedule(self, name: str) -> windows.Schedule:
        if name not in self._compiled:
            self._compiled[name] = self._schedules[name].value.compiled(self._revision.events)
        return self._compiled[name]
