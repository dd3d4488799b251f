"""The rows of tenancy; other apps import the names from here."""

from apps.tenancy.models.keys import ApiKey
from apps.tenancy.models.organizations import (
    Environment,
    EnvironmentKind,
    Invitation,
    Membership,
    Organization,
)
from apps.tenancy.models.records import AuditRow, IdempotencyKey, JobPeriod, Limit
from apps.tenancy.models.tenant_model import TenantModel, tenant_constraints
from apps.tenancy.models.users import User

__all__ = [
    "ApiKey",
    "AuditRow",
    "Environment",
    "EnvironmentKind",
    "IdempotencyKey",
    "Invitation",
    "JobPeriod",
    "Limit",
    "Membership",
    "Organization",
    "TenantModel",
    "User",
    "tenant_constraints",
]
