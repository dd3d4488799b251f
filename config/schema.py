"""The GraphQL schema: every app's root fields, composed."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from django.apps import apps
from strawberry.tools import merge_types

from apps.kit.graphql.roots import RootQuery
from apps.kit.graphql.schema import PlatformSchema
from apps.tenancy import scope

# The column, bottom to top: an upper app's `extensions` add fields to the lower apps' types.
COLUMN = (
    "tenancy",
    "vault",
    "artifacts",
    "billing",
    "workflows",
    "versions",
    "security_scan",
    "executions",
    "nodes",
    "marketplace",
)
MODULES = ("types", "errors", "extensions", "queries", "mutations", "subscriptions")


def _modules() -> dict[str, list[ModuleType]]:
    """What is there of `apps.<app>.graphql.<module>`; absent when empty, as everywhere."""
    found: dict[str, list[ModuleType]] = {module: [] for module in MODULES}
    for app in COLUMN:
        package = f"apps.{app}.graphql"
        if not apps.is_installed(f"apps.{app}") or importlib.util.find_spec(package) is None:
            continue
        for module in MODULES:
            name = f"{package}.{module}"
            if importlib.util.find_spec(name) is not None:
                found[module].append(importlib.import_module(name))
    return found


def compose() -> PlatformSchema:
    """Merge what the apps bring."""
    found = _modules()
    queries = (RootQuery, *(module.Query for module in found["queries"]))
    mutations = tuple(module.Mutation for module in found["mutations"])
    subscriptions = tuple(module.Subscription for module in found["subscriptions"])
    return PlatformSchema(
        query=merge_types("Query", queries),
        mutation=merge_types("Mutation", mutations),
        subscription=merge_types("Subscription", subscriptions) if subscriptions else None,
        transaction=scope.transaction,
    )


schema = compose()
