"""Organizations (the tenants), their members and their environments."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.core.validators import RegexValidator
from django.db import models

from apps.kit.clock import now
from apps.kit.ids import uuid7
from apps.tenancy.actors import Role
from apps.tenancy.managers import Owned, UnscopedManager
from apps.tenancy.models.tenant_model import TenantModel, tenant_constraints

SLUG = RegexValidator(
    r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$",
    "Use 3 to 40 lower-case letters, digits and hyphens, beginning with a letter.",
)


class OrganizationManager(models.Manager["Organization"]):
    """The organization in force; all of them in the platform scope."""

    def get_queryset(self) -> models.QuerySet[Organization]:
        """Filtered by the scope when evaluated."""
        return super().get_queryset().filter(Owned("id", platform=True))


class Organization(models.Model):
    """A tenant. Its slug is global by nature: it stands in the URL."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(max_length=40, unique=True, validators=[SLUG])
    name = models.CharField(max_length=120)
    plan_key = models.CharField(max_length=40, default="free")
    created_at = models.DateTimeField(default=now, editable=False)

    objects: ClassVar[OrganizationManager] = OrganizationManager()
    unscoped: ClassVar[UnscopedManager[Self]] = UnscopedManager()

    class Meta:
        base_manager_name = "unscoped"
        ordering = ("slug",)

    def __str__(self) -> str:
        return self.slug


class EnvironmentKind(models.TextChoices):
    """The three kinds the API knows; a tenant may have several environments of a kind."""

    DEVELOPMENT = "DEVELOPMENT"
    STAGING = "STAGING"
    PRODUCTION = "PRODUCTION"


class Environment(TenantModel):
    """Where a version is deployed and where secrets, variables and connections live."""

    kind = models.CharField(max_length=12, choices=EnvironmentKind)
    name = models.CharField(max_length=60)
    is_default = models.BooleanField(default=True, help_text="The one the kind alone means.")

    class Meta(TenantModel.Meta):
        ordering = ("kind", "name")
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("environment"),
            models.UniqueConstraint(fields=["tenant", "name"], name="environment_name_key"),
            models.UniqueConstraint(
                fields=["tenant", "kind"],
                condition=models.Q(is_default=True),
                name="environment_default_key",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def in_order(cls, *, limit: int = 50) -> list[Environment]:
        """Those of the scope as a version travels: development, staging, production."""
        travel = list(EnvironmentKind.values)
        found = cls.objects.order_by("kind", "name")[:limit]
        return sorted(found, key=lambda one: travel.index(one.kind))


class Membership(TenantModel):
    """A person's place in an organization."""

    user = models.ForeignKey("tenancy.User", on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=12, choices=[(r.value, r.value) for r in Role])
    joined_at = models.DateTimeField(default=now, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ("joined_at",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("membership"),
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_user_key"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role}"


class Invitation(TenantModel):
    """A place offered to an e-mail address; accepted once, by whoever proves the address."""

    email = models.EmailField()
    role = models.CharField(max_length=12, choices=[(r.value, r.value) for r in Role])
    token_digest = models.BinaryField(max_length=32)
    invited_by = models.ForeignKey(
        "tenancy.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        ordering = ("-created_at",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("invitation"),
            models.UniqueConstraint(
                fields=["tenant", "email"],
                condition=models.Q(accepted_at=None),
                name="invitation_open_key",
            ),
        ]

    def __str__(self) -> str:
        return self.email
