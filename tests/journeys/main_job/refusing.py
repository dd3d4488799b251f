"""Bad input, by name: refused with a stable code and a way to mend it, nothing half-written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.journeys.main_job.api import Client
from tests.journeys.main_job.journey import Journey, payload, refusals
from tests.journeys.main_job.running import EXECUTE, outcome, start

CREATE = """
mutation Create($document: WorkflowDocument!) {
  createWorkflow(document: $document) {
    workflow { id draft { revision } }
    errors { __typename code message ... on GraphValidationError { issues { code message path } } }
  }
}
"""
SAVE = """
mutation Save($id: ID!, $revision: Int!, $document: WorkflowDocument!) {
  saveDraft(workflowId: $id, expectedRevision: $revision, document: $document) {
    workflow { draft { revision } }
    errors { code message ... on StaleRevisionError { expectedRevision currentRevision } }
  }
}
"""
NEW_KEY = """
mutation Key { createApiKey(name: "short-lived", scopes: ["workflows:read"]) {
  apiKey { id } secret errors { code }
} }
"""
REVOKE = "mutation Revoke($id: ID!) { revokeApiKey(id: $id) { ok errors { code } } }"
WHO = "query { tenant { slug } }"
COUNT = "query { workflows(first: 1) { totalCount { value } } }"
ENDLESS = "{{ sum([a * b for a in range(100000) for b in range(100000)]) }}"
MEBIBYTE = 1024 * 1024

Document = dict[str, Any]


def _small() -> Document:
    return {
        "name": "Small",
        "type": "dataPipeline",
        "nodes": [
            {"id": "one", "type": "input.constant", "configuration": {"value": 1}},
            {"id": "two", "type": "logic.python", "configuration": {"source": "result = data"}},
        ],
        "connections": [
            {
                "id": "c1",
                "source": "one",
                "sourcePort": "value",
                "target": "two",
                "targetPort": "data",
            }
        ],
    }


def _unknown_type(document: Document) -> None:
    document["nodes"][0]["type"] = "input.oracle"


def _missing_port(document: Document) -> None:
    document["nodes"].append(
        {"id": "lost", "type": "output.object_store", "configuration": {"name": "x"}}
    )


def _cycle(document: Document) -> None:
    document["nodes"][0] = {**document["nodes"][1], "id": "one"}
    link = document["connections"][0] | {"sourcePort": "result"}
    back = {"id": "c2", "source": "two", "target": "one"}
    document["connections"] = [link, {**link, **back}]


def _unknown_field(document: Document) -> None:
    document["nodes"][0]["colour"] = "red"


def _wrong_type(document: Document) -> None:
    document["nodes"][1]["configuration"]["source"] = 7


def _oversized(document: Document) -> None:
    document["description"] = "x" * (MEBIBYTE + 1)


BAD: tuple[tuple[str, Callable[[Document], None], frozenset[str]], ...] = (
    ("an unknown node type", _unknown_type, frozenset({"NODE_TYPE_UNKNOWN"})),
    ("a required port without input", _missing_port, frozenset({"INPUT_MISSING"})),
    ("a cycle", _cycle, frozenset({"CYCLE"})),
    ("an unknown field", _unknown_field, frozenset({"UNKNOWN_FIELD"})),
    ("a parameter of the wrong type", _wrong_type, frozenset({"CONFIGURATION_INVALID", "INVALID"})),
    ("an oversized document", _oversized, frozenset({"TOO_LARGE", "DOCUMENT_TOO_LARGE"})),
)


def refuse(journey: Journey) -> None:
    """What an author, a client and a guest can get wrong."""
    _documents(journey)
    workflow = _draft(journey)
    _stale(journey, workflow)
    _endless(journey)
    _dead_key(journey)
    data = journey.acme.ask(EXECUTE, id=workflow, parameters={"nonsense": 1}, key=None)
    journey.ledger.expect(
        "A parameter nobody declared is refused", refusals(data, "executeWorkflow"), data
    )


def _documents(journey: Journey) -> None:
    ledger = journey.ledger
    before = _count(journey.acme)
    for what, spoil, codes in BAD:
        document = copy.deepcopy(_small())
        spoil(document)
        answer = journey.acme.answer(CREATE, document=document)
        made = payload(answer.get("data") or {}, "createWorkflow")
        errors = made.get("errors") or answer.get("errors") or []
        issues = [issue for error in errors for issue in error.get("issues", [])]
        found = {issue["code"] for issue in issues} | {error.get("code") for error in errors}
        ledger.expect(
            f"Refused by name: {what}",
            not made.get("workflow") and found & codes,
            sorted(map(str, found)),
        )
        ledger.expect("  with a sentence", all(e["message"] for e in (issues or errors)), errors)
    ledger.equal("None of them left a workflow behind", _count(journey.acme), before)


def _draft(journey: Journey) -> str:
    data = journey.acme.ask(CREATE, document=_small())
    made = journey.ledger.need(
        "The same document unspoiled is taken",
        payload(data, "createWorkflow").get("workflow"),
        data,
    )
    return str(made["id"])


def _stale(journey: Journey, workflow: str) -> None:
    ledger = journey.ledger
    first = journey.acme.ask(SAVE, id=workflow, revision=1, document=_small() | {"name": "Mine"})
    ledger.need("A draft is saved", payload(first, "saveDraft").get("workflow"), first)
    late = journey.acme.ask(SAVE, id=workflow, revision=1, document=_small() | {"name": "Late"})
    ledger.equal("  a stale save is refused", refusals(late, "saveDraft"), ["STALE_REVISION"])


def _endless(journey: Journey) -> None:
    """An expression that would compute for hours: the run fails, the worker serves the next."""
    ledger = journey.ledger
    document = _small()
    document["nodes"][0]["configuration"]["value"] = ENDLESS
    made = payload(journey.acme.ask(CREATE, document=document), "createWorkflow")
    workflow = ledger.need("An endless expression is only text", made.get("workflow"), made)
    execution, live = start(
        journey, journey.acme, journey.product.acme, workflow["id"], name="endless"
    )
    live.finish(seconds=60)
    seen = outcome(journey.acme, execution)
    ledger.equal("  its run fails and ends", seen["status"], "FAILED")
    ledger.fact(f"endless expression: {(seen['error'] or {}).get('code')}")


def _dead_key(journey: Journey) -> None:
    ledger = journey.ledger
    acme = journey.product.acme
    with Client.person(journey.product, acme.email, acme.password, tenant=acme.slug) as owner:
        data = owner.ask(NEW_KEY)
        issued = payload(data, "createApiKey")
        key = ledger.need("A key is made and shown once", issued.get("secret"), data)
        with journey.acme.with_key(key) as client:
            ledger.equal("  it opens", client.ask(WHO)["tenant"]["slug"], "acme")
            owner.ask(REVOKE, id=issued["apiKey"]["id"])
            errors = client.answer(WHO).get("errors") or [{}]
    code = errors[0].get("extensions", {}).get("code")
    ledger.equal("  revoked, it is refused at once", code, "UNAUTHENTICATED")


def _count(client: Client) -> int:
    return int(client.ask(COUNT)["workflows"]["totalCount"]["value"])
