"""Belt three as migration operations: row-level security beside each CreateModel."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

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


class AppendOnly(Operation):
    """Refuse UPDATE (but of `sealable` columns that are still null) and DELETE on a table."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, model: str, *, sealable: tuple[str, ...] = ()) -> None:
        self.model = model
        self.sealable = tuple(sealable)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For the migration writer."""
        named = {"sealable": self.sealable} if self.sealable else {}
        return (self.__class__.__name__, [self.model], named)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Triggers are not part of Django's model state."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Create the trigger."""
        table = to_state.apps.get_model(app_label, self.model)._meta.db_table
        kept = "to_jsonb(old)" + "".join(f" - '{c}'" for c in self.sealable)
        new = "to_jsonb(new)" + "".join(f" - '{c}'" for c in self.sealable)
        unsealed = " AND ".join(f"old.{c} IS NULL" for c in self.sealable) or "false"
        schema_editor.execute(
            f"""CREATE FUNCTION "{table}_append_only"() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF TG_OP = 'UPDATE' AND {unsealed} AND {kept} = {new} THEN RETURN new; END IF;
              RAISE EXCEPTION '{table} is append-only' USING ERRCODE = 'restrict_violation';
            END $$"""
        )
        schema_editor.execute(
            f'CREATE TRIGGER "{table}_append_only" BEFORE UPDATE OR DELETE ON "{table}"'
            f' FOR EACH ROW EXECUTE FUNCTION "{table}_append_only"()'
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
        schema_editor.execute(f'DROP TRIGGER "{table}_append_only" ON "{table}"')
        schema_editor.execute(f'DROP FUNCTION "{table}_append_only"()')

    def describe(self) -> str:
        """For `migrate --plan`."""
        return f"Keep {self.model} append-only"


class FreezeRows(Operation):
    """Refuse DELETE on a table, and UPDATE of every column but those that are `changing`."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, model: str, *, changing: tuple[str, ...]) -> None:
        self.model = model
        self.changing = tuple(changing)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For the migration writer."""
        return (self.__class__.__name__, [self.model], {"changing": self.changing})

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Triggers are not part of Django's model state."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Create the trigger; it does not even fire for an UPDATE of what changes."""
        meta = to_state.apps.get_model(app_label, self.model)._meta
        table = meta.db_table
        frozen = [f.column for f in meta.concrete_fields if f.column not in self.changing]
        columns = ", ".join(f'"{column}"' for column in frozen)
        differs = " OR ".join(f'old."{c}" IS DISTINCT FROM new."{c}"' for c in frozen)
        schema_editor.execute(
            f"""CREATE FUNCTION "{table}_frozen"() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF TG_OP = 'UPDATE' AND NOT ({differs}) THEN RETURN new; END IF;
              RAISE EXCEPTION '{table} is frozen' USING ERRCODE = 'restrict_violation';
            END $$"""
        )
        schema_editor.execute(
            f'CREATE TRIGGER "{table}_frozen" BEFORE DELETE OR UPDATE OF {columns} ON "{table}"'
            f' FOR EACH ROW EXECUTE FUNCTION "{table}_frozen"()'
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
        schema_editor.execute(f'DROP TRIGGER "{table}_frozen" ON "{table}"')
        schema_editor.execute(f'DROP FUNCTION "{table}_frozen"()')

    def describe(self) -> str:
        """For `migrate --plan`."""
        return f"Freeze {self.model}"
