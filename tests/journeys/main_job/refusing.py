"""Bad input, by name: refused with a stable code and a way to mend it, nothing half-written."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.journeys.main_job import documents
from tests.journeys.main_job.api import Client
from tests.journeys.main_job.journey import Journey, payload, refusals, until
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
mutation Key($expires: DateTime) {
  createApiKey(name: "short-lived", scopes: ["workflows:read"], expiresAt: $expires) {
    apiKey { id }
    secret
    errors { code }
  }
}
"""
REVOKE = "mutation Revoke($id: ID!) { revokeApiKey(id: $id) { ok errors { code } } }"
WHO = "query { tenant { slug } }"
COUNT = "query { workflows(first: 1) { totalCount { value } } }"
ENDLESS = "{{ [x for x in range(1000000000000) if x < 0] }}"
MEBIBYTE = 1024 * 1024
KEY_SECONDS = 2.0
CONFLICT = 409

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


BAD: tuple[tuple[str, Callable[[Document], None], str], ...] = (
    ("an unknown node type", _unknown_type, "NODE_TYPE_UNKNOWN"),
    ("a required port without input", _missing_port, "INPUT_MISSING"),
    ("a cycle", _cycle, "CYCLE"),
    ("an unknown field", _unknown_field, "UNKNOWN_FIELD"),
    ("a parameter of the wrong type", _wrong_type, "CONFIGURATION_WRONG_TYPE"),
    ("an oversized document", _oversized, "DOCUMENT_TOO_LARGE"),
)


def refuse(journey: Journey) -> None:
    """What an author, a client and a guest can get wrong."""
    _documents(journey)
    workflow = _draft(journey)
    _stale(journey, workflow)
    _endless(journey)
    _dead_keys(journey)
    _tampered(journey)
    data = journey.acme.ask(EXECUTE, id=workflow, parameters={"nonsense": 1}, key=None)
    journey.ledger.expect(
        "A parameter nobody declared is refused", refusals(data, "executeWorkflow"), data
    )


def _documents(journey: Journey) -> None:
    ledger = journey.ledger
    before = _count(journey.acme)
    for what, spoil, code in BAD:
        document = copy.deepcopy(_small())
        spoil(document)
        answer = journey.acme.answer(CREATE, document=document)
        made = payload(answer.get("data") or {}, "createWorkflow")
        errors = made.get("errors") or answer.get("errors") or []
        issues = [issue for error in errors for issue in error.get("issues", [])]
        found = sorted({issue["code"] for issue in issues})
        ledger.expect(
            f"Refused by name: {what}", not made.get("workflow") and code in found, found or errors
        )
        sentences = [issue["message"] for issue in issues if issue["code"] == code]
        ledger.expect("  with a sentence", all(sentences) and sentences, sentences)
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
    ledger.equal("  by its time limit", (seen["error"] or {}).get("code"), "EXPRESSION_TIMEOUT")


def _dead_keys(journey: Journey) -> None:
    ledger, acme = journey.ledger, journey.product.acme
    with Client.person(journey.product, acme.email, acme.password, tenant=acme.slug) as owner:
        soon = datetime.now(UTC) + timedelta(seconds=KEY_SECONDS)
        fleeting, lasting = (owner.ask(NEW_KEY, expires=at) for at in (soon.isoformat(), None))
        keys = [payload(data, "createApiKey").get("secret") for data in (fleeting, lasting)]
        ledger.need("Two keys are made and shown once", all(keys), (fleeting, lasting))
        with journey.acme.with_key(str(keys[1])) as client:
            ledger.equal("  one opens", client.ask(WHO)["tenant"]["slug"], "acme")
            owner.ask(REVOKE, id=payload(lasting, "createApiKey")["apiKey"]["id"])
            ledger.equal("  revoked, it is refused at once", _code(client), "UNAUTHENTICATED")
        with journey.acme.with_key(str(keys[0])) as client:
            seen = until(lambda: _code(client), good=bool, seconds=KEY_SECONDS * 5)
            ledger.equal("  the other, expired, is refused too", seen, "UNAUTHENTICATED")


def _code(client: Client) -> str | None:
    """The code by which the API refuses this caller."""
    errors = client.answer(WHO).get("errors") or [{}]
    code: str | None = errors[0].get("extensions", {}).get("code")
    return code


def _tampered(journey: Journey) -> None:
    """Somebody with access to the disk changes an artifact: nobody gets the changed bytes."""
    ledger = journey.ledger
    seen = outcome(journey.globex, journey.executions[documents.CARS])
    digest = seen["result"]["store"]["receipt"]["digest"]
    files = [
        path
        for path in journey.product.directory.rglob("*")
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest[7:]
    ]
    file = ledger.need("An artifact lies under its digest", files[0] if files else None, digest)
    content = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    answer = journey.globex.page(f"/t/{journey.product.globex.slug}/artifacts/{digest}")
    file.write_bytes(content)
    ledger.expect(
        "  tampered with, it is refused",
        answer.status_code == CONFLICT and content[:-1] not in answer.content,
        answer.status_code,
    )
    ledger.expect("  by name", "DIGEST_MISMATCH" in answer.text, answer.text)


def _count(client: Client) -> int:
    return int(client.ask(COUNT)["workflows"]["totalCount"]["value"])
