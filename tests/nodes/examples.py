"""Turns the examples of declarations, written as JSON, into calls, and outcomes into JSON again."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from apps.executions.engine.ports import Inside, StepDone, StepOpens, StepWaits
from apps.nodes import tables
from apps.workflows.graph import catalogue
from apps.workflows.graph.declaration import NodeType
from apps.workflows.graph.interface import interface_of
from apps.workflows.graph.ports import Port
from tests.nodes.conftest import Bench, Receiver
from tests.nodes.doubles import step_call


def run_example(node_type: NodeType, bench: Bench, receiver: Receiver | None = None) -> StepDone:
    """Execute the example through the runner; the hosts in it are the loopback receiver."""
    configuration = dict(node_type.example.parameters)
    for name in node_type.egress_parameters:
        assert receiver is not None
        path = str(configuration[name]).split("/", 3)[3]
        configuration[name] = f"{receiver.url}/{path}"
    call = step_call(node_type, configuration=configuration)
    ports = interface_of(call.node, node_type).inputs
    inputs = {
        name: _given(value, ports[name].type, bench)
        for name, value in node_type.example.inputs.items()
    }
    declared = node_type.inputs
    within = {name: inputs.pop(name) for name in tuple(inputs) if declared[name].inner}
    ended = Inside(index=0, item=None, inputs=within, upstream={}) if within else None
    outcome = bench.run(replace(call, inputs=inputs, inside=ended))
    if isinstance(outcome, StepWaits):
        # What it comes to when its time is over.
        outcome = StepDone(outputs=outcome.wait.due or {})
    if isinstance(outcome, StepOpens):
        # What follows is the engine's: tests/executions/test_maps.py.
        return StepDone(outputs={"results": outcome.opening.items, "summary": {}})
    assert isinstance(outcome, StepDone), outcome
    return outcome


def _given(value: Any, port: Port, bench: Bench) -> Any:
    if isinstance(value, Mapping) and "$example" in value:
        other = catalogue.get(value["$example"])
        assert other is not None
        return run_example(other, bench).outputs[value["port"]]
    if port is Port.TABLE and isinstance(value, list):
        return store_rows(value, bench)
    return value


def store_rows(rows: list[dict[str, Any]], bench: Bench) -> dict[str, Any]:
    """Rows as a table port carries them."""
    target = io.BytesIO()
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame.write_parquet(target)
    target.seek(0)
    return bench.around.objects.put(target, media_type=tables.MEDIA_TYPE).to_json()


def read_frame(reference: Any, bench: Bench) -> pl.DataFrame:
    """The rows behind a table port."""
    return pl.read_parquet(io.BytesIO(bench.around.objects.read(reference)))


def readable(value: Any, bench: Bench) -> Any:
    """A table reference as rows, everything else as it is."""
    if isinstance(value, Mapping) and value.get("mediaType") == tables.MEDIA_TYPE:
        return read_frame(value, bench).to_dicts()
    return value


def covers(found: Any, expected: Any) -> bool:
    """Whether everything expected is there: objects may hold more, numbers may differ a little."""
    match expected:
        case Mapping():
            return isinstance(found, Mapping) and all(
                name in found and covers(found[name], value) for name, value in expected.items()
            )
        case list():
            return (
                isinstance(found, list)
                and len(found) == len(expected)
                and all(map(covers, found, expected))
            )
        case float():
            return isinstance(found, float) and math.isclose(found, expected, abs_tol=1e-6)
    return type(found) is type(expected) and found == expected
