"""Setting and deleting variables."""

from __future__ import annotations

import uuid
from typing import Any

from apps.kit.clock import now
from apps.kit.errors import ErrorCode, NotFound, Refusal
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.policies import require
from apps.vault import policies
from apps.vault.actions.checks import (
    checked_json,
    checked_name,
    known_environment,
    require_room,
)
from apps.vault.models import MAX_VARIABLES, Variable


def set_variable(*, actor: Actor, environment_id: uuid.UUID, name: str, value: Any) -> Variable:
    """Create the variable or change its JSON value."""
    require(policies.can_write_variables(actor), "set variables")
    checked_name(name)
    if value is None:
        raise Refusal(
            "A variable has a value; delete the variable instead.",
            code=ErrorCode.REQUIRED,
            path=("value",),
        )
    checked_json(value, path=("value",))
    with scope.transaction():
        environment = known_environment(environment_id)
        variable: Variable | None = Variable.objects.named(
            name, environment_id=environment.pk
        ).first()
        is_new = variable is None
        if variable is None:
            held = Variable.objects.in_environment(environment.pk).count()
            require_room(held=held, limit=MAX_VARIABLES, noun="variables")
        variable, _ = Variable.objects.update_or_create(
            environment_id=environment.pk,
            name=name,
            defaults={"value": value, "updated_at": now(), "updated_by_id": actor.user_id},
        )
        audit.record(
            actor=actor,
            action="variable.create" if is_new else "variable.update",
            target=f"Variable:{variable.pk}",
            after=_shown(variable, environment=environment.name),
        )
    return variable


def delete_variable(*, actor: Actor, environment_id: uuid.UUID, name: str) -> None:
    """Delete the variable; runs that read it fail from then on."""
    require(policies.can_write_variables(actor), "delete variables")
    checked_name(name)
    with scope.transaction():
        environment = known_environment(environment_id)
        variable: Variable | None = Variable.objects.named(
            name, environment_id=environment.pk
        ).first()
        if variable is None:
            raise NotFound("No variable of this name is set in this environment.", path=("name",))
        audit.record(
            actor=actor,
            action="variable.delete",
            target=f"Variable:{variable.pk}",
            before=_shown(variable, environment=environment.name),
        )
        variable.delete()


def _shown(variable: Variable, *, environment: str) -> dict[str, object]:
    """Without the value: an audit row cannot be mended when somebody pasted a token."""
    return {"name": variable.name, "environment": environment}
