"""Belt one: managers that see the scope's rows only, and raise where there is no scope.

The filter is an expression that is compiled when the query is: `.all()` outside a scope is
harmless, evaluating it is not. Writes outside the scope are refused by belt three.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Func
from django.db.models.sql.compiler import SQLCompiler

from apps.tenancy import scope

M = TypeVar("M", bound=models.Model)


class Owned(Func):
    """True for rows of the tenant in force; in the platform scope, for all rows if `platform`."""

    conditional = True
    output_field = models.BooleanField()

    def __init__(self, column: str = "tenant", *, platform: bool = False, **extra: Any) -> None:
        super().__init__(column, **extra)
        self.platform = platform

    def as_sql(  # type: ignore[override]
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any
    ) -> tuple[str, list[Any]]:
        """`<column> = <tenant in force>`. Raises OutsideScope without a scope."""
        held = scope.current()
        if held.is_platform and self.platform:
            return "TRUE", []
        column, parameters = compiler.compile(self.source_expressions[0])
        if held.tenant_id is None:
            return "FALSE", []
        return f"{column} = %s", [*parameters, held.tenant_id]


class TenantManager(models.Manager[M]):
    """Rows of the tenant in force.

    `platform`: staff in the platform scope see all. `public`: rows everybody may read. Both must be
    matched by the table's policies (`IsolateTenant(platform=…, public=…)`).
    """

    def __init__(self, *, platform: bool = False, public: models.Q | None = None) -> None:
        super().__init__()
        self.platform = platform
        self.public = public

    def get_queryset(self) -> models.QuerySet[M]:
        """Every query of the model starts here, related ones too (it is also the base manager)."""
        owned = models.Q(Owned("tenant", platform=self.platform))
        if self.public is not None:
            owned |= self.public
        return super().get_queryset().filter(owned)


class UnscopedManager(models.Manager[M]):
    """The named escape from belt one, for doors and commands; row-level security still holds."""
