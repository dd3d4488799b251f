"""Publish a table under a name of the workflow.

The rows are stored as Parquet, and the name is pointed at them by the same commit that records the
step: whoever reads the name sees the old rows or the new ones, never a part, and a step that is run
again after a crash changes nothing twice. Each publication replaces the one before.
`receipt` holds the name, digest, rows and columns.
"""

from __future__ import annotations

from apps.nodes.tables import describe, read_table, write_table
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeParameters,
    Outputs,
    Port,
    field,
    node,
)

KEY = "table/"
"""What a published table's name is filed under in the workflow's state."""


class Parameters(NodeParameters):
    """Under which name."""

    name: str = field(title="Name", pattern=r"^[a-z][a-z0-9_]{0,62}$")


@node(
    "output.table",
    version=1,
    title="Publish table",
    effect=Effect.TRANSACTIONAL,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="table-2",
    inputs={"table": Port.TABLE},
    outputs={"table": Port.TABLE, "receipt": Port.JSON},
    example=Example(
        parameters={"name": "cities"},
        inputs={"table": [{"city": "Ulm", "people": 126}]},
        outputs={
            "table": [{"city": "Ulm", "people": 126}],
            "receipt": {"name": "cities", "rows": 1},
        },
    ),
)
def table(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Store the rows, then declare the write of the name."""
    frame = read_table(inputs["table"], context)
    reference = write_table(frame, context)
    context.write(f"{KEY}{parameters.name}", reference)
    receipt = {"name": parameters.name, "digest": reference["$artifact"], **describe(frame)}
    context.log.info("published", name=parameters.name, rows=frame.height)
    return {"table": reference, "receipt": receipt}
