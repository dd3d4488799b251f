"""Opens secrets for running steps: the one place where a value becomes readable again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import F

from apps.tenancy import scope
from apps.tenancy.frozen import Frozen
from apps.tenancy.models import Environment
from apps.vault.envelope import KeyUnknown, Place, Sealed, Tampered, open_sealed
from apps.vault.errors import SecretMissing, SecretUnreadable
from apps.vault.keys import platform_keys
from apps.vault.models import SecretVersion, Variable

_VARIABLES: Frozen[Variable] = Frozen(
    lambda environment: (
        Variable.objects.in_environment(environment).order_by("name").values_list("name", "value")
    ),
    environment=uuid.UUID,
)


def open_secret(name: str, environment_id: uuid.UUID) -> str:
    """The current value of a secret of the tenant in force. Raises SecretMissing."""
    return open_secrets([name], environment_id)[name]


def open_secrets(names: Iterable[str], environment_id: uuid.UUID) -> Mapping[str, str]:
    """The current values of several, in one query. Raises SecretMissing for the first without."""
    wanted = sorted(set(names))
    with scope.transaction():
        rows = SecretVersion.objects.filter(
            secret__environment_id=environment_id,
            secret__name__in=wanted,
            version=F("secret__current_version"),
        ).select_related("secret")
        found = {row.secret.name: row for row in rows}
        missing = next((name for name in wanted if name not in found), None)
        if missing is not None:
            raise SecretMissing(missing, environment=_name_of(environment_id))
    return {name: _text(found[name]) for name in wanted}


def missing_secrets(names: Iterable[str], environment_id: uuid.UUID) -> tuple[str, ...]:
    """Which of these names have no value in the environment; for validation and install plans."""
    wanted = set(names)
    with scope.reading():
        present = SecretVersion.objects.filter(
            secret__environment_id=environment_id,
            secret__name__in=wanted,
            version=F("secret__current_version"),
        ).values_list("secret__name", flat=True)
        return tuple(sorted(wanted - set(present)))


def variables_of(environment_id: uuid.UUID) -> dict[str, Any]:
    """Every variable of an environment, by name."""
    with scope.reading():
        return dict(_VARIABLES.rows(environment=environment_id))


def place_of(row: SecretVersion) -> Place:
    """What a row is bound to: the tenant in force, whatever the row says."""
    return Place(tenant_id=scope.current_tenant_id(), secret_id=row.secret_id, version=row.version)


def sealed_in(row: SecretVersion) -> Sealed:
    """What a row holds."""
    return Sealed(
        algorithm=row.algorithm,
        key_id=row.key_id,
        wrapped_key=bytes(row.wrapped_key),
        nonce=bytes(row.nonce),
        ciphertext=bytes(row.ciphertext),
    )


def _text(row: SecretVersion) -> str:
    try:
        return open_sealed(sealed_in(row), place=place_of(row), keys=platform_keys())
    except (Tampered, KeyUnknown) as error:
        # The name is known to whoever asked; why it does not open concerns the operator's log.
        message = f"The secret {row.secret.name} cannot be opened. Set it again."
        raise SecretUnreadable(message) from error


def _name_of(environment_id: uuid.UUID) -> str:
    return Environment.objects.filter(pk=environment_id).values_list("name", flat=True).first() or (
        "of the run"
    )
