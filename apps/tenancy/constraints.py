"""Belt four: foreign keys that cannot cross tenants, as constraints that migrations can see."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.constraints import BaseConstraint


class TenantForeignKeyConstraint(BaseConstraint):
    """`(tenant_id, <field>)` references `(tenant_id, id)` of `to_table`.

    Used beside a `ForeignKey(db_constraint=False)`: a plain foreign key bypasses row-level
    security, so a row could point at another tenant's, and the error tells whether it exists.
    """

    def __init__(
        self, *, field: str, to_table: str, name: str, on_delete: str = "NO ACTION"
    ) -> None:
        super().__init__(name=name)
        self.field = field
        self.to_table = to_table
        self.on_delete = on_delete

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """For the migration writer."""
        path, args, kwargs = super().deconstruct()
        return (
            path,
            tuple(args),
            {
                **kwargs,
                "field": self.field,
                "to_table": self.to_table,
                "on_delete": self.on_delete,
            },
        )

    def __eq__(self, other: object) -> bool:
        """Equal when they deconstruct alike."""
        return (
            isinstance(other, TenantForeignKeyConstraint)
            and self.deconstruct() == other.deconstruct()
        )

    def __hash__(self) -> int:
        """By name: names are unique in a database."""
        return hash(self.name)

    def constraint_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        """Nothing inline: the other table may come later in the same migration."""
        assert model is not None  # noqa: S101 - Django always passes both here
        assert schema_editor is not None  # noqa: S101
        schema_editor.deferred_sql.append(self._add(model, schema_editor))
        return ""

    def create_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        """ALTER TABLE … ADD CONSTRAINT."""
        assert model is not None  # noqa: S101
        assert schema_editor is not None  # noqa: S101
        return self._add(model, schema_editor)

    def _add(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> str:
        quote = schema_editor.quote_name
        column = str(getattr(model._meta.get_field(self.field), "column", self.field))
        return (
            f"ALTER TABLE {quote(model._meta.db_table)} ADD CONSTRAINT {quote(self.name)}"
            f" FOREIGN KEY (tenant_id, {quote(column)})"
            f" REFERENCES {quote(self.to_table)} (tenant_id, id) ON DELETE {self.on_delete}"
        )

    def remove_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        """ALTER TABLE … DROP CONSTRAINT."""
        assert model is not None  # noqa: S101
        assert schema_editor is not None  # noqa: S101
        quote = schema_editor.quote_name
        return f"ALTER TABLE {quote(model._meta.db_table)} DROP CONSTRAINT {quote(self.name)}"

    def validate(
        self,
        model: type[models.Model],
        instance: models.Model,
        exclude: Any = None,
        using: str = "default",
    ) -> None:
        """The database decides."""
