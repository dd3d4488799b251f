"""Seed data: two organizations with people who can sign in and keys that open, safe to repeat."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from apps.marketplace.models import SearchRow
from apps.tenancy import doors, scope
from apps.tenancy.actions import revoke_api_key
from apps.tenancy.models import User
from apps.tenancy.tokens import parse_key
from apps.workflows.models import Workflow
from config import seeding

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logins.json"


def entries(logins: dict[str, Any]) -> list[dict[str, str]]:
    return [*logins["tenants"], *logins["members"]]


def test_everybody_can_enter_with_password_and_key(file: Path) -> None:
    logins = seeding.seed(file)

    assert [entry["slug"] for entry in logins["tenants"]] == ["acme", "globex"]
    for entry in entries(logins):
        user = User.objects.get(email=entry["email"])
        assert user.check_password(entry["password"])
        actor = doors.actor_of_key(entry["apiKey"])
        assert (str(actor.role), actor.user_id) == (entry["role"], user.pk)
    staff = User.objects.get(email=logins["staff"]["email"])
    assert staff.is_staff
    assert staff.check_password(logins["staff"]["password"])


def test_only_its_owner_reads_the_logins(file: Path) -> None:
    logins = seeding.seed(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == logins


def test_a_second_seed_changes_nothing(file: Path) -> None:
    first = seeding.seed(file)
    people = User.objects.count()

    assert seeding.seed(file) == first
    assert User.objects.count() == people


def test_acme_begins_with_the_documents_of_the_repository_once(file: Path) -> None:
    actor = doors.actor_of_key(seeding.seed(file)["tenants"][0]["apiKey"])
    seeding.seed(file)

    with scope.enter(scope.Scope.of(actor)), scope.transaction():
        names = sorted(Workflow.objects.values_list("name", flat=True))
    assert names == sorted(
        json.loads(path.read_text())["name"] for path in seeding.SAMPLES.glob("*.json")
    )
    assert "Cars ETL with quarantine" in names


@pytest.mark.django_db(transaction=True)
def test_the_shelf_is_filled_once_through_scan_and_approval(file: Path) -> None:
    for _ in range(2):
        logins = seeding.seed(file, is_shelf_wanted=True)

    actor = doors.actor_of_key(logins["tenants"][1]["apiKey"])
    with scope.enter(scope.Scope.of(actor)), scope.transaction():
        rows = list(SearchRow.objects.values_list("name", "verdict", "publisher_handle"))
    assert sorted(rows) == [
        ("Breast-cancer classifier", "PASSED", "acme"),
        ("Cars ETL with quarantine", "PASSED", "acme"),
    ]


def test_lost_logins_are_replaced_not_guessed(file: Path) -> None:
    first = seeding.seed(file)
    file.unlink()

    second = seeding.seed(file)

    for old, new in zip(entries(first), entries(second), strict=True):
        assert User.objects.get(email=new["email"]).check_password(new["password"])
        assert not User.objects.get(email=old["email"]).check_password(old["password"])
        assert doors.actor_of_key(new["apiKey"]).user_id


def test_a_dead_key_is_replaced(file: Path) -> None:
    owner = seeding.seed(file)["tenants"][0]
    actor = doors.actor_of_key(owner["apiKey"])
    key = parse_key(owner["apiKey"])
    assert key
    with scope.enter(scope.Scope.of(actor)):
        revoke_api_key(actor=actor, key_id=key.key_id)

    again = seeding.seed(file)["tenants"][0]

    assert again["apiKey"] != owner["apiKey"]
    assert again["password"] == owner["password"]
    assert doors.actor_of_key(again["apiKey"]).user_id
