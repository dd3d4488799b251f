"""Rows of the vault: sealed secrets and their versions, variables, connections."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models

from apps.kit.clock import now
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints

MAX_NAME = 64
MAX_SECRETS = 500
MAX_VARIABLES = 500
MAX_CONNECTIONS = 200


class PlacedQuerySet(models.QuerySet[Any]):
    """Rows that live in one environment under a name."""

    def in_environment(self, environment_id: uuid.UUID) -> PlacedQuerySet:
        """Those of one environment, by name."""
        return self.filter(environment_id=environment_id).order_by("name")

    def named(self, name: str, *, environment_id: uuid.UUID) -> PlacedQuerySet:
        """The one of this name, locked until the transaction ends."""
        return (
            self.select_for_update(of=("self",))
            .filter(environment_id=environment_id, name=name)
            .order_by("pk")
        )


class Placed(TenantModel):
    """What every row of the vault that people name has: a place, a name and its last writer."""

    environment = models.ForeignKey(
        "tenancy.Environment", on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    name = models.CharField(max_length=MAX_NAME)
    updated_at = models.DateTimeField(default=now)
    updated_by = models.ForeignKey(
        "tenancy.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects: ClassVar[Any] = TenantManager.from_queryset(PlacedQuerySet)()

    class Meta(TenantModel.Meta):
        abstract = True
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


def _placed_constraints(noun: str) -> list[Any]:
    return [
        *tenant_constraints(noun),
        models.UniqueConstraint(fields=["tenant", "environment", "name"], name=f"{noun}_name_key"),
        TenantForeignKeyConstraint(
            field="environment", to_table="tenancy_environment", name=f"{noun}_environment_fk"
        ),
    ]


class Secret(Placed):
    """A name whose value leaves only towards a running step. `current_version` counts from 1."""

    current_version = models.PositiveIntegerField(default=0)

    class Meta(Placed.Meta):
        constraints: ClassVar[list[Any]] = _placed_constraints("secret")


class SecretVersion(TenantModel):
    """One sealed value. Nothing in it is readable without the key-encryption key."""

    secret = models.ForeignKey(
        Secret, on_delete=models.CASCADE, db_constraint=False, related_name="versions"
    )
    version = models.PositiveIntegerField()
    algorithm = models.CharField(max_length=20)
    key_id = models.CharField(max_length=200, help_text="The key-encryption key that wraps.")
    wrapped_key = models.BinaryField()
    nonce = models.BinaryField(max_length=12)
    ciphertext = models.BinaryField()
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantModel.Meta):
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("secret_version"),
            models.UniqueConstraint(
                fields=["tenant", "secret", "version"], name="secret_version_version_key"
            ),
            TenantForeignKeyConstraint(
                field="secret", to_table="vault_secret", name="secret_version_secret_fk"
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["tenant", "key_id"], name="secret_version_key_idx")
        ]

    def __str__(self) -> str:
        return f"version {self.version}"


class Variable(Placed):
    """A JSON value that workflows read and everybody in the organization may see."""

    value = models.JSONField()

    class Meta(Placed.Meta):
        constraints: ClassVar[list[Any]] = _placed_constraints("variable")


class Connection(Placed):
    """A typed credential: open settings, and which secret of the environment fills which field."""

    connector_type = models.CharField(max_length=MAX_NAME)
    settings = models.JSONField(default=dict)
    secrets = models.JSONField(default=dict, help_text="Field of the connector → secret's name.")
    last_checked_at = models.DateTimeField(null=True)
    healthy = models.BooleanField(null=True)

    class Meta(Placed.Meta):
        constraints: ClassVar[list[Any]] = _placed_constraints("connection")
