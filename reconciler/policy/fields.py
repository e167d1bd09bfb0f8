"""Values that not the documents of policy alone are written with.

They are apart from ``documents.py`` since who reads a configuration, or what hosts reported, reads no policy,
and its models take a while to be made.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic_core import CoreSchema, core_schema

from reconciler.policy import values

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
