"""Globex finds, reads the plan, installs with an override."""

from __future__ import annotations

from typing import Any

from tests.journeys.main_job import documents
from tests.journeys.main_job.journey import Journey, payload, refusals

SEARCH = """
query Search($query: String) {
  searchWorkflows(query: $query, first: 10) {
    totalCount { value isExact }
    didYouMean
    nodes {
      id name version downloads author { name }
      securityScan { verdict }
      requirements { nodeTypes { type available } permissions { key risk } }
    }
  }
}
"""
INSTALL = """
mutation Install($id: ID!, $overrides: ConfigurationOverrides, $plan: Boolean, $key: ID) {
  installWorkflow(
    workflowId: $id, targetEnvironment: DEVELOPMENT, configuration: $overrides,
    planOnly: $plan, idempotencyKey: $key
  ) {
    installation { id status version configuration }
    workflow { id name }
    plan {
      version
      permissions { key risk }
      missingConnections { slot }
      compatibility { compatible issues { message blocking } }
    }
    errors { code message path }
  }
}
"""
INSTALLATIONS = "query { installations(first: 20) { totalCount { value } nodes { id status } } }"


def search(journey: Journey) -> None:
    """By word, by the beginning of a word, with a misspelling, and not what was refused."""
    ledger = journey.ledger
    for query, name in documents.QUERIES:
        found = journey.globex.ask(SEARCH, query=query)["searchWorkflows"]
        ids = [node["id"] for node in found["nodes"]]
        if found["didYouMean"] and not ids:
            ledger.fact(f"“{query}” → “{found['didYouMean']}”")
            found = journey.globex.ask(SEARCH, query=found["didYouMean"])["searchWorkflows"]
            ids = [node["id"] for node in found["nodes"]]
        ledger.expect(
            f"Globex finds {name} by “{query}”",
            journey.listings[name] in ids,
            [node["name"] for node in found["nodes"]],
        )
    everything = journey.globex.ask(SEARCH, query=None)["searchWorkflows"]["nodes"]
    ids = [node["id"] for node in everything]
    ledger.expect(
        "  what the scan refused is not there",
        journey.listings[documents.MALICIOUS] not in ids,
        [node["name"] for node in everything],
    )
    ledger.expect(
        "  every result says what it needs",
        all(node["requirements"]["nodeTypes"] for node in everything) and everything,
        len(everything),
    )


def install(journey: Journey) -> None:
    """The plan writes nothing; the install takes the override; the same key installs once."""
    ledger = journey.ledger
    for name in documents.PUBLISHED:
        overrides = {"parameters": documents.OVERRIDES[name], "acceptLicense": True}
        plan = _install(journey, name, overrides, plan=True)
        ledger.need(f"Globex sees the plan of {name}", plan.get("plan"), plan)
        ledger.expect("  it is compatible", plan["plan"]["compatibility"]["compatible"], plan)
        accepted = [entry["key"] for entry in plan["plan"]["permissions"]]
        before = _count(journey)
        wanted = {**overrides, "acceptedPermissions": accepted}
        done = _install(journey, name, wanted, key=f"install-{name}")
        ledger.need(f"Globex installs {name}", done.get("installation"), done)
        ledger.equal("  it is active", done["installation"]["status"], "ACTIVE")
        again = _install(journey, name, wanted, key=f"install-{name}")
        ledger.equal("  the plan wrote nothing, a repeat neither", _count(journey), before + 1)
        ledger.equal("  a repeat gives the same", again.get("installation"), done["installation"])
        journey.installed[name] = done["workflow"]["id"]
    refused = journey.globex.ask(
        INSTALL, id=journey.listings[documents.MALICIOUS], overrides=None, plan=False, key=None
    )
    ledger.equal(
        "What was refused cannot be installed", refusals(refused, "installWorkflow"), ["NOT_FOUND"]
    )


def _install(
    journey: Journey,
    name: str,
    overrides: dict[str, Any],
    *,
    plan: bool = False,
    key: str | None = None,
) -> dict[str, Any]:
    data = journey.globex.ask(
        INSTALL, id=journey.listings[name], overrides=overrides, plan=plan, key=key
    )
    return payload(data, "installWorkflow")


def _count(journey: Journey) -> int:
    return int(journey.globex.ask(INSTALLATIONS)["installations"]["totalCount"]["value"])
