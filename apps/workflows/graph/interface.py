"""Which ports a node really has: those of its type, those it names itself, and `error`."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.workflows.graph.declaration import NodeType
from apps.workflows.graph.ports import ERROR_PORT, Port, PortSpec
from apps.workflows.graph.shape import Node, NodePort

FAILURE = PortSpec(type=Port.JSON, required=False, title="Failure")
"""By `error` leaves {code, message, nodeId, attempt}."""


_NARROWER = {port.value: port for port in Port if port is not Port.ANY}


@dataclass(frozen=True)
class Interface:
    """A node's ports by name; the inner ones face the body of a container."""

    inputs: Mapping[str, PortSpec]
    outputs: Mapping[str, PortSpec]

    def output(self, name: str, *, inner: bool) -> PortSpec | None:
        """The output port of that name on that side."""
        port = self.outputs.get(name)
        return port if port is not None and port.inner is inner else None

    def input(self, name: str, *, inner: bool) -> PortSpec | None:
        """The input port of that name on that side."""
        port = self.inputs.get(name)
        return port if port is not None and port.inner is inner else None


def interface_of(node: Node, node_type: NodeType) -> Interface:
    """The ports of a node; a port the type does not allow is left out."""
    return Interface(
        inputs=_ports(node_type.inputs, node.inputs),
        outputs={**_ports(node_type.outputs, node.outputs), ERROR_PORT: FAILURE},
    )


def _ports(declared: Mapping[str, PortSpec], listed: tuple[NodePort, ...]) -> dict[str, PortSpec]:
    ports = {name: port for name, port in declared.items() if not port.dynamic}
    template = next((port for port in declared.values() if port.dynamic), None)
    if template is not None:
        ports |= {port.name: _own(port, template) for port in listed if port.name not in ports}
    return ports


def _own(port: NodePort, template: PortSpec) -> PortSpec:
    return PortSpec(
        type=_NARROWER.get(port.data_type, template.type),
        required=port.required,
        multiple=port.multiple or template.multiple,
        inner=template.inner,
        title=template.title,
    )
