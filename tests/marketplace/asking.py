"""What the tests of the API ask, and as whom."""

from __future__ import annotations

import base64
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import marketplace as make
from tests.graphql.calls import Caller

TOKEN = "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"
EVIL = make.document(
    make.node("test.code", id="clean", code="rows = eval(value)"),
    make.node("test.text", id="send", text=f"token {TOKEN}"),
)
METADATA = {
    "name": "Cars ETL with quarantine",
    "description": "Validates cars.",
    "category": "DATA_PIPELINE",
    "version": "1.0.0",
    "changelog": "First.",
    "license": "Apache-2.0",
    "documentation": "# Cars",
    "platform": ">=0.1",
    "tags": ["cars"],
}
PUBLISH = """
mutation ($document: WorkflowDocument!, $metadata: PublishMetadata!, $key: ID) {
  publishWorkflow(workflow: {document: $document}, metadata: $metadata, idempotencyKey: $key) {
    listing { id slug status version author { handle } }
    version { id version status digest }
    scan { verdict score counts { critical high } findings { rule severity nodeId } }
    warnings { code }
    errors { __typename message code path
      ... on VersionConflictError { latestVersion suggestedVersion }
      ... on GraphValidationError { issues { code nodeId } }
      ... on SecurityScanError { scan { verdict
        findings(minSeverity: HIGH) { rule severity nodeId path cwe remediation detail } } }
    }
  }
}"""
INSTALL = """
mutation ($id: ID!, $configuration: ConfigurationOverrides, $planOnly: Boolean) {
  installWorkflow(workflowId: $id, targetEnvironment: DEVELOPMENT, configuration: $configuration,
                  planOnly: $planOnly) {
    installation { id version environment status listing { name } installedBy { displayName }
      availableUpdate { version } locallyModified }
    workflow { id name version installedFrom { version } }
    plan { version missingConnections { slot } permissions { key risk } missingVariables
      compatibility { compatible } requirements { parameters } price { formatted } }
    errors { __typename code path message
      ... on CompatibilityError { compatibility { issues { kind blocking } } } }
  }
}"""
EVERY_FIELD = """
  id name description category version downloads rating screenshots documentation slug url tagline
  tags iconUrl locale visibility status createdAt updatedAt publishedAt
  author { id handle name isOrganization verification { level } }
  reviews { id } reviewConnection { nodes { id } totalCount { value isExact } }
  ratingSummary { count mean bayesian wilsonLowerBound last90Days histogram { stars count } }
  pricing { model price { formatted } refundWindowDays plans { id } usageTiers { upTo } }
  requirements { platform parameters nodeTypes { type versionRange available }
    dependencies { slug } connections { slot } permissions { key reason risk }
    resources { cpu memory } }
  securityScan { id verdict score scannedAt scannerVersions isStale
    counts { low medium high critical }
    findings { id rule title severity detail suppressed } provenance { digest } }
  compatibility { compatible platformRange platformVersion issues { kind } testedOn }
  license { spdxId name isOsiApproved requiresAcceptance } media { url } deprecation { message }
  graphPreview { nodeCount edgeCount nodeTypes svgUrl }
  installStats { lifetime last30Days activeTenants30Days successRate30Days upgradesPending }
"""
SEARCH = """
query ($text: String, $first: Int, $after: String, $filter: WorkflowSearchFilter,
       $sort: SortOption, $tags: [String]) {
  searchWorkflows(query: $text, first: $first, after: $after, filter: $filter, sort: $sort,
                  tags: $tags) {
    edges { cursor score highlights { field html } node { name } }
    pageInfo { hasNextPage endCursor } totalCount { value isExact } didYouMean
    facets { name isSampled buckets { value label count selected } }
  }
}"""


def global_id(kind: str, pk: object) -> str:
    return base64.b64encode(f"{kind}:{pk}".encode()).decode()


def publish(by: Caller, document: Any = None, **metadata: Any) -> dict[str, Any]:
    answer = by.data(PUBLISH, document=document or make.document(), metadata=METADATA | metadata)
    found: dict[str, Any] = answer["publishWorkflow"]
    return found


def install(by: Caller, listing_id: str, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = by.data(INSTALL, id=listing_id, **variables)["installWorkflow"]
    return found


def count(by: Caller, query: str, **variables: Any) -> int:
    with CaptureQueriesContext(connection) as captured:
        by.data(query, **variables)
    return len(captured)
