"""Node types as palettes and forms read them."""

from __future__ import annotations

from collections.abc import ItemsView

import strawberry
from strawberry.scalars import JSON

from apps.kit.graphql.fields import field
from apps.workflows.graph import catalogue
from apps.workflows.graph.declaration import NodeType, PortSpec


@strawberry.type
class NodePort:
    """One end that connections can have."""

    id: str
    name: str
    data_type: str
    required: bool
    multiple: bool

    @classmethod
    def of(cls, name: str, port: PortSpec) -> NodePort:
        """The port as this type."""
        return cls(
            id=name,
            name=name,
            data_type=port.type.value,
            required=port.required,
            multiple=port.multiple,
        )


@strawberry.type
class NodeTypeDefinition:
    """One declaration; its description is the node's manual."""

    declared: strawberry.Private[NodeType]
    type: str
    version: str
    category: str
    title: str
    description: str
    icon: str | None
    deprecated: bool
    effect: str = strawberry.field(description="What running it twice would do: PURE, KEYED …")

    @field()
    def config_schema(self) -> JSON:
        """JSON Schema of `configuration`."""
        return JSON(self.declared.configuration_schema())

    @field()
    def ui_schema(self) -> JSON | None:
        """Which parameters hold code (by language), secrets, or addresses that may be reached."""
        return JSON(
            {
                "code": dict(self.declared.code),
                "secrets": list(self.declared.secrets),
                "egress": list(self.declared.egress_parameters),
                "container": self.declared.container,
            }
        )

    @field()
    def inputs(self) -> list[NodePort]:
        """Input ports; those a document names itself come with the document."""
        return _ports(self.declared.inputs.items())

    @field()
    def outputs(self) -> list[NodePort]:
        """Output ports besides `error`, which every node has."""
        return _ports(self.declared.outputs.items())

    @field()
    def missing_extra(self) -> str | None:
        """The extra this installation lacks to run the node; null when it is ready."""
        return catalogue.missing_extra(self.declared)

    @classmethod
    def of(cls, declared: NodeType) -> NodeTypeDefinition:
        """The declaration as this type."""
        return cls(
            declared=declared,
            type=declared.type,
            version=str(declared.version),
            category=declared.category.value,
            title=declared.title,
            description=declared.manual,
            icon=declared.icon,
            deprecated=declared.deprecated,
            effect=declared.effect.value,
        )


def search(*, query: str = "", category: str | None = None) -> list[NodeTypeDefinition]:
    """Types whose name, title or manual holds the words; the catalogue is in memory and small."""
    words = query.lower().split()
    return [
        NodeTypeDefinition.of(declared)
        for declared in catalogue.all_types()
        if category in (None, declared.category.value, declared.family)
        and all(word in _text(declared) for word in words)
    ]


def _text(declared: NodeType) -> str:
    return f"{declared.type} {declared.title} {declared.manual}".lower()


def _ports(ports: ItemsView[str, PortSpec]) -> list[NodePort]:
    return [NodePort.of(name, port) for name, port in ports if not port.dynamic]
