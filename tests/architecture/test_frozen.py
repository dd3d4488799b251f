"""What must never change is held by the database, whoever asks: by tables and columns."""

from __future__ import annotations

import pytest
from django.db import connection

from apps.marketplace.models import Release

# A verdict, a decision, a withdrawal: what happens to a release after it was handed in.
LIFE_OF_A_RELEASE = {
    "status",
    "scan_id",
    "scan_summary",
    "approval_id",
    "published_at",
    "decision_comment",
    "yank_reason",
    "yank_severity",
    "yanked_at",
    "is_public",
}
APPEND_ONLY = {
    "billing_usageentry",
    "tenancy_auditrow",
    "versions_approvalvote",
    "versions_workflowversion",
}
TRIGGERS = """
    SELECT t.tgname, c.relname,
           (SELECT array_agg(a.attname::text) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum = ANY (t.tgattr::smallint[])),
           (t.tgtype & 8) > 0 AND (t.tgtype & 16) > 0 AND t.tgenabled = 'O'
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE NOT t.tgisinternal AND (t.tgname LIKE '%\\_append\\_only' OR t.tgname LIKE '%\\_frozen')
"""


def _triggers() -> dict[str, tuple[str, set[str], bool]]:
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS)
        return {
            table: (name, set(columns or ()), holds)
            for name, table, columns, holds in cursor.fetchall()
        }


@pytest.mark.django_db
def test_every_immutable_table_is_held_by_the_database() -> None:
    found = _triggers()
    assert set(found) == APPEND_ONLY | {"marketplace_release"}
    assert all(holds for _, _, holds in found.values()), "DELETE and UPDATE, and switched on"
    assert not any(found[table][1] for table in APPEND_ONLY), "whichever column is written"


@pytest.mark.django_db
def test_every_column_of_a_release_is_frozen_or_part_of_its_life() -> None:
    _, frozen, _ = _triggers()["marketplace_release"]
    columns = {field.column for field in Release._meta.concrete_fields}
    assert columns == frozen | LIFE_OF_A_RELEASE, "a new column: freeze it in a migration"
    assert not frozen & LIFE_OF_A_RELEASE
