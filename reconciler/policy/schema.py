"""JSON Schemas of the policy language, for editors and for continuous integration elsewhere.

They say what can be said of one document alone: ``policy check`` knows more. The committed files under
``schemas/`` are exactly what this module makes.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from reconciler.policy.documents import KINDS, Approval, Document, Policy, Repository, Settings
from reconciler.policy.expectation import Expectation
from reconciler.policy.values import PERCENT, format_duration

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
WRITTEN_KINDS: Mapping[str, type[Document]] = {**KINDS, "Expectation": Expectation}
"""All that people write; hosts read every kind but the last."""

_NO_EDITOR_NEEDS = ("title", "gt")


class WrittenDefaults(GenerateJsonSchema):
    """Writes defaults the way policies write them."""

    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401 - pydantic's own signature
        """Return a default as a document has it, with durations such as ``6h``."""
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def schemas() -> dict[str, Schema]:
    """Return every schema of the policy language by its file name below ``schemas/``.

    ``policy.schema.json`` takes a document of any kind, ``kinds/*.schema.json`` of one kind, and
    ``patchledger.schema.json`` the file ``patchledger.yaml``.
    """
    made = {f"kinds/{kind.lower()}.schema.json": of_model(model) for kind, model in WRITTEN_KINDS.items()}
    return {
        "policy.schema.json": _any_kind(),
        "patchledger.schema.json": of_model(Repository),
        **made,
    }


def schema_text(schema: Mapping[str, object]) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def of_model(model: type[BaseModel]) -> Schema:
    """Return the schema of one kind of document."""
    definitions = _definitions([model])
    own = definitions.pop(model.__name__)
    return {"$schema": _DIALECT, "title": _title(model), **own, "$defs": definitions}


def _any_kind() -> Schema:
    """Choose by ``kind``, so that an editor complains about that kind only."""
    choices = [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {"$ref": f"#/$defs/{model.__name__}"},
        }
        for kind, model in WRITTEN_KINDS.items()
    ]
    return {
        "$schema": _DIALECT,
        "title": "A policy document of patchledger",
        "type": "object",
        "required": ["kind", "name"],
        "properties": {"kind": {"enum": list(WRITTEN_KINDS), "description": "What the document is."}},
        "allOf": choices,
        "$defs": _definitions(list(WRITTEN_KINDS.values())),
    }


def _title(model: type[BaseModel]) -> str:
    kind = next((kind for kind, known in WRITTEN_KINDS.items() if known is model), "patchledger.yaml")
    return f"{kind} of patchledger"


def _definitions(models: list[type[BaseModel]]) -> dict[str, Schema]:
    _, made = models_json_schema(
        [(model, "validation") for model in models], schema_generator=WrittenDefaults
    )
    definitions: dict[str, Schema] = {name: _tidy(schema) for name, schema in made["$defs"].items()}
    if Policy in models:
        defaults = Settings().model_dump(mode="json")
        for name, default in defaults.items():
            if default is not None:
                definitions["Policy"]["properties"][name]["default"] = default
    if Approval in models:
        one_of = [{"required": ["plan"]}, {"required": ["versions"]}]
        definitions["Approval"]["oneOf"] = one_of
    if Expectation in models:
        both = {"dependentRequired": {"from": ["until"], "until": ["from"]}}
        definitions["Expectation"].update({**both, "not": {"required": ["at", "from"]}})
        definitions["Expected"]["minProperties"] = 1
    return dict(sorted(definitions.items()))


def _tidy(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Drop what only pydantic needs: null where a key may be left out, made-up titles, defaults of models."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {key: _tidy(value) for key, value in schema.items()}
    for key in _NO_EDITOR_NEEDS:
        if not isinstance(tidied.get(key), dict):  # A property may have the name of a keyword.
            tidied.pop(key, None)
    if isinstance(description := tidied.get("description"), str):
        tidied["description"] = " ".join(description.split())
    if "default" in tidied and (tidied["default"] is None or isinstance(tidied["default"], dict)):
        del tidied["default"]
    if tidied.get("pattern") == PERCENT and isinstance(tidied.get("default"), int):
        tidied["default"] = f"{tidied['default']}%"
    return _without_null(tidied)


def _without_null(schema: Schema) -> Schema:
    choices = schema.get("anyOf")
    if not isinstance(choices, list) or {"type": "null"} not in choices:
        return schema
    rest = [choice for choice in choices if choice != {"type": "null"}]
    del schema["anyOf"]
    return {**rest[0], **schema} if len(rest) == 1 else {"anyOf": rest, **schema}
