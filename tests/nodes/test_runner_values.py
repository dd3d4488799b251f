"""What goes into a step and what may come out: expressions, ports, references, conditions."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from apps.executions.engine.ports import (
    TransactionalWrite,
)
from apps.executions.runner import outputs, values
from apps.executions.runner.values import INLINE_BYTES, OFFLOADED
from apps.workflows.graph.declaration import NodeType, node_type_of
from apps.workflows.graph.shape import Connection
from tests.nodes import sample_nodes
from tests.nodes.conftest import Bench
from tests.nodes.doubles import MemoryObjects

INLINE = node_type_of(sample_nodes.inline)
PROCESS = node_type_of(sample_nodes.process)
COROUTINE = node_type_of(sample_nodes.coroutine)
EVERYWHERE = pytest.mark.parametrize(
    "node_type", [INLINE, PROCESS, COROUTINE], ids=["thread", "process", "loop"]
)


@EVERYWHERE
def test_a_step_gives_outputs_logs_metrics_and_usage(
    node_bench: Bench, node_type: NodeType
) -> None:
    outcome = node_bench.done(node_type, {"number": 4}, inputs={"data": [1]})

    assert outcome.outputs == {"value": {"number": 4, "data": [1]}}
    assert node_bench.logs.lines[0][1:] == ("working", {"number": 4})
    assert node_bench.logs.metrics == {"number": 4.0}
    assert node_bench.logs.done == [(1, 2)]
    assert outcome.usage.wall_ms >= 0


@EVERYWHERE
def test_expressions_are_resolved_and_keep_their_type(
    node_bench: Bench, node_type: NodeType
) -> None:
    outcome = node_bench.done(
        node_type,
        {"number": "{{ parameters.count * 2 + nodes.before.rows.total }}"},
        parameters={"count": 3},
        upstream={"before": {"rows": {"total": 1}}},
    )

    assert outcome.outputs["value"]["number"] == 7


def test_a_parameter_of_the_wrong_type_is_refused_by_path(node_bench: Bench) -> None:
    failed = node_bench.failed(
        INLINE, {"number": "{{ parameters.count }}"}, parameters={"count": "3"}
    )

    assert failed.code == "PARAMETER_INVALID"
    assert failed.details["path"] == "number"
    assert not failed.retryable
    assert node_bench.logs.lines == []


def test_an_unknown_parameter_is_refused(node_bench: Bench) -> None:
    assert node_bench.failed(INLINE, {"nonsense": 1}).code == "PARAMETER_INVALID"


def test_an_expression_that_loops_forever_fails_the_step(node_bench: Bench) -> None:
    endless = "{{ [0 for a in range(10**9) if a < 0] }}"

    failed = node_bench.failed(INLINE, {"number": endless})

    assert failed.code == "EXPRESSION_TIMEOUT"
    assert failed.details["path"] == "number"


def test_an_expression_that_fails_names_its_field(node_bench: Bench) -> None:
    failed = node_bench.failed(INLINE, {"mode": "{{ nodes.missing.port }}"})

    assert failed.code == "EXPRESSION_FAILED"
    assert failed.message.startswith("`mode`: ")


@EVERYWHERE
def test_objects_are_stored_and_read_through_the_context(
    node_bench: Bench, node_type: NodeType
) -> None:
    outcome = node_bench.done(node_type, {"mode": "artifact"})

    assert outcome.outputs["value"] == "hello"
    assert node_bench.around.objects.read(outcome.outputs["table"]) == b"hello"
    assert outcome.usage.bytes_out == 5


@EVERYWHERE
def test_a_large_output_travels_as_a_reference(node_bench: Bench, node_type: NodeType) -> None:
    outcome = node_bench.done(node_type, {"mode": "large"})

    reference = outcome.outputs["value"]
    assert reference["mediaType"] == "application/vnd.nstarx.value+json"
    assert reference["bytes"] > 100_000


@EVERYWHERE
def test_an_output_no_port_takes_is_refused(node_bench: Bench, node_type: NodeType) -> None:
    failed = node_bench.failed(node_type, {"mode": "huge"})

    assert failed.code == "OUTPUT_TOO_LARGE"
    assert node_bench.around.objects.stored == {}


def test_a_large_value_is_loaded_for_whoever_reads_it(node_bench: Bench) -> None:
    large = node_bench.done(INLINE, {"mode": "large"}).outputs["value"]

    by_port = node_bench.done(INLINE, {}, inputs={"data": {"small": 1}})
    by_expression = node_bench.done(
        INLINE, {"number": "{{ len(nodes.big.value.text) }}"}, upstream={"big": {"value": large}}
    )
    loaded = node_bench.done(
        INLINE,
        {"mode": "script", "script": "result = len(data['text'])"},
        inputs={"data": large},
    )

    assert by_port.outputs["value"]["data"] == {"small": 1}
    assert by_expression.outputs["value"]["number"] == 100_000
    assert loaded.outputs["value"] == 100_000


@EVERYWHERE
@pytest.mark.parametrize("mode", ["nan", "object", "stray"])
def test_an_output_that_breaks_the_contract_is_refused(
    node_bench: Bench, node_type: NodeType, mode: str
) -> None:
    assert node_bench.failed(node_type, {"mode": mode}).code == "OUTPUT_INVALID"


def test_an_input_of_the_wrong_kind_is_refused(node_bench: Bench) -> None:
    assert node_bench.failed(INLINE, {}, inputs={"elsewhere": 1}).code == "INPUT_INVALID"


def test_only_transactional_nodes_write(node_bench: Bench) -> None:
    assert node_bench.failed(INLINE, {"mode": "write"}).code == "WRITE_NOT_DECLARED"

    outcome = node_bench.done(node_type_of(sample_nodes.transactional), {"mode": "write"})
    assert outcome.writes == (TransactionalWrite(key="key", value={"a": 1}),)


def test_conditions_of_taken_ports_are_evaluated(node_bench: Bench) -> None:
    def link(name: str, port: str, condition: str | None) -> Connection:
        return Connection(
            id=name, source="step", source_port=port, target="after", condition=condition
        )

    outcome = node_bench.done(
        INLINE,
        {"number": 3},
        parameters={"floor": 2},
        outgoing=(
            link("yes", "value", "value.number > parameters.floor"),
            link("no", "value", "{{ value.number > 99 }}"),
            link("own", "value", "nodes.step.value.number == 3 and environment == 'DEVELOPMENT'"),
            link("untaken", "table", "True"),
            link("plain", "value", None),
        ),
    )

    assert outcome.conditions == {"yes": True, "no": False, "own": True}


def test_conditions_of_the_error_route_see_the_failure(node_bench: Bench) -> None:
    route = Connection(
        id="route",
        source="step",
        source_port="error",
        target="after",
        condition="error.code == 'NO_THANKS'",
    )

    failed = node_bench.failed(INLINE, {"mode": "refuse"}, outgoing=(route,))

    assert failed.conditions == {"route": True}


def test_a_condition_that_fails_fails_the_step(node_bench: Bench) -> None:
    link = Connection(
        id="c", source="step", source_port="value", target="after", condition="value.absent > 1"
    )

    failed = node_bench.failed(INLINE, {}, outgoing=(link,))

    assert failed.code == "EXPRESSION_FAILED"
    assert "connections.c.condition" in failed.message


@pytest.mark.parametrize(
    "reference",
    [
        {"$artifact": "sha256:0", "mediaType": "text/csv", "bytes": 1},
        {"$artifact": f"sha256:{0:064x}"},
        {"$artifact": f"sha256:{0:064x}", "mediaType": "text/csv", "bytes": "1"},
        {"$artifact": "../../etc/passwd", "mediaType": "text/csv", "bytes": 1},
    ],
)
def test_a_broken_reference_is_refused(node_bench: Bench, reference: dict[str, Any]) -> None:
    assert node_bench.failed(INLINE, {}, inputs={"data": reference}).code == "INPUT_INVALID"


def test_a_reference_that_lies_about_its_size_is_not_read_whole(node_bench: Bench) -> None:
    large = node_bench.around.objects.put(io.BytesIO(b"1" * (9 << 20)), media_type=OFFLOADED)
    liar = {**large.to_json(), "bytes": 1}

    assert node_bench.failed(INLINE, {}, inputs={"data": liar}).code == "INPUT_TOO_LARGE"


def test_the_largest_outputs_are_stored_until_the_others_fit_one_event() -> None:
    objects = MemoryObjects()
    given = {"a": "x" * 12_000, "b": "y" * 25_000, "c": "z" * 11_000, "d": 1}

    kept, text = outputs.offloaded(given, objects=objects)

    assert text is None
    assert {name: kept[name] for name in "acd"} == {name: given[name] for name in "acd"}
    assert objects.read(kept["b"]) == b'"' + b"y" * 25_000 + b'"'
    assert len(json.dumps(kept)) <= INLINE_BYTES
    assert values.load(kept["b"], objects) == given["b"]


def test_outputs_that_fit_together_stay_as_they_are() -> None:
    objects = MemoryObjects()
    reference = objects.put(io.BytesIO(b"1"), media_type=OFFLOADED).to_json()
    given = {"a": "x" * 30_000, "b": reference, "c": [1, None, {"e": 2.5}]}

    kept, text = outputs.offloaded(given, objects=objects)

    assert kept == given == json.loads(text or "")
    assert len(objects.stored) == 1
