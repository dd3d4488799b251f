"""The nodes that run in the worker itself: branches, code, text, requests."""

from __future__ import annotations

from typing import Any

import pytest

from apps.executions.engine.ports import StepDone, StepFailed, TransactionalWrite
from apps.workflows.graph.shape import Node, NodePort
from tests.nodes.conftest import Bench, Receiver
from tests.nodes.doubles import MemorySecrets, step_call
from tests.nodes.examples import store_rows


def _run(bench: Bench, type: str, configuration: dict[str, Any], **call: Any) -> Any:
    return bench.run(step_call(type, configuration=configuration, **call))


def _refused(outcome: Any, code: str) -> None:
    assert isinstance(outcome, StepFailed), outcome
    assert outcome.code == code, outcome


@pytest.mark.parametrize(("value", "port"), [(0.96, "true"), (0.94, "false")])
def test_if_takes_one_port(node_bench: Bench, value: float, port: str) -> None:
    outcome = _run(
        node_bench,
        "control.if",
        {"condition": "{{ nodes.judge.metrics.f1 > parameters.floor }}"},
        inputs={"value": {"kept": True}},
        parameters={"floor": 0.95},
        upstream={"judge": {"metrics": {"f1": value}}},
    )

    assert outcome.outputs == {port: {"kept": True}}


def test_if_wants_a_boolean(node_bench: Bench) -> None:
    _refused(_run(node_bench, "control.if", {"condition": "{{ 1 }}"}), "PARAMETER_INVALID")


@pytest.mark.parametrize(
    ("value", "port"),
    [("red", "stop"), ("green", "go"), ("blue", "otherwise"), (True, "otherwise")],
)
def test_switch_takes_the_port_of_the_first_equal_case(
    node_bench: Bench, value: Any, port: str
) -> None:
    node = Node(
        id="switch",
        type="control.switch",
        configuration={
            "value": value,
            "cases": [
                {"equals": "red", "port": "stop"},
                {"equals": "green", "port": "go"},
                {"equals": 1, "port": "go"},
            ],
        },
        outputs=(NodePort(name="stop"), NodePort(name="go")),
    )

    outcome: Any = node_bench.run(step_call("control.switch", node=node, inputs={"value": 5}))

    assert outcome.outputs == {port: 5}


def test_a_script_of_the_tenant_sees_data_and_nothing_else(node_bench: Bench) -> None:
    source = "import os\nresult = os.environ"

    _refused(_run(node_bench, "logic.python", {"source": source}), "SCRIPT_FAILED")


def test_a_script_prints_into_the_log(node_bench: Bench) -> None:
    outcome = _run(
        node_bench,
        "logic.python",
        {"source": "print('rows:', len(data))\nresult = 1"},
        inputs={"data": [1, 2]},
    )

    assert isinstance(outcome, StepDone)
    assert node_bench.logs.lines[0][1] == "rows: 2"


def test_braces_in_code_are_code(node_bench: Bench) -> None:
    outcome = _run(
        node_bench, "logic.python", {"source": "result = {'a': {'b': {{1}.pop()}.pop()}}"}
    )

    assert outcome.outputs == {"result": {"a": {"b": 1}}}


def test_a_script_that_loops_is_ended_at_the_deadline(node_bench: Bench) -> None:
    outcome = _run(node_bench, "logic.python", {"source": "while True: pass"}, seconds=0.5)

    _refused(outcome, "SCRIPT_TIMEOUT")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Dear {{ data.name }},", "Dear Ada,"),
        ("{{ data.name.upper() }}", "ADA"),
        ("{{ data.tags }} {{ data.nothing }}!", '["x", 1] !'),
        ("no braces", "no braces"),
        ("{{ '{{' }}", "{{"),
    ],
)
def test_a_template_is_filled(node_bench: Bench, template: str, text: str) -> None:
    data = {"name": "Ada", "tags": ["x", 1], "nothing": None}

    outcome = _run(node_bench, "transform.template", {"template": template}, inputs={"data": data})

    assert outcome.outputs == {"text": text}


def test_a_template_evaluates_its_data_only_once(node_bench: Bench) -> None:
    outcome = _run(
        node_bench,
        "transform.template",
        {"template": "{{ data.name }}"},
        inputs={"data": {"name": "{{ 1 + 1 }}"}},
    )

    assert outcome.outputs == {"text": "{{ 1 + 1 }}"}


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ data.name", "TEMPLATE_INVALID"),
        ("{{ __import__('os') }}", "TEMPLATE_INVALID"),
        ("{{ secrets.TOKEN }}", "TEMPLATE_INVALID"),
        ("{{ data.absent }}", "SCRIPT_FAILED"),
    ],
)
def test_a_template_that_cannot_work_is_refused(
    node_bench: Bench, template: str, code: str
) -> None:
    outcome = _run(
        node_bench, "transform.template", {"template": template}, inputs={"data": {"name": 1}}
    )

    _refused(outcome, code)


def test_a_token_is_sent_as_bearer_and_seen_by_nobody(
    node_bench: Bench, receiver: Receiver
) -> None:
    node_bench.around.secrets = MemorySecrets({"KEY": "tok-0123456789"})

    outcome = _run(
        node_bench,
        "input.http_request",
        {"url": f"{receiver.url}/x", "token": "{{ secrets.KEY }}"},
    )

    assert receiver.seen[0]["headers"]["authorization"] == "Bearer tok-0123456789"
    assert "tok-0123456789" not in str(outcome.outputs)


def test_a_token_under_another_header_goes_as_it_is(node_bench: Bench, receiver: Receiver) -> None:
    node_bench.around.secrets = MemorySecrets({"KEY": "tok-0123456789"})

    _run(
        node_bench,
        "input.http_request",
        {"url": f"{receiver.url}/x", "token": "{{ secrets.KEY }}", "token_header": "X-Api-Key"},
    )

    assert receiver.seen[0]["headers"]["x-api-key"] == "tok-0123456789"


@pytest.mark.parametrize(
    ("status", "retryable", "wait"), [(404, False, None), (503, True, None), (429, True, 7.0)]
)
def test_an_error_status_fails_the_step(
    node_bench: Bench, receiver: Receiver, status: int, retryable: bool, wait: float | None
) -> None:
    outcome = _run(node_bench, "input.http_request", {"url": f"{receiver.url}/status/{status}"})

    _refused(outcome, f"HTTP_{status}")
    assert outcome.retryable is retryable
    assert outcome.retry_after_seconds == wait


def test_an_expected_status_is_an_answer(node_bench: Bench, receiver: Receiver) -> None:
    outcome = _run(
        node_bench,
        "input.http_request",
        {"url": f"{receiver.url}/status/404", "accept": [404]},
    )

    assert outcome.outputs["response"]["status"] == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://localhost:6379/",
    ],
)
def test_an_address_inside_is_refused(node_bench: Bench, url: str) -> None:
    _refused(_run(node_bench, "input.http_request", {"url": url}), "EGRESS_DENIED")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x/", "//x", "https://"])
def test_a_url_of_another_kind_is_refused(node_bench: Bench, url: str) -> None:
    _refused(_run(node_bench, "input.http_request", {"url": url}), "PARAMETER_INVALID")


def test_the_key_of_a_delivery_is_that_of_the_step(node_bench: Bench, receiver: Receiver) -> None:
    call = step_call(
        "output.webhook", configuration={"url": f"{receiver.url}/in"}, inputs={"data": 1}
    )

    first, second = node_bench.run(call), node_bench.run(call)

    assert isinstance(first, StepDone)
    assert isinstance(second, StepDone)
    keys = {seen["headers"]["idempotency-key"] for seen in receiver.seen}
    assert keys == {call.idempotency_key}
    assert receiver.seen[0]["json"] == {
        "event": "workflow.delivery",
        "data": 1,
        "id": call.idempotency_key,
    }


def test_a_published_table_is_a_write_of_the_commit(node_bench: Bench) -> None:
    table = store_rows([{"a": 1}], node_bench)

    outcome = _run(node_bench, "output.table", {"name": "things"}, inputs={"table": table})

    assert isinstance(outcome, StepDone), outcome
    assert outcome.writes == (
        TransactionalWrite(key="table/things", value=outcome.outputs["table"]),
    )


@pytest.mark.parametrize(("status", "retryable"), [(503, False), (429, True), (408, False)])
def test_an_unsafe_request_is_repeated_only_if_nothing_was_done(
    node_bench: Bench, receiver: Receiver, status: int, retryable: bool
) -> None:
    outcome = _run(node_bench, "output.http_request", {"url": f"{receiver.url}/status/{status}"})

    _refused(outcome, f"HTTP_{status}")
    assert outcome.retryable is retryable


@pytest.mark.parametrize(
    ("type", "code", "retryable"),
    [
        ("output.http_request", "EFFECT_IN_DOUBT", False),
        ("output.webhook", "HTTP_FAILED", True),
        ("input.http_request", "HTTP_FAILED", True),
    ],
)
def test_an_unsafe_request_without_an_answer_is_in_doubt(
    node_bench: Bench, receiver: Receiver, type: str, code: str, *, retryable: bool
) -> None:
    outcome = _run(node_bench, type, {"url": f"{receiver.url}/silent"})

    _refused(outcome, code)
    assert outcome.retryable is retryable
    assert len(receiver.seen) == 1


def test_a_host_that_does_not_listen_may_be_tried_again(
    node_bench: Bench, receiver: Receiver
) -> None:
    # A poll in progress keeps a closed socket listening: let the loop end first.
    receiver.shutdown()
    receiver.server_close()

    outcome = _run(node_bench, "output.http_request", {"url": f"{receiver.url}/x"})

    _refused(outcome, "HTTP_FAILED")
    assert outcome.retryable


def test_a_parameter_names_no_pattern_of_hosts(node_bench: Bench) -> None:
    _refused(_run(node_bench, "input.http_request", {"url": "http://*/"}), "EGRESS_DENIED")
