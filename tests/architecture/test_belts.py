"""The belts by enumeration: every table of ours wears them, or is named here with a reason."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, models

from apps.tenancy.models import TenantModel

# Cross-tenant by nature; ids only. The engine's role sees all rows, nobody else does.
ENGINE_TABLES = {
    *("work_item", "lane", "timer", "worker", "outbox", "ask"),
    *("workflow_gate", "key_holder", "key_wait", "open_child", "map_news"),
    "handler_owed",
}
# Global or public by design, each with its reason.
OPEN_TABLES = {
    "tenancy_user": "people are global: one account, many organizations",
    "tenancy_jobperiod": "claims of platform jobs: names and instants, nobody's data",
    "tenancy_user_groups": "Django's own join of people and groups",
    "tenancy_user_user_permissions": "Django's own join of people and permissions",
}
# What opens wider than to its tenant, and to whom. `platform`: staff in the platform scope, all
# commands; `public` and `readable`: reading only.
WIDER = {
    "tenancy_organization": {
        "platform": "staff found and look after organizations",
        "readable": "a person sees the organizations he or she belongs to before choosing one",
    },
    "tenancy_membership": {"readable": "a person sees his or her own places"},
    "worker": {"readable": "what pools are served explains why a run waits"},
    "security_scan_scan": {"platform": "staff judge what is handed in"},
    "security_scan_finding": {"platform": "they read why"},
    "versions_approval": {"platform": "staff decide what the platform must approve"},
    "versions_approvalvote": {"platform": "their votes"},
    "marketplace_publisher": {
        "public": "publishers of public listings are shown to everybody",
        "readable": "staff see who hands in",
    },
    "marketplace_listing": {
        "platform": "staff approve and take down",
        "public": "what is on the shelf is for everybody",
    },
    "marketplace_release": {
        "platform": "staff approve and yank",
        "public": "released documents are for everybody",
    },
    "marketplace_installation": {"readable": "the folding job counts tenants"},
    "marketplace_firstsuccessfulrun": {"readable": "the folding job counts first runs"},
    "marketplace_listingstatistics": {
        "platform": "the folding job writes them",
        "public": "counts of what is on the shelf",
    },
    "marketplace_search": {
        "platform": "take-downs and re-indexing",
        "public": "public facts only; a constant condition keeps the GIN indexes in use",
    },
    "marketplace_search_word": {
        "platform": "words that no listing has any more are dropped",
        "public": "the spelling dictionary of public listings",
        "insert": "a publisher's words join it",
    },
}
SECURED = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
POLICIES = "SELECT tablename, policyname, roles::text[], qual, with_check FROM pg_policies"


def _ours() -> list[type[models.Model]]:
    return [m for m in apps.get_models() if m.__module__.startswith("apps.")]


def _rows(query: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


@pytest.mark.django_db
def test_every_table_is_secured_or_named() -> None:
    tables = {
        str(row[0])
        for row in _rows(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
            " AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        )
    }
    theirs = {
        m._meta.db_table
        for m in apps.get_models(include_auto_created=True)
        if not m.__module__.startswith("apps.")
    } | {"django_migrations"}
    secured = {str(row[0]) for row in _rows(SECURED)}
    open_ = tables - secured - theirs
    assert open_ <= set(OPEN_TABLES), f"no row security on {sorted(open_ - set(OPEN_TABLES))}"


@pytest.mark.django_db
def test_every_policy_checks_writes_and_names_the_tenant() -> None:
    for table, name, _roles, qual, check in _rows(POLICIES):
        suffix = str(name).removeprefix(f"{table}_")
        assert suffix in {"tenant", "platform", "public", "readable", "engine", "insert"}, name
        if suffix == "tenant":
            assert "app.tenant" in str(qual), name
            assert "app.tenant" in str(check), name


@pytest.mark.django_db
def test_what_opens_wider_than_to_its_tenant_is_named() -> None:
    opened: dict[str, set[str]] = {}
    for table, name, *_ in _rows(POLICIES):
        suffix = str(name).removeprefix(f"{table}_")
        if suffix not in {"tenant", "engine"}:
            opened.setdefault(str(table), set()).add(suffix)
    assert opened == {table: set(reasons) for table, reasons in WIDER.items()}


@pytest.mark.django_db
def test_only_the_engines_own_tables_open_to_the_engine() -> None:
    opened = {str(row[0]) for row in _rows(POLICIES) if str(row[1]).endswith("_engine")}
    assert opened <= ENGINE_TABLES
    for _table, name, granted, _qual, _check in _rows(POLICIES):
        if str(name).endswith("_engine"):
            assert granted == ["nstarx_engine"], name


@pytest.mark.parametrize(
    "model", [m for m in _ours() if issubclass(m, TenantModel)], ids=lambda m: m._meta.label
)
def test_tenant_models_wear_their_belts(model: type[models.Model]) -> None:
    meta = model._meta
    assert meta.base_manager_name == "objects", "belt one: the base manager must fail closed"
    assert hasattr(meta.base_manager, "public"), "belt one: a TenantManager"
    keys = {tuple(c.fields) for c in meta.constraints if isinstance(c, models.UniqueConstraint)}
    assert ("tenant", "id") in keys, "belt four: the composite key"
    composite = {getattr(c, "field", None) for c in meta.constraints}
    for field in meta.concrete_fields:
        target = field.related_model
        if isinstance(target, type) and issubclass(target, TenantModel):
            assert not getattr(field, "db_constraint", True), f"{field.name}: db_constraint=False"
            assert field.name in composite, f"{field.name}: TenantForeignKeyConstraint"
        if field.unique and not field.primary_key:
            pytest.fail(f"{field.name}: a global unique tells whether another tenant's row exists")
    for columns in keys:
        assert columns[0] == "tenant", f"{columns}: uniques begin with the tenant"
