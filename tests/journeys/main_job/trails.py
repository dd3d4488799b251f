"""What is written down: usage and audit; and what another organization can see: nothing."""

from __future__ import annotations

import json
import uuid
from base64 import b64decode, b64encode

from tests.journeys.main_job import documents
from tests.journeys.main_job.api import Client
from tests.journeys.main_job.journey import Journey, until

LEDGER = "query { usageLedger(first: 50) { nodes { executionId state steps } } }"
USAGE = "query { tenant { slug usage { metric used limit } } }"
AUDIT = "query { auditLog(first: 100) { nodes { action actor hash previousHash target } } }"
NODE = "query Node($id: ID!) { node(id: $id) { __typename id } }"
WORKFLOW = "query Workflow($id: ID!) { workflow(id: $id) { id name } }"
EXECUTION = "query Execution($id: ID!) { execution(id: $id) { id status } }"
COMMIT = """
mutation Commit($id: ID!) {
  commitVersion(workflowId: $id, branch: "main", message: "m") {
    version { id }
    errors { code message path }
  }
}
"""
EXECUTE = """
mutation Execute($id: ID!) {
  executeWorkflow(workflowId: $id) { execution { id } errors { code message path } }
}
"""
DOWNLOADS = "query Downloads($id: ID!) { getWorkflow(id: $id) { downloads } }"
LISTS = "query { workflows(first: 100) { nodes { id name } } }"
EXPECTED_ACTIONS = {
    "acme": {
        *("organization.create", "workflow.create", "version.commit"),
        *("marketplace.publish", "approval.approve", "marketplace.release"),
    },
    "globex": {"organization.create", "marketplace.install", "run.start"},
}


def ledgers(journey: Journey) -> None:
    """Usage counted, every action audited, the chain sealed."""
    ledger = journey.ledger
    usage = until(
        lambda: _usage(journey.globex), good=lambda seen: seen.get("runs_per_month", 0) >= 2
    )
    ledger.expect("Globex' runs are counted", usage.get("runs_per_month", 0) >= 2, usage)
    ledger.expect("  and its stored bytes", usage.get("storage_bytes", 0) > 0, usage)
    wanted = set(journey.executions.values())
    entries = until(
        lambda: journey.globex.ask(LEDGER)["usageLedger"]["nodes"],
        good=lambda rows: wanted <= {row["executionId"] for row in rows},
    )
    mine = [row for row in entries if row["executionId"] in wanted]
    ledger.expect(
        "  every run stands in the ledger once, with its steps",
        len(mine) == len(wanted) and all(int(row["steps"]) > 0 for row in mine),
        entries,
    )
    for client, slug in ((journey.acme, "acme"), (journey.globex, "globex")):
        rows = client.ask(AUDIT)["auditLog"]["nodes"]
        actions = {row["action"] for row in rows}
        missing = EXPECTED_ACTIONS[slug] - actions
        ledger.expect(f"The audit log of {slug} names what was done", not missing, sorted(actions))
        sealed = until(
            lambda client=client: client.ask(AUDIT)["auditLog"]["nodes"],  # type: ignore[misc]
            good=lambda rows: all(row["hash"] for row in rows),
            seconds=30,
        )
        chained = {row["previousHash"] for row in sealed} & {row["hash"] for row in sealed}
        ledger.expect(
            "  sealed into a chain of hashes", len(chained) >= len(sealed) - 1, len(sealed)
        )


def downloads(journey: Journey) -> None:
    """A download is an organization that ran it with success; its first run rings for the count."""
    for name in documents.PUBLISHED:
        seen = until(
            lambda name=name: journey.acme.ask(DOWNLOADS, id=journey.listings[name])["getWorkflow"],  # type: ignore[misc]
            good=lambda listing: listing["downloads"] >= 1,
        )
        journey.ledger.equal(f"{name} has one download", seen["downloads"], 1)


def isolation(journey: Journey) -> None:
    """Every id of Acme's, asked for by Globex, is answered like one that does not exist."""
    ledger = journey.ledger
    name = documents.CARS
    foreign = journey.workflows[name]
    questions = [
        ("a workflow", NODE, foreign),
        ("a workflow by its field", WORKFLOW, foreign),
        ("a version", NODE, journey.versions[name]),
        ("a release that was refused", NODE, journey.releases[documents.MALICIOUS]),
        ("a commit to it", COMMIT, foreign),
        ("a run of it", EXECUTE, foreign),
    ]
    for what, operation, identifier in questions:
        ledger.equal(
            f"Globex cannot reach Acme's: {what}",
            _answer(journey.globex, operation, identifier),
            _answer(journey.globex, operation, _random_like(identifier)),
        )
    mine = journey.executions[name]
    ledger.equal(
        "Acme cannot reach Globex' run",
        _answer(journey.acme, EXECUTION, mine),
        _answer(journey.acme, EXECUTION, _random_like(mine)),
    )
    listed = {node["id"] for node in journey.globex.ask(LISTS)["workflows"]["nodes"]}
    ledger.expect(
        "No list of Globex' shows a workflow of Acme's",
        not listed & set(journey.workflows.values()),
        len(listed),
    )


def _usage(client: Client) -> dict[str, int]:
    rows = client.ask(USAGE)["tenant"]["usage"]
    return {row["metric"]: int(row["used"]) for row in rows}


def _answer(client: Client, operation: str, identifier: str) -> str:
    """The answer without what differs in every answer."""
    body = client.answer(operation, id=identifier)
    body.pop("extensions", None)
    for error in body.get("errors") or []:
        error.pop("locations", None)
        error.get("extensions", {}).pop("requestId", None)
    return json.dumps(body, sort_keys=True)


def _random_like(identifier: str) -> str:
    """An id of the same type that nobody has."""
    kind = b64decode(identifier).decode().partition(":")[0]
    return b64encode(f"{kind}:{uuid.uuid4()}".encode()).decode()
