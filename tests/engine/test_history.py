"""Events survive the way to a row and back, and what history cannot hold is refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from apps.executions.engine.codec import encode, result_text
from apps.executions.engine.failure import Failure
from apps.executions.engine.history import (
    AttemptFailed,
    CancelReason,
    Event,
    Handling,
    RunCanceling,
    RunEnded,
    RunQueued,
    RunStarted,
    SkipReason,
    StepCanceled,
    StepCompleted,
    StepDispatched,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from apps.executions.engine.ports import Usage
from apps.executions.engine.state import RunStatus
from apps.executions.engine.storable import Unstorable, dumps
from tests.engine.doubles import read

AT = dt.datetime(2026, 11, 23, 7, 0, 0, 123000, tzinfo=dt.UTC)
USED = Usage(cpu_seconds=0.5, peak_memory_bytes=9, wall_ms=7, bytes_in=1, bytes_out=2, cost_minor=3)
FAILED = Failure(code="NO", message="no", path="a", attempt=2, details={"why": [1]})

EVENTS: list[Event] = [
    RunQueued(trigger="API"),
    RunQueued(trigger="API", by="Ada"),
    RunStarted(),
    StepDispatched(path="a", attempt=2, pool="cpu"),
    RunCanceling(reason=CancelReason.REQUESTED, by="Ada"),
    RunCanceling(reason=CancelReason.DEADLINE),
    *(RunEnded(status=s) for s in (RunStatus.SUCCEEDED, RunStatus.PARTIAL, RunStatus.CANCELED)),
    RunEnded(status=RunStatus.FAILED, error=FAILED),
    RunEnded(status=RunStatus.TIMED_OUT, error=Failure(code="RUN_TIMEOUT", message="over")),
    StepStarted(path="a", attempt=1, started_at=AT),
    StepCompleted(
        path="a",
        attempt=1,
        outputs={"p": {"x": [1, None]}},
        conditions={},
        usage=USED,
        started_at=AT,
    ),
    StepCompleted(
        path="a", attempt=1, outputs={}, conditions={"c": True}, usage=Usage(), started_at=AT
    ),
    AttemptFailed(path="a", attempt=2, failure=FAILED, usage=USED, started_at=AT, retry_at=AT),
    StepFailed(
        path="a",
        attempt=2,
        failure=FAILED,
        usage=USED,
        started_at=AT,
        handling=Handling.ROUTE,
        conditions={"c": False},
    ),
    StepFailed(
        path="a",
        attempt=2,
        failure=FAILED,
        usage=Usage(),
        started_at=AT,
        handling=Handling.FAIL,
        conditions={},
    ),
    StepSkipped(path="a", reason=SkipReason.DISABLED),
    StepCanceled(path="a", attempt=1),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert read(encode(event)) == event


@pytest.mark.parametrize("event", [one for one in EVENTS if isinstance(one, StepCompleted)])
def test_outputs_that_were_written_before_are_not_written_again(event: StepCompleted) -> None:
    outputs = {**event.outputs, "q": "é"}
    known = replace(event, outputs={}, text=dumps(outputs, limit=1000))

    assert encode(known) == encode(replace(event, outputs=outputs))


def test_outputs_that_were_written_before_are_checked_all_the_same() -> None:
    event = next(one for one in EVENTS if isinstance(one, StepCompleted))
    for text, code in (
        ('"\\u0000"', "OUTPUT_INVALID"),
        ('"\ud800"', "OUTPUT_INVALID"),
        (f'"{"x" * 99_000}"', "OUTPUT_TOO_LARGE"),
    ):
        with pytest.raises(Unstorable) as refused:
            encode(replace(event, text=text))
        assert refused.value.code == code


@pytest.mark.parametrize(
    "value",
    [{"x": float("nan")}, {"x": {1, 2}}, {"x": "\ud800"}, {"x": "a\x00b"}, {"\x00": 1}],
)
def test_what_json_columns_refuse_is_no_output(value: Any) -> None:
    with pytest.raises(Unstorable) as refused:
        dumps(value, limit=1000)
    assert refused.value.code == "OUTPUT_INVALID"


def test_a_value_that_is_nested_too_deeply_is_no_output() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(Unstorable) as refused:
        dumps(value, limit=10_000_000)
    assert refused.value.code == "OUTPUT_INVALID"


def test_text_that_only_looks_like_an_escaped_nul_is_kept() -> None:
    assert dumps("\\u0000", limit=100) == '"\\\\u0000"'


def test_a_limit_counts_bytes() -> None:
    assert dumps("é" * 49, limit=100)
    with pytest.raises(Unstorable) as refused:
        dumps("é" * 50, limit=100)
    assert refused.value.code == "OUTPUT_TOO_LARGE"


def test_errors_are_cut_to_size_and_always_storable() -> None:
    failure = Failure(
        code="X" * 100, message="\ud800\x00" + "m" * 10_000, details={"d": "x" * 9000}
    )
    body = failure.to_json()
    assert len(str(body["code"])) == 64
    assert len(str(body["message"])) == 2048
    wide = Failure(code="X", message="€" * 10_000).to_json()
    assert len(str(wide["message"]).encode()) <= 4096
    assert "details" not in body
    dumps(body, limit=8 * 1024)


def test_a_result_that_is_too_large_names_its_nodes() -> None:
    assert result_text({"a": {"p": 1}}, limit=100) == '{"a":{"p":1}}'
    assert result_text({"b": {"p": "x" * 200}, "a": {}}, limit=100) == '{"$omitted":["a","b"]}'
