"""What workflows add to the types of the vault: which workflows use a secret."""

from __future__ import annotations

from typing import Any

import strawberry

from apps.kit.graphql.batch import batched
from apps.kit.graphql.cost import cost
from apps.kit.graphql.extend import extend
from apps.vault.graphql.types import SecretInfo
from apps.vault.models import Secret
from apps.workflows import models, store
from apps.workflows.graphql.types import Workflow

MAX_USERS = 50


def used_by(root: strawberry.Parent[Secret]) -> list[Workflow]:
    """Living workflows whose draft refers to the secret, at most 50."""
    return batched(root, "used_by", _users, root.name) or []


def _users(rows: tuple[Secret, ...]) -> dict[Any, list[Workflow]]:
    """Two queries for the whole page."""
    users = store.users_of_secrets()
    wanted = {name: ids[:MAX_USERS] for name, ids in users.items()}
    keys = {key for row in rows for key in wanted.get(row.name, ())}
    found = models.Workflow.objects.filter(pk__in=keys).with_people().without_draft()
    by_key = {workflow.pk: Workflow.of(workflow) for workflow in found}
    return {
        name: [by_key[key] for key in keys_of if key in by_key] for name, keys_of in wanted.items()
    }


extend(
    SecretInfo,
    "used_by",
    used_by,
    description="Living workflows whose draft refers to the secret, at most 50.",
    directives=[cost(5)],
)
