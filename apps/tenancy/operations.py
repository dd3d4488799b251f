"""Belt three as migration operations: row-level security beside each CreateModel."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Model

TENANT = "(SELECT NULLIF(current_setting('app.tenant', true), '')::uuid)"
USER = "(SELECT NULLIF(current_setting('app.user', true), '')::uuid)"
PLATFORM = "(SELECT current_setting('app.platform', true)) = 'on'"


class IsolateTenant(Operation):
    """ENABLE and FORCE row-level security with the tenant policy on a model's table.

    `column`    holds the tenant's id.
    `platform`  staff in the platform scope may read and write all rows.
    `public`    SQL condition of the rows everybody may read.
    `readable`  further SQL condition that opens rows to reading (say, to the user they belong to).
    `engine`    the engine's role sees all rows: only for the tables that hold ids and nothing else.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(
        self,
        model: str,
        *,
        column: str = "tenant_id",
        platform: bool = False,
        public: str = "",
        readable: str = "",
        engine: bool = False,
    ) -> None:
        self.model = model
        self.column = column
        self.platform = platform
        self.public = public
        self.readable = readable
        self.engine = engine

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For the migration writer."""
        named = {"column": "tenant_id", "platform": False, "public": "", "readable": ""}
        named["engine"] = False
        given = {k: getattr(self, k) for k, v in named.items() if getattr(self, k) != v}
        return (self.__class__.__name__, [self.model], given)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Policies are not part of Django's model state."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Create the policies."""
        table = to_state.apps.get_model(app_label, self.model)._meta.db_table
        for statement in self.statements(table):
            schema_editor.execute(statement)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drop them: only ever on the way to dropping the table."""
        table = from_state.apps.get_model(app_label, self.model)._meta.db_table
        for suffix in ("tenant", "platform", "public", "readable", "engine"):
            schema_editor.execute(f'DROP POLICY IF EXISTS "{table}_{suffix}" ON "{table}"')
        schema_editor.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')
        schema_editor.execute(f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY')

    def statements(self, table: str) -> list[str]:
        """The SQL, in order; also used for tables that migrations create by hand."""
        owned = f"{self.column} = {TENANT}"
        sql = [
            f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
            f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
            f'CREATE POLICY "{table}_tenant" ON "{table}" USING ({owned}) WITH CHECK ({owned})',
        ]
        if self.platform:
            sql.append(
                f'CREATE POLICY "{table}_platform" ON "{table}"'
                f" USING ({PLATFORM}) WITH CHECK ({PLATFORM})"
            )
        for suffix, condition in (("public", self.public), ("readable", self.readable)):
            if condition:
                sql.append(
                    f'CREATE POLICY "{table}_{suffix}" ON "{table}" FOR SELECT USING ({condition})'
                )
        if self.engine:
            role = settings.DATABASE_ROLES["engine"]
            sql.append(
                f'CREATE POLICY "{table}_engine" ON "{table}" TO "{role}"'
                " USING (true) WITH CHECK (true)"
            )
        return sql

    def describe(self) -> str:
        """For `migrate --plan`."""
        return f"Isolate tenants in {self.model}"


class RowGuard(Operation):
    """A trigger that refuses writes on a table; subclasses say which, and when it fires."""

    reduces_to_sql = True
    reversible = True
    suffix: ClassVar[str]

    def __init__(self, model: str, columns: tuple[str, ...]) -> None:
        self.model = model
        self.columns = tuple(columns)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Triggers are not part of Django's model state."""

    def allows(self, model: type[Model]) -> str:
        """SQL over `old` and `new`: the updates that may pass."""
        raise NotImplementedError

    def fires(self, model: type[Model]) -> str:
        """The events of the trigger, as SQL."""
        raise NotImplementedError

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Create the trigger."""
        model = to_state.apps.get_model(app_label, self.model)
        table = model._meta.db_table
        meaning = self.suffix.replace("_", "-")
        schema_editor.execute(
            f"""CREATE FUNCTION "{table}_{self.suffix}"() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF TG_OP = 'UPDATE' AND {self.allows(model)} THEN RETURN new; END IF;
              RAISE EXCEPTION '{table} is {meaning}' USING ERRCODE = 'restrict_violation';
            END $$"""
        )
        schema_editor.execute(
            f'CREATE TRIGGER "{table}_{self.suffix}" BEFORE {self.fires(model)} ON "{table}"'
            f' FOR EACH ROW EXECUTE FUNCTION "{table}_{self.suffix}"()'
        )

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drop it."""
        table = from_state.apps.get_model(app_label, self.model)._meta.db_table
        schema_editor.execute(f'DROP TRIGGER "{table}_{self.suffix}" ON "{table}"')
        schema_editor.execute(f'DROP FUNCTION "{table}_{self.suffix}"()')


class AppendOnly(RowGuard):
    """Refuse UPDATE (but of `sealable` columns that are still null) and DELETE on a table."""

    suffix = "append_only"

    def __init__(self, model: str, *, sealable: tuple[str, ...] = ()) -> None:
        super().__init__(model, sealable)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For the migration writer."""
        named = {"sealable": self.columns} if self.columns else {}
        return (self.__class__.__name__, [self.model], named)

    def allows(self, model: type[Model]) -> str:
        """The filling of what is sealable, of nothing else."""
        kept = "to_jsonb(old)" + "".join(f" - '{c}'" for c in self.columns)
        new = "to_jsonb(new)" + "".join(f" - '{c}'" for c in self.columns)
        unsealed = " AND ".join(f"old.{c} IS NULL" for c in self.columns) or "false"
        return f"{unsealed} AND {kept} = {new}"

    def fires(self, model: type[Model]) -> str:
        """For every change."""
        return "UPDATE OR DELETE"

    def describe(self) -> str:
        """For `migrate --plan`."""
        return f"Keep {self.model} append-only"


class FreezeRows(RowGuard):
    """Refuse DELETE on a table, and UPDATE of every column but those that are `changing`."""

    suffix = "frozen"

    def __init__(self, model: str, *, changing: tuple[str, ...]) -> None:
        super().__init__(model, changing)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For the migration writer."""
        return (self.__class__.__name__, [self.model], {"changing": self.columns})

    def allows(self, model: type[Model]) -> str:
        """What names a frozen column without changing it."""
        differs = (f'old."{c}" IS DISTINCT FROM new."{c}"' for c in self._frozen(model))
        return f"NOT ({' OR '.join(differs)})"

    def fires(self, model: type[Model]) -> str:
        """Not even for an UPDATE of what changes."""
        columns = ", ".join(f'"{column}"' for column in self._frozen(model))
        return f"DELETE OR UPDATE OF {columns}"

    def describe(self) -> str:
        """For `migrate --plan`."""
        return f"Freeze {self.model}"

    def _frozen(self, model: type[Model]) -> list[str]:
        columns = (field.column for field in model._meta.concrete_fields)
        return [column for column in columns if column and column not in self.columns]
