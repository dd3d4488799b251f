"""Garbage collection: what nothing refers to goes, what is young or in use stays."""

from __future__ import annotations

import datetime as dt
import io
import os
import time
from collections.abc import Collection
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.artifacts import roots
from apps.artifacts.actions import GRACE, Collected, collect_garbage
from apps.artifacts.models import Artifact, Reservation
from apps.artifacts.reference import StoredObject
from apps.artifacts.store import object_store
from apps.kit.clock import now
from apps.tenancy import scope
from apps.tenancy.limits import Metric, allowance, require
from apps.tenancy.scope import Scope
from tests.factories import artifacts as make
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db

OLD = GRACE + dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def _no_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "_roots", {})


def aged(of: Tenant, stored: StoredObject) -> StoredObject:
    with scope.tenant(of.id):
        Artifact.objects.filter(digest=stored.digest).update(stored_at=now() - OLD)
    return stored


def age(path: Path) -> None:
    moment = time.time() - OLD.total_seconds()
    os.utime(path, (moment, moment))


def collect(of: Tenant, *, referenced: Collection[str] = ()) -> Collected:
    with scope.enter(Scope(tenant_id=of.id)):
        return collect_garbage(referenced=referenced)


def digests(of: Tenant) -> set[str]:
    with scope.tenant(of.id):
        return set(Artifact.objects.values_list("digest", flat=True))


def used(of: Tenant) -> int:
    with scope.tenant(of.id):
        return allowance(Metric.STORAGE_BYTES).used


def test_only_old_and_unreferenced_objects_go(acme: Tenant) -> None:
    garbage = aged(acme, make.artifact(acme, b"garbage"))
    kept = aged(acme, make.artifact(acme, b"kept"))
    young = make.artifact(acme, b"young")
    done = collect(acme, referenced={kept.digest})
    assert (done.artifacts, done.bytes) == (1, 7)
    assert digests(acme) == {kept.digest, young.digest}
    assert not make.file_of(acme, garbage).exists()
    assert make.file_of(acme, kept).exists()
    assert used(acme) == kept.bytes + young.bytes


def test_storing_again_makes_an_object_young(acme: Tenant) -> None:
    aged(acme, make.artifact(acme))
    make.artifact(acme)
    assert collect(acme).artifacts == 0


def test_more_than_one_batch_goes(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.artifacts.actions._BATCH", 2)
    for number in range(5):
        aged(acme, make.artifact(acme, f"{number}".encode()))
    assert collect(acme).artifacts == 5
    assert used(acme) == 0


def test_another_tenant_s_objects_stay(acme: Tenant, globex: Tenant) -> None:
    stored = aged(acme, make.artifact(acme))
    assert collect(globex).artifacts == 0
    assert digests(acme) == {stored.digest}


def test_a_file_without_a_row_goes_when_it_is_old(acme: Tenant) -> None:
    stray = make.artifact(acme, b"stray")
    with scope.tenant(acme.id):
        Artifact.objects.all().delete()
    assert collect(acme).strays == 0
    age(make.file_of(acme, stray))
    assert collect(acme).strays == 1
    assert not make.file_of(acme, stray).exists()


def test_what_a_crashed_upload_left_goes(acme: Tenant, tmp_path: Path) -> None:
    draft = object_store().draft(acme.id)
    draft.write(b"half")
    draft.finish()
    with scope.tenant(acme.id):
        Reservation.objects.create(bytes=500, created_at=now() - OLD)
        require(Metric.STORAGE_BYTES, 500)
    for path in tmp_path.rglob("drafts/*"):
        age(path)
    assert collect(acme).drafts == 1
    assert used(acme) == 0


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def test_without_roots_the_command_removes_nothing(acme: Tenant) -> None:
    stored = aged(acme, make.artifact(acme))
    with pytest.raises(CommandError, match="Nothing was removed"):
        call_command("collect_artifacts")
    assert digests(acme) == {stored.digest}


def test_the_command_asks_every_root_in_every_tenant(
    acme: Tenant, globex: Tenant, out: io.StringIO
) -> None:
    for of in (acme, globex):
        for content in (b"one", b"two", b"three"):
            aged(of, make.artifact(of, content))
    held = make.artifact(acme, b"one").digest, make.artifact(acme, b"two").digest
    aged(acme, make.artifact(acme, b"two"))
    roots.register_root("history", lambda: [held[0]])
    roots.register_root("releases", lambda: [held[1]])
    call_command("collect_artifacts", stdout=out)
    assert digests(acme) == digests(globex) == set(held)
    assert "marking from history, releases" in out.getvalue()
    assert "acme: 1 artifacts (5 bytes)" in out.getvalue()
