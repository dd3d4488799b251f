"""Acme draws, commits and publishes; the scan lets two pass and refuses one; staff approve."""

from __future__ import annotations

import re
from typing import Any

from tests.journeys.main_job import documents
from tests.journeys.main_job.journey import Journey, payload, refusals, until

CREATE = """
mutation Create($document: WorkflowDocument!) {
  createWorkflow(document: $document) {
    workflow { id name draft { revision validation { status issues { code message nodeId } } } }
    errors { code message path }
  }
}
"""
COMMIT = """
mutation Commit($id: ID!, $version: String) {
  commitVersion(workflowId: $id, branch: "main", message: "First version", version: $version) {
    version { id version commit { hash author { displayName } } }
    errors { code message path }
  }
}
"""
PUBLISH = """
mutation Publish($workflow: WorkflowInput!, $metadata: PublishMetadata!) {
  publishWorkflow(workflow: $workflow, metadata: $metadata) {
    listing { id }
    version { id status }
    errors { code message path }
  }
}
"""
RELEASE = """
query Release($id: ID!) {
  node(id: $id) {
    ... on ListingVersion {
      status
      digest
      securityScan { verdict score findings { rule severity nodeId path remediation } }
    }
  }
}
"""
APPROVALS = """
query Approvals {
  approvals(status: PENDING, first: 50) {
    nodes { id kind status viewerCanDecide scan { verdict } }
  }
}
"""
DECIDE = """
mutation Decide($id: ID!) {
  decideApproval(approvalId: $id, approve: true, comment: "Reviewed: does what it says.") {
    approval { status }
    errors { code message }
  }
}
"""


def draw(journey: Journey) -> None:
    """Two workflows from documents in the repository, committed as 1.0.0."""
    ledger = journey.ledger
    for name in documents.PUBLISHED:
        document = documents.load(name)
        data = journey.acme.ask(CREATE, document=document)
        workflow = ledger.need(
            f"Acme creates “{document['name']}”",
            payload(data, "createWorkflow").get("workflow"),
            data,
        )
        journey.workflows[name] = workflow["id"]
        report = workflow["draft"]["validation"]
        ledger.equal("  its document is valid", report["status"], "VALID")
        data = journey.acme.ask(COMMIT, id=workflow["id"], version="1.0.0")
        version = ledger.need(
            "  and is committed as 1.0.0", payload(data, "commitVersion").get("version"), data
        )
        ledger.expect(
            "  under the hash of its content",
            str(version["commit"]["hash"]).startswith("sha256:"),
            version["commit"]["hash"],
        )
        journey.versions[name] = version["id"]
        again = journey.acme.ask(COMMIT, id=workflow["id"], version="1.0.0")
        ledger.equal(
            "  the same number again is refused", refusals(again, "commitVersion"), ["CONFLICT"]
        )


def publish(journey: Journey) -> None:
    """Two clean ones and one that evaluates its input and carries a token."""
    for name in documents.PUBLISHED:
        _offer(journey, name, {"workflowVersionId": journey.versions[name]})
    _offer(journey, documents.MALICIOUS, {"document": documents.load(documents.MALICIOUS)})

    ledger = journey.ledger
    for name in documents.PUBLISHED:
        release = _scanned(journey, name)
        ledger.equal(f"The scan lets {name} pass", release["securityScan"]["verdict"], "PASSED")
        ledger.equal("  and it waits for approval", release["status"], "AWAITING_APPROVAL")
    refused = _scanned(journey, documents.MALICIOUS)
    findings = refused["securityScan"]["findings"]
    ledger.equal("The scan refuses the third", refused["securityScan"]["verdict"], "FAILED")
    ledger.equal("  it is rejected", refused["status"], "REJECTED")
    ledger.equal(
        "  with exactly these findings",
        sorted((f["rule"], f["severity"], f["nodeId"]) for f in findings),
        sorted(documents.MALICIOUS_FINDINGS),
    )
    ledger.fact("2 passed, 1 refused: " + ", ".join(sorted(f["rule"] for f in findings)))
    ledger.expect(
        "  each with its place and its remedy",
        all(f["path"] and f["remediation"] for f in findings),
        findings[:1],
    )
    ledger.expect(
        "  and none repeats the token",
        re.search(documents.TOKEN_FORM + r"\w{8}", str(refused)) is None,
    )


def approve(journey: Journey) -> None:
    """Staff see two requests, not the refused one, and approve both."""
    ledger = journey.ledger
    waiting = [
        entry
        for entry in journey.staff.ask(APPROVALS)["approvals"]["nodes"]
        if entry["kind"] == "LISTING_PUBLISH"
    ]
    ledger.equal("Staff find two releases to decide", len(waiting), 2)
    acme = journey.acme.ask(APPROVALS)["approvals"]["nodes"]
    ledger.expect(
        "  Acme cannot decide its own", not any(entry["viewerCanDecide"] for entry in acme), acme
    )
    for entry in waiting:
        data = journey.staff.ask(DECIDE, id=entry["id"])
        approval = ledger.need(
            "  Staff approve with a reason", payload(data, "decideApproval").get("approval"), data
        )
        ledger.equal("    it is approved", approval["status"], "APPROVED")
    for name in documents.PUBLISHED:
        release = until(
            lambda name=name: _release(journey, name),  # type: ignore[misc]
            good=lambda release: release["status"] == "PUBLISHED",
        )
        ledger.equal(f"  {name} is published", release["status"], "PUBLISHED")


def _offer(journey: Journey, name: str, workflow: dict[str, Any]) -> None:
    data = journey.acme.ask(PUBLISH, workflow=workflow, metadata=documents.METADATA[name])
    result = payload(data, "publishWorkflow")
    held = result.get("listing") and result.get("version")
    journey.ledger.need(f"Acme offers {name}", held, data)
    journey.listings[name] = result["listing"]["id"]
    journey.releases[name] = result["version"]["id"]
    journey.ledger.expect(
        "  it is scanned before anybody sees it",
        result["version"]["status"] in {"UPLOADED", "SCANNING"},
        result["version"]["status"],
    )


def _release(journey: Journey, name: str) -> dict[str, Any]:
    found: dict[str, Any] = journey.acme.ask(RELEASE, id=journey.releases[name])["node"]
    return found


def _scanned(journey: Journey, name: str) -> dict[str, Any]:
    return until(
        lambda: _release(journey, name),
        good=lambda release: release["status"] not in {"UPLOADED", "SCANNING"},
    )
