"""One step through the runner: what it may see, what comes out, how it fails, how it is stopped."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepStopped,
    StopReason,
    TransactionalWrite,
)
from apps.executions.runner.doors import Doors
from apps.executions.runner.local import LocalRunner
from apps.executions.runner.process import confinement
from apps.executions.runner.values import OFFLOADED
from apps.executions.sandbox import Tier, shared
from apps.workflows.graph.context import ArtifactRef
from apps.workflows.graph.declaration import NodeType, node_type_of
from apps.workflows.graph.shape import Connection, Node, Resources
from tests.nodes import sample_nodes
from tests.nodes.doubles import Logs, MemoryObjects, MemorySecrets, Stop, Surroundings, step_call

INLINE = node_type_of(sample_nodes.inline)
PROCESS = node_type_of(sample_nodes.process)
COROUTINE = node_type_of(sample_nodes.coroutine)
EVERYWHERE = pytest.mark.parametrize(
    "node_type", [INLINE, PROCESS, COROUTINE], ids=["thread", "process", "loop"]
)


class Bench:
    """A runner with everything around it in memory; outcomes as Any, for they hold any JSON."""

    def __init__(self) -> None:
        self.around = Surroundings(secrets=MemorySecrets({"TOKEN": "s3cr3t-value", "OTHER": "x"}))
        self.logs = Logs()
        self.stop = Stop()
        self.runner = LocalRunner(doors=self._doors, sandbox=shared())

    def _doors(self, call: StepCall) -> Doors:
        return self.around.doors(call)

    def run(self, node_type: NodeType, configuration: dict[str, Any], **call: Any) -> StepOutcome:
        step = step_call(node_type, configuration=configuration, **call)
        return self.runner.run(step, stop=self.stop, logs=self.logs)

    def done(self, node_type: NodeType, configuration: dict[str, Any], **call: Any) -> Any:
        outcome = self.run(node_type, configuration, **call)
        assert isinstance(outcome, StepDone), outcome
        return outcome

    def failed(self, node_type: NodeType, configuration: dict[str, Any], **call: Any) -> Any:
        outcome = self.run(node_type, configuration, **call)
        assert isinstance(outcome, StepFailed), outcome
        return outcome


@pytest.fixture(scope="module")
def module_bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.runner.close()


@pytest.fixture
def bench(module_bench: Bench) -> Bench:
    """The same child processes for all tests, everything else fresh."""
    module_bench.around = Surroundings(
        secrets=MemorySecrets({"TOKEN": "s3cr3t-value", "OTHER": "x"})
    )
    module_bench.logs = Logs()
    module_bench.stop = Stop()
    return module_bench


@pytest.fixture
def echo(bench: Bench) -> Iterator[str]:
    """A loopback server that answers with the headers it got."""

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = str(dict(self.headers)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bench.around.loopback = frozenset({("127.0.0.1", server.server_port)})
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@EVERYWHERE
def test_a_step_gives_outputs_logs_metrics_and_usage(bench: Bench, node_type: NodeType) -> None:
    outcome = bench.done(node_type, {"number": 4}, inputs={"data": [1]})

    assert outcome.outputs == {"value": {"number": 4, "data": [1]}}
    assert bench.logs.lines[0][1:] == ("working", {"number": 4})
    assert bench.logs.metrics == {"number": 4.0}
    assert bench.logs.done == [(1, 2)]
    assert outcome.usage.wall_ms >= 0


def test_a_process_is_measured(bench: Bench) -> None:
    outcome = bench.done(PROCESS, {})

    assert outcome.usage.cpu_seconds > 0
    assert outcome.usage.peak_memory_bytes > 1 << 20


@EVERYWHERE
def test_expressions_are_resolved_and_keep_their_type(bench: Bench, node_type: NodeType) -> None:
    outcome = bench.done(
        node_type,
        {"number": "{{ parameters.count * 2 + nodes.before.rows.total }}"},
        parameters={"count": 3},
        upstream={"before": {"rows": {"total": 1}}},
    )

    assert outcome.outputs["value"]["number"] == 7


def test_a_parameter_of_the_wrong_type_is_refused_by_path(bench: Bench) -> None:
    failed = bench.failed(INLINE, {"number": "{{ parameters.count }}"}, parameters={"count": "3"})

    assert failed.code == "PARAMETER_INVALID"
    assert failed.details["path"] == "number"
    assert not failed.retryable
    assert bench.logs.lines == []


def test_an_unknown_parameter_is_refused(bench: Bench) -> None:
    assert bench.failed(INLINE, {"nonsense": 1}).code == "PARAMETER_INVALID"


def test_an_expression_that_loops_forever_fails_the_step(bench: Bench) -> None:
    endless = "{{ [0 for a in range(10**9) if a < 0] }}"

    failed = bench.failed(INLINE, {"number": endless})

    assert failed.code == "EXPRESSION_TIMEOUT"
    assert failed.details["path"] == "number"


def test_an_expression_that_fails_names_its_field(bench: Bench) -> None:
    failed = bench.failed(INLINE, {"mode": "{{ nodes.missing.port }}"})

    assert failed.code == "EXPRESSION_FAILED"
    assert failed.message.startswith("`mode`: ")


@EVERYWHERE
def test_a_refusal_keeps_its_code_and_its_advice(bench: Bench, node_type: NodeType) -> None:
    failed = bench.failed(node_type, {"mode": "refuse"})

    assert (failed.code, failed.message) == ("NO_THANKS", "not today")
    assert failed.retryable
    assert failed.retry_after_seconds == 7


@EVERYWHERE
def test_a_crash_is_typed_and_traced(bench: Bench, node_type: NodeType) -> None:
    failed = bench.failed(node_type, {"mode": "crash"})

    assert failed.code == "NODE_CRASHED"
    assert "inner detail" not in failed.message
    assert failed.details["kind"] == "ValueError"
    assert any("sample_nodes.py" in line for line in failed.details["trace"])


@EVERYWHERE
def test_a_step_that_overruns_times_out(bench: Bench, node_type: NodeType) -> None:
    failed = bench.failed(node_type, {"mode": "hang"}, seconds=0.5)

    assert failed.code == "STEP_TIMEOUT"
    assert failed.retryable


def test_a_thread_that_overruns_asks_for_a_new_process() -> None:
    bench = Bench()

    bench.failed(INLINE, {"mode": "hang"}, seconds=0.2)

    assert bench.runner.must_recycle


def test_memory_over_the_limit_ends_the_process(bench: Bench) -> None:
    failed = bench.failed(PROCESS, {"mode": "memory"})

    assert failed.code == "MEMORY_EXCEEDED"
    assert "100Mi" in failed.message


def test_the_document_may_give_a_step_more_memory(bench: Bench) -> None:
    more = Node(
        id="step",
        type="sample.process",
        configuration={"mode": "memory"},
        resources=Resources(memory="150Mi"),
    )
    failed = bench.runner.run(step_call(PROCESS, node=more), stop=bench.stop, logs=bench.logs)

    assert isinstance(failed, StepFailed)
    assert "150Mi" in failed.message


def test_a_process_that_dies_is_a_failure_and_the_next_step_works(bench: Bench) -> None:
    failed = bench.failed(PROCESS, {"mode": "exit"})

    assert failed.code == "PROCESS_DIED"
    assert bench.done(PROCESS, {}).outputs["value"] == {"number": 1}


@EVERYWHERE
def test_a_stop_ends_a_running_step(bench: Bench, node_type: NodeType) -> None:
    threading.Timer(0.3, bench.stop.set, args=(StopReason.CANCELED,)).start()

    outcome = bench.run(node_type, {"mode": "hang"})

    assert isinstance(outcome, StepStopped)
    assert outcome.reason is StopReason.CANCELED


def test_a_stopped_run_starts_nothing(bench: Bench) -> None:
    bench.stop.set(StopReason.LEASE_LOST)

    assert isinstance(bench.run(INLINE, {}), StepStopped)
    assert bench.logs.lines == []


def test_a_process_sees_nothing_of_the_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://owner:password@localhost/db")
    fresh = Bench()

    outcome = fresh.done(PROCESS, {"mode": "environment"})
    fresh.runner.close()

    assert "DATABASE_URL" not in outcome.outputs["value"]["names"]
    assert outcome.outputs["value"]["django"] is False


@pytest.mark.skipif(
    confinement.detect().tier is not Tier.BUBBLEWRAP, reason="bubblewrap does not work here"
)
def test_a_process_reaches_nothing_but_its_own_directory(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "of another tenant"
    outside.write_text("private")
    places = [str(outside), "/etc/passwd", str(Path(__file__).parents[2] / "pyproject.toml")]

    outcome = bench.done(PROCESS, {"mode": "walls", "number": os.getpid()}, inputs={"data": places})

    found = outcome.outputs["value"]
    assert found["reads"] == []
    assert found["writes"] == []
    assert found["own"] is True
    assert found["connects"] is False
    assert found["kills"] is False


@EVERYWHERE
def test_objects_are_stored_and_read_through_the_context(bench: Bench, node_type: NodeType) -> None:
    outcome = bench.done(node_type, {"mode": "artifact"})

    assert outcome.outputs["value"] == "hello"
    assert bench.around.objects.read(outcome.outputs["table"]) == b"hello"
    assert outcome.usage.bytes_out == 5


@EVERYWHERE
def test_a_large_output_travels_as_a_reference(bench: Bench, node_type: NodeType) -> None:
    outcome = bench.done(node_type, {"mode": "large"})

    reference = outcome.outputs["value"]
    assert reference["mediaType"] == "application/vnd.nstarx.value+json"
    assert reference["bytes"] > 100_000


def test_a_large_value_is_loaded_for_whoever_reads_it(bench: Bench) -> None:
    large = bench.done(INLINE, {"mode": "large"}).outputs["value"]

    by_port = bench.done(INLINE, {}, inputs={"data": {"small": 1}})
    by_expression = bench.done(
        INLINE, {"number": "{{ len(nodes.big.value.text) }}"}, upstream={"big": {"value": large}}
    )
    loaded = bench.done(
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
    bench: Bench, node_type: NodeType, mode: str
) -> None:
    assert bench.failed(node_type, {"mode": mode}).code == "OUTPUT_INVALID"


def test_an_input_of_the_wrong_kind_is_refused(bench: Bench) -> None:
    assert bench.failed(INLINE, {}, inputs={"elsewhere": 1}).code == "INPUT_INVALID"


def test_a_sandbox_that_is_not_there_is_never_replaced_by_less(bench: Bench) -> None:
    failed = bench.failed(node_type_of(sample_nodes.sandbox), {})

    assert failed.code == "SANDBOX_UNAVAILABLE"


@pytest.mark.parametrize("node_type", [INLINE, PROCESS], ids=["thread", "process"])
def test_a_secret_reaches_the_far_side_and_nothing_else(
    bench: Bench, echo: str, node_type: NodeType
) -> None:
    outcome = bench.done(node_type, {"mode": "send", "token": "{{ secrets.TOKEN }}", "url": echo})

    # The server got it and sent it back, so redaction is what keeps it out of the output.
    assert "[redacted]" in outcome.outputs["value"]["body"]
    assert bench.around.secrets.opened == ["TOKEN"]
    assert "s3cr3t-value" not in str(outcome.outputs)
    assert "s3cr3t-value" not in bench.logs.text


def test_a_secret_not_referred_to_is_denied(bench: Bench) -> None:
    failed = bench.failed(INLINE, {"mode": "steal", "token": "{{ secrets.TOKEN }}"})

    assert failed.code == "SECRET_NOT_DECLARED"
    assert bench.around.secrets.opened == []


def test_a_secret_in_a_parameter_not_meant_for_one_is_denied(bench: Bench) -> None:
    failed = bench.failed(INLINE, {"mode": "{{ secrets.TOKEN }}"})

    assert failed.code == "SECRET_NOT_DECLARED"


def test_a_secret_named_by_data_is_not_opened(bench: Bench, echo: str) -> None:
    failed = bench.failed(
        INLINE,
        {"mode": "send", "token": "{{ parameters.token }}", "url": echo},
        parameters={"token": "{{ secrets.OTHER }}"},
    )

    assert failed.code == "SECRET_NOT_DECLARED"
    assert bench.around.secrets.opened == []


def test_a_missing_secret_is_named(bench: Bench, echo: str) -> None:
    failed = bench.failed(INLINE, {"mode": "send", "token": "{{ secrets.ABSENT }}", "url": echo})

    assert failed.code == "SECRET_MISSING"
    assert failed.details == {"secret": "ABSENT"}


@pytest.mark.parametrize("node_type", [INLINE, PROCESS], ids=["thread", "process"])
def test_an_address_inside_is_denied(bench: Bench, node_type: NodeType) -> None:
    inside = "http://169.254.169.254/latest/meta-data"

    failed = bench.failed(
        node_type, {"mode": "send", "token": "{{ secrets.TOKEN }}", "url": inside}
    )

    assert failed.code == "EGRESS_DENIED"


def test_only_transactional_nodes_write(bench: Bench) -> None:
    assert bench.failed(INLINE, {"mode": "write"}).code == "WRITE_NOT_DECLARED"

    outcome = bench.done(node_type_of(sample_nodes.transactional), {"mode": "write"})
    assert outcome.writes == (TransactionalWrite(key="key", value={"a": 1}),)


def test_conditions_of_taken_ports_are_evaluated(bench: Bench) -> None:
    def link(name: str, port: str, condition: str | None) -> Connection:
        return Connection(
            id=name, source="step", source_port=port, target="after", condition=condition
        )

    outcome = bench.done(
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


def test_conditions_of_the_error_route_see_the_failure(bench: Bench) -> None:
    route = Connection(
        id="route",
        source="step",
        source_port="error",
        target="after",
        condition="error.code == 'NO_THANKS'",
    )

    failed = bench.failed(INLINE, {"mode": "refuse"}, outgoing=(route,))

    assert failed.conditions == {"route": True}


def test_a_condition_that_fails_fails_the_step(bench: Bench) -> None:
    link = Connection(
        id="c", source="step", source_port="value", target="after", condition="value.absent > 1"
    )

    failed = bench.failed(INLINE, {}, outgoing=(link,))

    assert failed.code == "EXPRESSION_FAILED"
    assert "connections.c.condition" in failed.message


def test_the_runner_never_raises(bench: Bench) -> None:
    def broken(call: object) -> Any:
        raise RuntimeError("no doors")

    runner = LocalRunner(doors=broken, sandbox=shared())

    outcome = runner.run(step_call(INLINE), stop=bench.stop, logs=bench.logs)

    assert isinstance(outcome, StepFailed)
    assert outcome.code == "RUNNER_FAILED"
    assert "no doors" not in outcome.message


def test_a_broken_host_call_ends_the_step_and_its_process(bench: Bench) -> None:
    class Broken(MemoryObjects):
        def put(self, content: BinaryIO, *, media_type: str) -> ArtifactRef:
            raise ConnectionError("the database is gone")

    bench.around.objects = Broken()

    failed = bench.failed(PROCESS, {"mode": "artifact"})

    assert failed.code == "RUNNER_FAILED"
    assert failed.retryable
    assert "database" not in failed.message
    assert bench.done(PROCESS, {}).outputs["value"] == {"number": 1}


@pytest.mark.parametrize(
    "reference",
    [
        {"$artifact": "sha256:0", "mediaType": "text/csv", "bytes": 1},
        {"$artifact": f"sha256:{0:064x}"},
        {"$artifact": f"sha256:{0:064x}", "mediaType": "text/csv", "bytes": "1"},
        {"$artifact": "../../etc/passwd", "mediaType": "text/csv", "bytes": 1},
    ],
)
def test_a_broken_reference_is_refused(bench: Bench, reference: dict[str, Any]) -> None:
    assert bench.failed(INLINE, {}, inputs={"data": reference}).code == "INPUT_INVALID"


def test_a_reference_that_lies_about_its_size_is_not_read_whole(bench: Bench) -> None:
    large = bench.around.objects.put(io.BytesIO(b"1" * (9 << 20)), media_type=OFFLOADED)
    liar = {**large.to_json(), "bytes": 1}

    assert bench.failed(INLINE, {}, inputs={"data": liar}).code == "INPUT_TOO_LARGE"
