"""What the fields of a document may hold: names, texts and quantities with their bounds."""

from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

DAY = 86_400
ID_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
JSON = ConfigDict(extra="forbid", alias_generator=to_camel, use_attribute_docstrings=True)

Identifier: TypeAlias = Annotated[str, Field(pattern=ID_PATTERN)]
ConnectionId: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
PortName: TypeAlias = Annotated[str, Field(pattern=r"^([a-z][a-zA-Z0-9_]{0,63})?$")]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Text: TypeAlias = Annotated[str, Field(max_length=20_000)]
ExpressionText: TypeAlias = Annotated[str, Field(min_length=1, max_length=4_096)]
Quantity: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$")]
Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=50)]
WorkflowName: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
"""Id of a workflow of the same organization."""
Code: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z0-9_*]{1,64}$")]
