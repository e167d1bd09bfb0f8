"""A sample of all that a document may hold: every key with what it is for, its choices and its default.

It is made of the JSON Schema, so that it can lack no key. Lines that begin with ``##`` explain; those that
begin with ``#`` are keys, left as they are by default: the sample says no more than its few other lines do.
"""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.policy.conversion import inline
from reconciler.records import dataclass

_WIDTH = 100
_UNSAID = object()


@dataclass(frozen=True, slots=True)
class Sample:
    """What the schema does not say.

    Attributes:
        head: What stands above, without ``##``.
        written: Values of keys that are no comment, by their dotted place.
        examples: Values that are shown where there is no default, or a default would show no form.
        alternatives: Keys that exclude another one, with that.
    """

    head: str
    written: Mapping[str, object]
    examples: Mapping[str, object]
    alternatives: Mapping[str, str]


def sample_text(schema: Mapping[str, Any], sample: Sample) -> str:
    """Return the sample of a document that ``schema`` describes.

    Raises:
        KeyError: Neither the schema nor the sample has a value for a key.
    """
    writer = _Writer(schema.get("$defs", {}), sample)
    return "\n".join((*_explained(sample.head, ""), "", *writer.keys(schema, ""))) + "\n"


@dataclass(frozen=True, slots=True)
class _Writer:
    definitions: Mapping[str, Any]
    sample: Sample

    def keys(self, schema: Mapping[str, Any], above: str) -> Iterator[str]:
        """Yield the lines of all keys of a mapping, whose own dotted place is ``above``."""
        for key, value in _whole(schema, self.definitions).get("properties", {}).items():
            yield from self.key(value, f"{above}.{key}" if above else key)

    def key(self, value: Mapping[str, Any], place: str) -> Iterator[str]:
        """Yield the lines of one key."""
        sample, depth = self.sample, place.count(".")
        key, indent = place.rpartition(".")[2], "  " * depth
        is_written = any(one == place or one.startswith(f"{place}.") for one in sample.written)
        mark = "" if is_written else "# "
        whole = _whole(value, self.definitions)
        forms = [whole, *(_whole(one, self.definitions) for one in whole.get("anyOf", ()))]
        if place in sample.alternatives:
            yield from _explained(f"Instead of `{sample.alternatives[place]}`:", indent)
        said = value.get("description") or next(
            (one["description"] for one in forms if "description" in one), ""
        )
        yield from _explained(f"{said.strip()}{_choices(forms)}", indent)
        below = next((one for one in forms if one.get("properties")), None)
        chosen = sample.written.get(place, sample.examples.get(place, _UNSAID))
        if below is not None and chosen is _UNSAID:
            yield f"{mark}{indent}{key}:"
            yield from self.keys(below, place)
        else:
            shown = whole.get("default") if chosen is _UNSAID else chosen
            if shown is None:
                raise KeyError(place)
            yield f"{mark}{indent}{key}: {inline(shown)}"
        if not depth:
            yield ""


def _whole(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with what it refers to."""
    found = dict(schema)
    while "$ref" in found:
        found = {**definitions[found.pop("$ref").rpartition("/")[2]], **found}
    return found


def _choices(forms: list[dict[str, Any]]) -> str:
    words = [str(word) for one in forms for word in one.get("enum", ())]
    return f" One of: {', '.join(words)}." if words else ""


def _explained(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(
        text.replace("``", "`"), _WIDTH, break_long_words=False, break_on_hyphens=False
    ):
        yield f"## {indent}{line}"
