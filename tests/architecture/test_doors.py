"""The scope enters at the doors named in `tenancy/scope.py` only; belt one is escaped by name."""

from __future__ import annotations

import ast

from tests.architecture import source

# Who may enter a scope, by door. `scope.transaction()` alone enters nothing and is free to all.
DOORS = {
    "HTTP": {
        "apps/tenancy/doors/identity.py",
        "apps/tenancy/doors/keys.py",
        "apps/tenancy/doors/pages.py",
        "apps/tenancy/graphql/context.py",
        "apps/artifacts/views.py",
        "apps/executions/rest/door.py",
        "config/graphql_view.py",
    },
    "WebSocket": {"apps/executions/graphql/stream.py"},
    "engine claim": {
        "apps/executions/brief.py",
        "apps/executions/runner/inside.py",
        "apps/executions/worker/documents.py",
        "apps/executions/verify.py",
    },
    "django-rq": {
        "apps/tenancy/periodic.py",
        "apps/marketplace/jobs.py",
        "apps/security_scan/jobs.py",
    },
    "management command": {
        "apps/artifacts/management/commands/collect_artifacts.py",
        "apps/billing/management/commands/change_plan.py",
        "apps/executions/retention.py",
        "apps/tenancy/management/commands/verify_audit.py",
        "apps/vault/management/commands/rewrap_secrets.py",
        "config/seeding.py",
        "config/showcase.py",
    },
    "staff": {"apps/tenancy/doors/support.py"},
    # A new organization, a joined one, the requester's side of a platform decision, a publisher's
    # search row after staff took a release down: the action itself has checked who may step over.
    "action": {
        "apps/marketplace/actions/releases.py",
        "apps/tenancy/actions/organizations.py",
        "apps/tenancy/actions/members.py",
        "apps/versions/actions/approvals.py",
    },
}
# Rows that are looked up before a tenant is known, each under row-level security all the same.
UNSCOPED = {
    "apps/tenancy/actions/organizations.py",
    "apps/tenancy/doors/identity.py",
}


def _entries(tree: ast.Module) -> list[str]:
    return [
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "scope"
        and node.func.attr in {"enter", "tenant", "platform"}
    ]


def test_the_scope_enters_at_the_doors_only() -> None:
    named = set().union(*DOORS.values())
    entering = {source.name(path) for path in source.modules() if _entries(source.tree(path))} - {
        "apps/tenancy/scope.py"
    }
    assert entering - named == set(), "a new door: check its caller, then name it here"
    assert named - entering == set(), "a door that is no more"


def test_the_escape_from_belt_one_is_rare_and_named() -> None:
    escaping = {
        source.name(path)
        for path in source.modules()
        for node in ast.walk(source.tree(path))
        if isinstance(node, ast.Attribute) and node.attr == "unscoped"
    }
    assert escaping == UNSCOPED
