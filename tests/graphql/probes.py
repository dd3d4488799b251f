"""How to ask each root field: one line for each, or the build fails.

`$x` stands for an id; the name after it says of which type. A field that takes no id is asked as
it is. Everything else is valid, so that nothing but the id can be at fault.
"""

from __future__ import annotations

from dataclasses import dataclass

DOCUMENT = '{schemaVersion: 1, name: "x", type: "dataPipeline", nodes: [], connections: []}'
METADATA = (
    'name: "probe", description: "d", category: OTHER, version: "9.9.9", license: "MIT",'
    ' platform: ">=0.1", changelog: "c", documentation: "d"'
)


@dataclass(frozen=True)
class Probe:
    """Arguments in the query language, and the type of the id in each variable."""

    arguments: str = ""
    ids: tuple[tuple[str, str], ...] = ()
    # Argument types that are no ID.
    kind: str = "ID!"


def ask(arguments: str = "", *, kind: str = "ID!", **ids: str) -> Probe:
    """A probe; `x="Workflow"` says that $x is the id of a workflow."""
    return Probe(arguments=arguments, ids=tuple(ids.items()), kind=kind)


QUERIES: dict[str, Probe] = {
    "node": ask("id: $x", x="Workflow"),
    "nodes": ask("ids: [$x]", x="Workflow"),
    "rateLimit": ask(),
    "viewer": ask(),
    "tenant": ask(),
    "auditLog": ask(),
    "secrets": ask("environment: DEVELOPMENT"),
    "variables": ask("environment: DEVELOPMENT"),
    "connections": ask("environment: DEVELOPMENT"),
    "artifact": ask("digest: $x", x="digest", kind="String!"),
    "usageLedger": ask(),
    "workflows": ask(),
    "workflow": ask("id: $x", x="Workflow"),
    "nodeTypes": ask('query: "constant"'),
    "approvals": ask(),
    "execution": ask("id: $x", x="Execution"),
    "questions": ask(),
    "marketplace": ask(),
    "searchWorkflows": ask(),
    "getWorkflow": ask("id: $x", x="MarketplaceWorkflow"),
    "workflowBySlug": ask('publisher: "nobody", slug: "nothing"'),
    "publisher": ask('handle: "nobody"'),
    "installations": ask(),
}

MUTATIONS: dict[str, Probe] = {
    "createApiKey": ask('name: "probe", scopes: ["workflows:read"]'),
    "revokeApiKey": ask("id: $x", x="ApiKey"),
    "inviteMember": ask('email: "probe@example.com", role: "viewer"'),
    "changeMemberRole": ask('userId: $x, role: "viewer"', x="User"),
    "removeMember": ask("userId: $x", x="User"),
    "setSecret": ask('name: "PROBE", value: "v", environment: DEVELOPMENT'),
    "deleteSecret": ask('name: "PROBE", environment: DEVELOPMENT'),
    "setVariable": ask('name: "probe", value: 1, environment: DEVELOPMENT'),
    "deleteVariable": ask('name: "probe", environment: DEVELOPMENT'),
    "saveConnection": ask(
        'name: "probe", connectorType: "http", environment: DEVELOPMENT, settings: {}, secrets: {}'
    ),
    "deleteConnection": ask("id: $x", x="Connection"),
    "createWorkflow": ask(f"document: {DOCUMENT}"),
    "saveDraft": ask(f"workflowId: $x, expectedRevision: 1, document: {DOCUMENT}", x="Workflow"),
    "validateWorkflow": ask(f"document: {DOCUMENT}"),
    "cloneWorkflow": ask("workflowId: $x", x="Workflow"),
    "archiveWorkflow": ask("workflowId: $x", x="Workflow"),
    "restoreWorkflow": ask("workflowId: $x", x="Workflow"),
    "commitVersion": ask('workflowId: $x, branch: "main", message: "m"', x="Workflow"),
    "deployVersion": ask("versionId: $x, environment: DEVELOPMENT", x="WorkflowVersion"),
    "decideApproval": ask("approvalId: $x, approve: true", x="ApprovalRequest"),
    "executeWorkflow": ask("workflowId: $x", x="Workflow"),
    "testNode": ask('workflowId: $x, nodeId: "n0", input: {}', x="Workflow"),
    "testWorkflow": ask("workflowId: $x", x="Workflow"),
    "pinNodeOutput": ask('workflowId: $x, nodeId: "n0", output: {}', x="Workflow"),
    "cancelExecution": ask("executionId: $x", x="Execution"),
    "pauseExecution": ask("executionId: $x", x="Execution"),
    "resumeExecution": ask("executionId: $x", x="Execution"),
    "signalExecution": ask('executionId: $x, name: "go"', x="Execution"),
    "retryExecution": ask("executionId: $x, fromCheckpoint: $y", x="Execution", y="Execution"),
    "forkExecution": ask('executionId: $x, fromPath: "n0"', x="Execution"),
    "resolveInDoubt": ask('nodeRunId: $x, outcome: FAILED, comment: "c"', x="NodeRun"),
    "publishWorkflow": ask(
        "workflow: {workflowVersionId: $x},"
        f" metadata: {{{METADATA}, listingId: $y, publisherId: $z}}",
        x="WorkflowVersion",
        y="MarketplaceWorkflow",
        z="Author",
    ),
    "installWorkflow": ask(
        "workflowId: $x, targetEnvironment: DEVELOPMENT,"
        " configuration: {acceptLicense: true, namedEnvironmentId: $y,"
        ' connectionBindings: [{slot: "s", connectionId: $z}]}',
        x="MarketplaceWorkflow",
        y="DeploymentEnvironment",
        z="Connection",
    ),
    "setErrorHandler": ask("workflowId: $x", x="Workflow"),
    "yankVersion": ask('versionId: $x, reason: "r", severity: LOW', x="ListingVersion"),
}

# Proven over a real socket in test_socket.
SUBSCRIPTIONS = {"executionEvents"}

# Fields below the root that take an id, as a whole query.
NESTED: dict[str, Probe] = {
    "WorkflowMarketplace.getWorkflow": ask(
        "marketplace { getWorkflow(id: $x) { id name } }", x="MarketplaceWorkflow"
    ),
    "WorkflowMarketplace.recommendations": ask(
        "marketplace { recommendations(forWorkflowId: $x) { reason workflow { name } } }",
        x="Workflow",
    ),
}
# A node's id inside a document is no id of a row.
NO_ROW_IDS = {"Execution.logs"}
