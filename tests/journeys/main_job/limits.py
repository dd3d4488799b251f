"""What is not there, and what is used up: an install without its secret, a run over quota."""

from __future__ import annotations

from typing import Any

from tests.journeys.main_job import documents
from tests.journeys.main_job.api import Client
from tests.journeys.main_job.installing import INSTALL, INSTALLATIONS
from tests.journeys.main_job.journey import Journey, payload, refusals, until
from tests.journeys.main_job.publishing import APPROVALS, CREATE, DECIDE, PUBLISH, RELEASE
from tests.journeys.main_job.running import EXECUTE

SET_SECRET = """
mutation SetSecret($name: String!, $value: String!) {
  setSecret(name: $name, value: $value, environment: DEVELOPMENT) { ok errors { code message } }
}
"""
OPEN = "query Open { workflows(first: 50) { totalCount { value } } }"
RUNS = """
query Runs($id: ID!) {
  workflow(id: $id) { executions(first: 1) { totalCount { value } } }
}
"""
QUOTA = """
mutation Execute($id: ID!) {
  executeWorkflow(workflowId: $id) {
    execution { id }
    errors { code message ... on QuotaExceededError { metric limit used } }
  }
}
"""
SLUG = "initech"
QUEUED_ON_FREE = 100


def withhold(journey: Journey) -> None:
    """A fourth listing needs a secret; a new organization has a small plan."""
    _without_secret(journey)
    _over_quota(journey)


def _without_secret(journey: Journey) -> None:
    ledger, globex = journey.ledger, journey.globex
    offered = journey.acme.ask(
        PUBLISH,
        workflow={"document": documents.CALLER},
        metadata=documents.METADATA[documents.CARS] | {"name": "Caller", "tags": ["call"]},
    )
    made = payload(offered, "publishWorkflow")
    ledger.need("Acme offers a workflow that needs a secret", made.get("listing"), offered)
    _approve(journey, made["version"]["id"])
    wanted: dict[str, Any] = {"acceptLicense": True}
    asked = {"id": made["listing"]["id"], "overrides": wanted, "key": None}
    plan = payload(globex.ask(INSTALL, **asked, plan=True), "installWorkflow")["plan"]
    ledger.expect("  the plan names what is missing", plan["missingConnections"], plan)
    wanted["acceptedPermissions"] = [entry["key"] for entry in plan["permissions"]]
    before = _counts(globex)
    data = globex.ask(INSTALL, **asked, plan=False)
    ledger.equal(
        "  without it, installing is refused", refusals(data, "installWorkflow"), ["SECRET_MISSING"]
    )
    (error,) = payload(data, "installWorkflow")["errors"]
    ledger.expect("  the sentence names it", documents.CALLER_SECRET in error["message"], error)
    ledger.equal("  and nothing is half-written", _counts(globex), before)
    globex.ask(SET_SECRET, name=documents.CALLER_SECRET, value="correct horse battery staple")
    done = payload(globex.ask(INSTALL, **asked, plan=False), "installWorkflow")
    ledger.expect("  with it, it installs", done.get("installation"), done)


def _approve(journey: Journey, release: str) -> None:
    waiting = until(
        lambda: journey.staff.ask(APPROVALS)["approvals"]["nodes"],
        good=lambda nodes: any(node["kind"] == "LISTING_PUBLISH" for node in nodes),
    )
    for entry in waiting:
        journey.staff.ask(DECIDE, id=entry["id"])
    seen = until(
        lambda: journey.acme.ask(RELEASE, id=release)["node"]["status"],
        good=lambda status: status == "PUBLISHED",
    )
    journey.ledger.equal("  it is scanned, approved and published", seen, "PUBLISHED")


def _counts(client: Client) -> tuple[int, int]:
    """Installations and workflows of an organization."""
    installed = client.ask(INSTALLATIONS)["installations"]["totalCount"]["value"]
    return int(installed), int(client.ask(OPEN)["workflows"]["totalCount"]["value"])


def _over_quota(journey: Journey) -> None:
    """On the free plan: runs whose step waits for a worker nobody started, until one too many."""
    ledger, acme = journey.ledger, journey.product.acme
    with Client.person(journey.product, acme.email, acme.password, tenant=SLUG) as founder:
        founder.post("/organizations/new/", {"name": "Initech", "slug": SLUG})
        data = founder.ask(CREATE, document=documents.WAITING)
        workflow = ledger.need(
            "A new organization draws a workflow for machines nobody has",
            payload(data, "createWorkflow").get("workflow"),
            data,
        )
        for _ in range(QUEUED_ON_FREE):
            refused = refusals(founder.ask(EXECUTE, id=workflow["id"]), "executeWorkflow")
            if refused:
                ledger.expect("  its plan takes 100 waiting runs", False, refused)
                return
        data = founder.ask(QUOTA, id=workflow["id"])
        ledger.equal("  one more is refused", refusals(data, "executeWorkflow"), ["QUOTA_EXCEEDED"])
        error = (payload(data, "executeWorkflow").get("errors") or [{}])[0]
        ledger.expect(
            "  with metric, limit and use",
            (error.get("metric"), error.get("limit"), error.get("used"))
            == ("queued_runs", str(QUEUED_ON_FREE), str(QUEUED_ON_FREE)),
            error,
        )
        seen = founder.ask(RUNS, id=workflow["id"])["workflow"]["executions"]["totalCount"]
        ledger.equal("  and nothing is half-written", int(seen["value"]), QUEUED_ON_FREE)
