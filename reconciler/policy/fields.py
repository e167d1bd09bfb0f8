"""Values that not the documents of policy alone are written with.

They are apart from ``documents.py`` since who reads a configuration, or what hosts reported, reads no policy,
and its models take a while to be made.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic_core import CoreSchema, core_schema

from reconciler.policy import values
from reconciler.records import dataclass

Action = Literal["plan", "download", "apply"]
ApprovalMode = Literal["none", "required"]

Pin = Annotated[str, StringConstraints(pattern=values.DIGEST)]

Duration = Annotated[
    timedelta,
    BeforeValidator(
        values.as_duration, json_schema_input_type=Annotated[str, Field(pattern=values.DURATION)]
    ),
    PlainSerializer(values.format_duration, return_type=str),
]
"""An elapsed time, written ``90s``, ``30m``, ``6h``, ``14d``, ``2w`` or ``1h30m``."""

Length = Annotated[Duration, Field(gt=timedelta(0))]
"""A duration that is not zero."""

T = TypeVar("T")


FIRST = "0.1"
"""The version in which the policy language began."""


@dataclass(frozen=True, slots=True)
class Since:
    """Marks a key by the version in which it came: ``Annotated[Line | None, Since("0.2")]``.

    A kind that came later says so by its ``since``.
    """

    version: str


class Strictly(BaseModel):
    """What all parts of documents share: they do not change, and a key nobody knows is an error.

    The text below a field describes it in the JSON schema. It is read from the source where a schema is made:
    pydantic's own ``use_attribute_docstrings`` reads and parses the source of each class whenever that is
    imported, which takes longer than all else that its import does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        made = handler(core_schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, field in cls.model_fields.items():
            text = _text_below(cls, name)
            if text is not None:
                properties[field.alias or name]["description"] = text
        return made


def _text_below(model: type[BaseModel], field: str) -> str | None:
    """Return what stands below a field where a class last says what it is."""
    for kind in model.__mro__:
        if field in inspect.get_annotations(kind):
            return _texts_below(kind.__module__).get((kind.__qualname__, field))
    return None


@lru_cache(maxsize=16)
def _texts_below(module: str) -> Mapping[tuple[str, str], str]:
    """Return the texts below the fields of all classes of a module, by the names of both."""
    kinds = ast.parse(inspect.getsource(sys.modules[module])).body
    return {
        (kind.name, said.target.id): inspect.cleandoc(text.value.value)
        for kind in kinds
        if isinstance(kind, ast.ClassDef)
        for said, text in pairwise(kind.body)
        if isinstance(said, ast.AnnAssign)
        and isinstance(said.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


class OneAlone:
    """Lets a list of texts be written as a single text."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's own signature
        return core_schema.no_info_before_validator_function(values.as_list, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        array = handler(schema)
        return {"anyOf": [array["items"], array]}


OneOrMany = Annotated[tuple[T, ...], Field(min_length=1), OneAlone()]
"""A list with at least one entry; a single entry may stand alone."""
