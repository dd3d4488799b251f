"""Globex runs what it installed and watches every event arrive in order."""

from __future__ import annotations

from typing import Any

from tests.journeys.main_job import documents, results
from tests.journeys.main_job.api import ENDED, Client, Live
from tests.journeys.main_job.journey import Journey, payload
from tests.journeys.main_job.product import Login

EXECUTE = """
mutation Execute($id: ID!, $parameters: JSON, $key: ID) {
  executeWorkflow(workflowId: $id, parameters: $parameters, idempotencyKey: $key) {
    execution { id status }
    errors { code message path }
  }
}
"""
EXECUTION = """
query Execution($id: ID!) {
  execution(id: $id) {
    status result version trigger parameters
    error { code message nodeId }
    nodeRuns(first: 100) { nodes { nodeId status attempt outputPreview } }
  }
}
"""

FIRST_EVENT_SECONDS = 30.0


def run(journey: Journey) -> None:
    """Both workflows, each with its own expectations about results."""
    for name, check in ((documents.CARS, results.cars), (documents.CANCER, results.cancer)):
        execution, live = start(
            journey,
            journey.globex,
            journey.product.globex,
            journey.installed[name],
            name=name,
        )
        journey.executions[name] = execution
        live.first.wait(FIRST_EVENT_SECONDS)
        meanwhile = outcome(journey.globex, execution)["status"]
        journey.ledger.expect(
            "  an event arrives while it runs",
            live.first.is_set() and meanwhile not in ENDED,
            meanwhile,
        )
        watch(journey, live, live.finish())
        seen = outcome(journey.globex, execution)
        journey.ledger.need(
            f"{name} succeeds", seen["status"] == "SUCCEEDED", seen["error"] or seen["status"]
        )
        check(journey.ledger, journey.globex, journey.product.globex.slug, seen)


def start(
    journey: Journey,
    client: Client,
    login: Login,
    workflow: str,
    *,
    name: str,
    parameters: dict[str, Any] | None = None,
) -> tuple[str, Live]:
    """Start a run (twice with one key: one run) and listen to it."""
    answers = [
        client.ask(EXECUTE, id=workflow, parameters=parameters, key=f"run-{name}") for _ in range(2)
    ]
    first, second = (payload(data, "executeWorkflow").get("execution") for data in answers)
    first = journey.ledger.need(f"A run of {name} starts", first, answers[0])
    same = second and second["id"] == first["id"]
    journey.ledger.expect("  a repeat with its key is the same run", bool(same), answers[1])
    return first["id"], Live(journey.product, login, first["id"]).start()


def watch(journey: Journey, live: Live, events: list[dict[str, Any]]) -> None:
    """Every event over the WebSocket, in order, without a gap."""
    sequence = live.sequence
    journey.ledger.expect(
        "  live events arrive until its end",
        bool(events) and not live.problem,
        live.problem or f"{len(events)} events",
    )
    if sequence:
        journey.ledger.fact(f"seq 1–{sequence[-1]} live")
    gapless = (
        sequence == list(range(sequence[0], sequence[0] + len(sequence))) if sequence else False
    )
    journey.ledger.expect(
        "  in order and without a gap",
        gapless and sequence[0] == 1,
        f"seq {sequence[0]}–{sequence[-1]}" if gapless else sequence,
    )


def outcome(client: Client, execution: str) -> dict[str, Any]:
    """The run as the API shows it."""
    found: dict[str, Any] = client.ask(EXECUTION, id=execution)["execution"]
    return found
