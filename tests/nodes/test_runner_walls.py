"""What a step may not have: secrets it did not name, addresses inside, the worker's things."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.executions.runner.process import confinement
from apps.executions.sandbox import Tier
from apps.workflows.graph.declaration import NodeType, node_type_of
from tests.nodes import sample_nodes
from tests.nodes.confined import needs_walls
from tests.nodes.conftest import Bench, Receiver

INLINE = node_type_of(sample_nodes.inline)
PROCESS = node_type_of(sample_nodes.process)
SANDBOX = node_type_of(sample_nodes.sandbox)
FAR_AND_NEAR = pytest.mark.parametrize(
    "node_type",
    [
        pytest.param(INLINE, id="thread"),
        pytest.param(PROCESS, id="process"),
        pytest.param(SANDBOX, marks=needs_walls, id="sandbox"),
    ],
)


def test_a_process_sees_nothing_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://owner:password@localhost/db")
    fresh = Bench()

    outcome = fresh.done(PROCESS, {"mode": "environment"})
    fresh.runner.close()

    assert "DATABASE_URL" not in outcome.outputs["value"]["names"]
    assert outcome.outputs["value"]["django"] is False


def test_no_library_of_a_step_reports_to_its_maker(node_bench: Bench) -> None:
    outcome = node_bench.done(PROCESS, {"mode": "environment"})

    assert "ORT_DISABLE_TELEMETRY" in outcome.outputs["value"]["names"]


@pytest.mark.skipif(
    confinement.detect().tier is not Tier.BUBBLEWRAP, reason="bubblewrap does not work here"
)
def test_a_process_reaches_nothing_but_its_own_directory(node_bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "of another tenant"
    outside.write_text("private")
    places = [str(outside), "/etc/passwd", str(Path(__file__).parents[2] / "pyproject.toml")]

    outcome = node_bench.done(
        PROCESS, {"mode": "walls", "number": os.getpid()}, inputs={"data": places}
    )

    found = outcome.outputs["value"]
    assert found["reads"] == []
    assert found["writes"] == []
    assert found["own"] is True
    assert found["connects"] is False
    assert found["kills"] is False


@FAR_AND_NEAR
def test_a_secret_reaches_the_far_side_and_nothing_else(
    node_bench: Bench, receiver: Receiver, node_type: NodeType
) -> None:
    outcome = node_bench.done(
        node_type, {"mode": "send", "token": "{{ secrets.TOKEN }}", "url": receiver.url}
    )

    # The server got it and sent it back, so redaction is what keeps it out of the output.
    assert "[redacted]" in outcome.outputs["value"]["body"]
    assert node_bench.around.secrets.opened == ["TOKEN"]
    assert "s3cr3t-value" not in str(outcome.outputs)
    assert "s3cr3t-value" not in node_bench.logs.text


def test_a_secret_not_referred_to_is_denied(node_bench: Bench) -> None:
    failed = node_bench.failed(INLINE, {"mode": "steal", "token": "{{ secrets.TOKEN }}"})

    assert failed.code == "SECRET_NOT_DECLARED"
    assert node_bench.around.secrets.opened == []


def test_a_secret_in_a_parameter_not_meant_for_one_is_denied(node_bench: Bench) -> None:
    failed = node_bench.failed(INLINE, {"mode": "{{ secrets.TOKEN }}"})

    assert failed.code == "SECRET_NOT_DECLARED"


def test_a_secret_named_by_data_is_not_opened(node_bench: Bench, receiver: Receiver) -> None:
    failed = node_bench.failed(
        INLINE,
        {"mode": "send", "token": "{{ parameters.token }}", "url": receiver.url},
        parameters={"token": "{{ secrets.OTHER }}"},
    )

    assert failed.code == "SECRET_NOT_DECLARED"
    assert node_bench.around.secrets.opened == []


def test_a_missing_secret_is_named(node_bench: Bench, receiver: Receiver) -> None:
    failed = node_bench.failed(
        INLINE, {"mode": "send", "token": "{{ secrets.ABSENT }}", "url": receiver.url}
    )

    assert failed.code == "SECRET_MISSING"
    assert failed.details == {"secret": "ABSENT"}


@FAR_AND_NEAR
def test_an_address_inside_is_denied(node_bench: Bench, node_type: NodeType) -> None:
    inside = "http://169.254.169.254/latest/meta-data"

    failed = node_bench.failed(
        node_type, {"mode": "send", "token": "{{ secrets.TOKEN }}", "url": inside}
    )

    assert failed.code == "EGRESS_DENIED"
