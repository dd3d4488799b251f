"""Storing and opening objects: by content, verified, within the quota, apart by tenant."""

from __future__ import annotations

import hashlib
import io
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections

from apps.artifacts import actions
from apps.artifacts.actions import GRACE, collect_garbage, store_artifact
from apps.artifacts.contents import open_artifact
from apps.artifacts.errors import ArtifactMissing, DigestMismatch
from apps.artifacts.models import Artifact, Reservation
from apps.artifacts.quota import FREE_BYTES
from apps.artifacts.store import object_store
from apps.kit.clock import now
from apps.kit.errors import ErrorCode, QuotaExceeded, Refusal
from apps.tenancy import scope
from apps.tenancy.limits import Metric, allowance, set_limits
from apps.tenancy.scope import Scope
from tests import database
from tests.factories import artifacts as make
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db

LARGE = FREE_BYTES + 3 * 1024 * 1024


def used(of: Tenant) -> int:
    with scope.tenant(of.id):
        return allowance(Metric.STORAGE_BYTES).used


def limit(of: Tenant, size: int) -> None:
    with scope.tenant(of.id):
        set_limits({Metric.STORAGE_BYTES: size})


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def rows(of: Tenant) -> tuple[int, int]:
    with scope.tenant(of.id):
        return Artifact.objects.count(), Reservation.objects.count()


def read(of: Tenant, digest: str) -> bytes:
    with scope.enter(Scope(tenant_id=of.id)), open_artifact(digest) as stream:
        return stream.read()


def test_what_is_stored_is_named_by_its_content(acme: Tenant) -> None:
    stored = make.artifact(acme, b"hello", media_type="Text/Plain; charset=utf-8")
    assert stored.digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()
    assert (stored.bytes, stored.media_type) == (5, "text/plain")
    assert read(acme, stored.digest) == b"hello"
    assert used(acme) == 5


def test_a_stream_is_read_in_pieces(acme: Tenant) -> None:
    content = b"0123456789abcdef" * (LARGE // 16)
    with scope.enter(Scope(tenant_id=acme.id)):
        stored = store_artifact(io.BytesIO(content), media_type="application/octet-stream")
    assert read(acme, stored.digest) == content
    assert used(acme) == len(content)
    assert rows(acme) == (1, 0)


def test_nothing_at_all_may_be_stored(acme: Tenant) -> None:
    assert read(acme, make.artifact(acme, b"").digest) == b""


def test_equal_content_is_stored_and_counted_once(acme: Tenant, tmp_path: Path) -> None:
    first, second = make.artifact(acme), make.artifact(acme)
    assert first == second
    assert rows(acme) == (1, 0)
    assert used(acme) == first.bytes
    assert len(files(tmp_path)) == 1


def test_an_object_can_be_sought_in(acme: Tenant) -> None:
    stored = make.artifact(acme, b"0123456789")
    with scope.enter(Scope(tenant_id=acme.id)), open_artifact(stored.digest) as stream:
        stream.seek(7)
        assert stream.read(2) == b"78"


@pytest.mark.parametrize("content", [b"tampered with", b"a,b\n1,3\n", b""])
def test_a_changed_object_is_refused(acme: Tenant, content: bytes) -> None:
    stored = make.artifact(acme, b"a,b\n1,2\n")
    make.file_of(acme, stored).write_bytes(content)
    with pytest.raises(DigestMismatch) as refusal:
        read(acme, stored.digest)
    assert refusal.value.code is ErrorCode.DIGEST_MISMATCH


def test_storing_again_mends_a_changed_object(acme: Tenant) -> None:
    stored = make.artifact(acme)
    make.file_of(acme, stored).write_bytes(b"tampered")
    make.artifact(acme)
    assert read(acme, stored.digest) == b"a,b\n1,2\n"


def test_a_lost_object_is_missing(acme: Tenant) -> None:
    stored = make.artifact(acme)
    make.file_of(acme, stored).unlink()
    with pytest.raises(ArtifactMissing):
        read(acme, stored.digest)


@pytest.mark.parametrize(
    "digest", ["sha256:" + "0" * 64, "../../etc/passwd", "", "sha256:ZZ", "\0"]
)
def test_an_unknown_digest_is_missing(acme: Tenant, digest: str) -> None:
    with pytest.raises(ArtifactMissing):
        read(acme, digest)


@pytest.mark.parametrize("digest", ["../../etc/passwd", "sha256:../../../etc/passwd", "", "."])
def test_a_digest_never_becomes_another_path(digest: str) -> None:
    with pytest.raises(FileNotFoundError):
        object_store().open(uuid.uuid4(), digest)


@pytest.mark.parametrize("size", [100, LARGE], ids=["small", "large"])
def test_over_the_quota_nothing_is_kept(acme: Tenant, tmp_path: Path, size: int) -> None:
    limit(acme, 99)
    with pytest.raises(QuotaExceeded) as refusal:
        make.artifact(acme, b"x" * size)
    assert refusal.value.metric == Metric.STORAGE_BYTES
    assert (rows(acme), used(acme), files(tmp_path)) == ((0, 0), 0, [])


def test_a_large_upload_stops_where_its_reservation_fails(acme: Tenant, tmp_path: Path) -> None:
    limit(acme, 3 * FREE_BYTES)
    pulled = 0

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            nonlocal pulled
            pulled += size
            return b"x" * size

    with scope.enter(Scope(tenant_id=acme.id)), pytest.raises(QuotaExceeded):
        store_artifact(Endless(), media_type="application/octet-stream")  # type: ignore[arg-type]
    assert pulled <= 3 * FREE_BYTES
    assert (rows(acme), used(acme), files(tmp_path)) == ((0, 0), 0, [])


def test_an_object_that_is_there_already_needs_no_room(acme: Tenant) -> None:
    stored = make.artifact(acme, b"x" * 50)
    limit(acme, 50)
    assert make.artifact(acme, b"x" * 50) == stored
    assert used(acme) == 50


def test_a_stream_that_breaks_leaves_nothing(acme: Tenant, tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            piece = super().read(size)
            if not piece:
                raise ConnectionResetError
            return piece

    with scope.enter(Scope(tenant_id=acme.id)), pytest.raises(ConnectionResetError):
        store_artifact(Breaking(b"x" * LARGE), media_type="text/plain")
    assert (rows(acme), used(acme), files(tmp_path)) == ((0, 0), 0, [])


def test_an_object_has_a_largest_size(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "MAX_BYTES", 10)
    with pytest.raises(Refusal, match="at most 10 bytes"):
        make.artifact(acme, b"x" * 11)
    assert rows(acme) == (0, 0)


@pytest.mark.parametrize("media_type", ["", "text", "text/", "a b/c", "text/plain\r\nx: y/z"])
def test_a_media_type_has_a_form(acme: Tenant, media_type: str) -> None:
    with pytest.raises(Refusal) as refusal:
        make.artifact(acme, media_type=media_type)
    assert refusal.value.path == ("mediaType",)
    assert rows(acme) == (0, 0)


# Isolation


def test_another_tenant_finds_nothing(acme: Tenant, globex: Tenant) -> None:
    stored = make.artifact(acme)
    assert rows(globex) == (0, 0)
    with pytest.raises(ArtifactMissing):
        read(globex, stored.digest)


def test_equal_content_of_two_tenants_is_two_objects(acme: Tenant, globex: Tenant) -> None:
    first, second = make.artifact(acme), make.artifact(globex)
    assert first.digest == second.digest
    assert make.file_of(acme, first) != make.file_of(globex, second)
    assert (used(acme), used(globex)) == (first.bytes, second.bytes)


def test_raw_sql_of_another_tenant_finds_no_row(acme: Tenant, globex: Tenant) -> None:
    make.artifact(acme)
    with scope.tenant(globex.id), connection.cursor() as cursor:
        for table in ("artifacts_artifact", "artifacts_reservation"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (0,)


# Real commits, other threads, the engine's role


@pytest.mark.django_db(transaction=True)
def test_a_worker_stores_and_the_web_reads(acme: Tenant) -> None:
    with database.as_engine(), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone()[0] == settings.DATABASE_ROLES["engine"]
        stored = make.artifact(acme)
        assert read(acme, stored.digest) == b"a,b\n1,2\n"
    assert read(acme, stored.digest) == b"a,b\n1,2\n"


def at_once(*acts: Callable[[], Any]) -> None:
    """Run acts in threads that begin together; the first error is raised."""
    gate, errors = threading.Barrier(len(acts)), list[BaseException]()

    def run(act: Callable[[], Any]) -> None:
        try:
            gate.wait(10)
            act()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]


@pytest.mark.django_db(transaction=True)
def test_what_is_stored_while_it_is_collected_stays(acme: Tenant) -> None:
    def store() -> None:
        make.artifact(acme, b"x" * 1000)

    def collect() -> None:
        with scope.enter(Scope(tenant_id=acme.id)):
            collect_garbage(referenced=())

    for _ in range(5):
        stored = make.artifact(acme, b"x" * 1000)
        with scope.tenant(acme.id):
            Artifact.objects.update(stored_at=now() - 2 * GRACE)
        at_once(store, collect, store, collect)
        assert read(acme, stored.digest) == b"x" * 1000
        assert (rows(acme), used(acme)) == ((1, 0), 1000)


@pytest.mark.django_db(transaction=True)
def test_many_writers_of_one_object_count_it_once(acme: Tenant, tmp_path: Path) -> None:
    at_once(*[lambda: make.artifact(acme, b"x" * 1000)] * 6)
    assert (rows(acme), used(acme), len(files(tmp_path))) == ((1, 0), 1000, 1)
