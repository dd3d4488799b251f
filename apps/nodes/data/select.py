"""Choose, order and rename the columns of a table.

`columns` in the order they shall have; all stay when it is empty. `rename` maps old names to new
ones and happens last. `drop` takes columns away instead of listing the ones to keep.
"""

from __future__ import annotations

from apps.nodes.tables import read_table, require_columns, write_table
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeError,
    NodeParameters,
    Outputs,
    Port,
    field,
    node,
)


class Parameters(NodeParameters):
    """Which columns."""

    columns: list[str] = field([], title="Keep, in this order", max_length=2000)
    drop: list[str] = field([], title="Drop", max_length=2000)
    rename: dict[str, str] = field({}, title="Rename", description="Old name to new name.")


@node(
    "data.select",
    version=1,
    title="Select columns",
    effect=Effect.PURE,
    isolation=Isolation.PROCESS,
    extra="data",
    icon="columns",
    inputs={"table": Port.TABLE},
    outputs={"table": Port.TABLE},
    example=Example(
        parameters={"columns": ["people", "city"], "rename": {"people": "inhabitants"}},
        inputs={"table": [{"city": "Ulm", "people": 126, "x": 1}]},
        outputs={"table": [{"inhabitants": 126, "city": "Ulm"}]},
    ),
)
def select(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Choose, drop, rename."""
    frame = read_table(inputs["table"], context)
    require_columns(frame, [*parameters.columns, *parameters.drop, *parameters.rename])
    kept = [name for name in parameters.columns or frame.columns if name not in parameters.drop]
    names = [parameters.rename.get(name, name) for name in kept]
    if not kept or len(set(names)) != len(names):
        raise NodeError(
            "COLUMNS_INVALID", "At least one column must stay, and no name may stand twice."
        )
    chosen = frame.select(kept)
    chosen.columns = names
    return {"table": write_table(chosen, context)}
