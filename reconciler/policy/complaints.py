"""Say in words what pydantic found wrong with a document, with what was probably meant."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reconciler.policy import advice
from reconciler.policy.problems import quoted
from reconciler.policy.values import SENTENCES

Path = tuple[str | int, ...]
Complaint = tuple[Path, str, str]
Written = Callable[[Path], str | None]


def complaints(
    model: type[BaseModel], error: ValidationError, data: object, written: Written
) -> Iterator[Complaint]:
    """Yield path, message and hint of everything in ``error``.

    Args:
        model: The model that was asked for.
        error: What it said.
        data: The document.
        written: Returns the text of a scalar as it stands in the file.
    """
    told = error.errors(include_url=False)
    if isinstance(data, dict) and "apiVersion" in data and "metadata" in data:
        yield (("apiVersion",), *advice.KUBERNETES)
        told = [one for one in told if one["type"] not in ("extra_forbidden", "missing")]
    listed = False
    for details in told:
        if details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]:
            continue  # There are enough entries; those with problems of their own were not counted.
        location = details["loc"]
        path = _place(data, location)
        if details["type"] == "extra_forbidden":
            models = _models_at(model, location[:-1])
            hint = _key_meant(str(path[-1]), models)
            if not hint and not listed:
                listed = True  # Once: the list of a Policy is long.
                hint = f"known: {', '.join(sorted(_keys_of(models)))}"
            yield path, "is not a key here", hint
        elif details["type"] == "policy":
            context = details["ctx"]
            inner = tuple(int(part) if part.isdigit() else part for part in context["key"].split(".") if part)
            yield (*path, *inner), context["message"], context["hint"]
        else:
            yield (path, *_sentence(model, details, path, written))


def _place(data: object, location: Path) -> Path:
    """Return a location as the document has it.

    That is without pydantic's markers, and without the index of a scalar that stands for a list of one.
    """
    path: list[str | int] = []
    value = data
    for part in location:
        if _is_marker(part) or (isinstance(part, int) and not isinstance(value, list)):
            continue
        path.append(part)
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
    return tuple(path)


def _is_marker(part: str | int) -> bool:
    """Tell pydantic's own parts of a location (tags of unions, ``[key]``) from keys of the document."""
    return isinstance(part, str) and (part == "[key]" or (part.startswith("<") and part.endswith(">")))


def _sentence(model: type[BaseModel], details: ErrorDetails, path: Path, written: Written) -> tuple[str, str]:
    context = details.get("ctx", {})
    value = details["input"]
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    match details["type"]:
        case "missing":
            return "is required", advice.of_missing(key)
        case "literal_error" | "enum":
            choices = re.findall(r"'([^']*)'", context["expected"])
            wanted = f"{'is not' if len(choices) == 1 else 'is not one of'} {', '.join(choices)}"
            return f"{_shown(value)} {wanted}", advice.of_value(value, choices) if isinstance(
                value, str
            ) else ""
        case "string_pattern_mismatch" if context["pattern"] in SENTENCES:
            sentence, hint = SENTENCES[context["pattern"]]
            meant = advice.of_pattern(context["pattern"], key, value)
            return meant or (f"{_shown(value)} {sentence}", hint)
        case "string_type" if isinstance(value, bool | int | float):
            return f"{_shown(value)} is not a text", advice.of_text(key, written(path) or str(value))
        case other:
            return _of_shape(model, details, key) or (_PLAIN.get(other, _fallback)(value, context), "")


def _of_shape(model: type[BaseModel], details: ErrorDetails, key: str) -> tuple[str, str] | None:
    """Return what to say where a list or a mapping should stand, or one with entries."""
    context = details.get("ctx", {})
    value = details["input"]
    match details["type"]:
        case "tuple_type":
            return f"{_shown(value)} is not a list", advice.of_list(key, value)
        case "too_short":
            counted = f"needs at least {context['min_length']}, has {context['actual_length']}"
            return counted, "" if context["actual_length"] else "name one, or leave the key out"
        case kind if kind in _OF_MAPPINGS:
            known = _keys_of(_models_at(model, details["loc"]))
            return f"{_shown(value)} is not a mapping of keys", advice.of_mapping(key, value, known)
        case "window_kind":
            return (
                "needs exactly one of start, cron, rrule and ics",
                'write one, such as `start: "Sun 02:00"`',
            )
        case _:
            return None


def _fallback(value: object, context: Mapping[str, Any]) -> str:
    del context
    return f"{_shown(value)} cannot stand here"


_PLAIN: dict[str, Callable[[object, Mapping[str, Any]], str]] = {
    "string_type": lambda value, _: f"{_shown(value)} is not a text",
    "int_type": lambda value, _: f"{_shown(value)} is not a whole number",
    "int_parsing": lambda value, _: f"{_shown(value)} is not a whole number",
    "int_from_float": lambda value, _: f"{_shown(value)} is not a whole number",
    "bool_type": lambda value, _: f"{_shown(value)} is neither true nor false",
    "bool_parsing": lambda value, _: f"{_shown(value)} is neither true nor false",
    "greater_than": lambda *_: "must be longer than zero",
    "greater_than_equal": lambda value, context: f"{_shown(value)} is less than {context['ge']}",
    "less_than_equal": lambda value, context: f"{_shown(value)} is more than {context['le']}",
}


_OF_MAPPINGS = frozenset(("dict_type", "mapping_type", "model_type", "model_attributes_type"))


def _shown(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else "this"


def _key_meant(word: str, models: set[type[BaseModel]]) -> str:
    """Return what an unknown key was probably meant as: another word, or a key of a mapping below."""
    hint = advice.of_key(word, sorted(_keys_of(models)))
    if hint:
        return hint
    below = sorted(
        field.alias or name
        for found in models
        for name, field in found.model_fields.items()
        if word in _keys_of(_models_in(field.annotation))
    )
    if not below:
        return advice.NO_COMMAND if word in ("pre", "post", "command", "script") and models else ""
    return f"it belongs below `{below[0]}:`" if len(below) == 1 else ""


def _keys_of(models: set[type[BaseModel]]) -> set[str]:
    return {field.alias or name for found in models for name, field in found.model_fields.items()}


def _models_at(model: type[BaseModel], location: Iterable[str | int]) -> set[type[BaseModel]]:
    """Return the models of a location, followed through the annotations; none where any key may stand."""
    models: set[type[BaseModel]] = {model}
    of_any_key: set[type[BaseModel]] | None = None
    for part in location:
        if isinstance(part, int):
            continue
        if _is_marker(part):
            models = {found for found in models if part[1:-1] in found.model_fields} or models
            continue
        if of_any_key is not None:
            models, of_any_key = of_any_key, None
            continue
        annotations = [
            field.annotation
            for found in models
            for name, field in found.model_fields.items()
            if (field.alias or name) == part
        ]
        models = {found for annotation in annotations for found in _models_in(annotation)}
        of_any_key = models if any(get_origin(annotation) is dict for annotation in annotations) else None
    return models if of_any_key is None else set()


def _models_in(annotation: object) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for part in get_args(annotation) for found in _models_in(part)}
