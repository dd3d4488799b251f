"""Every write of the artifacts: storing an object, and collecting what nothing refers to."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import BinaryIO, Final

from django.db import connection
from django.db.models import QuerySet

from apps.artifacts.models import Artifact, Reservation
from apps.artifacts.objects import Draft
from apps.artifacts.quota import UploadQuota
from apps.artifacts.reference import StoredObject, checked_media_type
from apps.artifacts.store import object_store
from apps.kit.clock import now
from apps.kit.errors import Refusal
from apps.tenancy import limits, scope
from apps.tenancy.limits import Metric

MAX_BYTES: Final = 5 * 1024**3
# Longer than any run holds an object that its history does not name yet.
GRACE: Final = dt.timedelta(hours=24)
_PIECE: Final = 1024 * 1024
_BATCH: Final = 200


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What one tenant's collection removed."""

    artifacts: int
    bytes: int
    strays: int
    drafts: int


def store_artifact(
    content: bytes | BinaryIO, *, media_type: str, run_id: uuid.UUID | None = None
) -> StoredObject:
    """Store bytes or a stream for the tenant in force; equal content is stored, and counted, once.

    Call it outside a transaction: it reads at the stream's pace, and takes the quota in short
    transactions of its own. Raises QuotaExceeded; then nothing is kept. Actions of people are
    checked by what calls this: a step's right to store comes with its run.
    """
    kind = checked_media_type(media_type)
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    draft = object_store().draft(scope.current_tenant_id())
    quota = UploadQuota()
    try:
        while piece := stream.read(_PIECE):
            if draft.size + len(piece) > MAX_BYTES:
                raise Refusal(f"An artifact has at most {MAX_BYTES} bytes; split it.")
            quota.cover(draft.size + len(piece))
            draft.write(piece)
        draft.finish()
        _register(draft, quota, media_type=kind, run_id=run_id)
    except BaseException:
        draft.discard()
        quota.give_back()
        raise
    return StoredObject(digest=draft.digest, media_type=kind, bytes=draft.size)


def _register(
    draft: Draft, quota: UploadQuota, *, media_type: str, run_id: uuid.UUID | None
) -> None:
    with scope.transaction():
        _lock(draft.digest)
        row = Artifact(
            digest=draft.digest, media_type=media_type, bytes=draft.size, created_by_run=run_id
        )
        Artifact.objects.bulk_create([row], ignore_conflicts=True)
        held = Artifact.objects.get(digest=draft.digest)
        is_new = held.pk == row.pk
        if not is_new:
            Artifact.objects.filter(pk=held.pk).update(stored_at=now())
        # Published even if it is there already, which mends one that was damaged or lost.
        draft.publish()
        try:
            # Last: the quota's row is shared by all of the tenant's writers, and the disk is slow.
            quota.settle(draft.size if is_new else 0)
        except BaseException:
            if is_new:
                object_store().remove(scope.current_tenant_id(), draft.digest)
            raise


def _lock(digest: str) -> None:
    """Until the transaction ends nobody else stores, collects or sweeps this object.

    The row cannot serve: before the first commit there is none, and the file is there already.
    """
    name = f"artifact:{scope.current_tenant_id()}:{digest}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def collect_garbage(*, referenced: Collection[str], grace: dt.timedelta = GRACE) -> Collected:
    """Remove the tenant's objects that are older than `grace` and not among `referenced` digests.

    `referenced` must have been gathered completely before the call. Each batch commits by itself.
    """
    before = now() - grace
    old = Artifact.objects.filter(stored_at__lt=before).order_by("pk")
    removed = size = 0
    last: uuid.UUID | None = None
    while True:
        with scope.transaction():
            page = old if last is None else old.filter(pk__gt=last)
            rows = list(page.values_list("pk", "digest")[:_BATCH])
            freed = [_remove(old, digest) for _, digest in rows if digest not in referenced]
            # Once, and after every lock is held: a writer waits for this row while it holds one.
            limits.release(Metric.STORAGE_BYTES, sum(filter(None, freed)))
        removed += sum(one is not None for one in freed)
        size += sum(filter(None, freed))
        if len(rows) < _BATCH:
            break
        last = rows[-1][0]
    strays = _sweep_strays(before)
    drafts = _sweep_uploads(before)
    return Collected(artifacts=removed, bytes=size, strays=strays, drafts=drafts)


def _remove(old: QuerySet[Artifact], digest: str) -> int | None:
    """The bytes that went; None if somebody has stored the object again meanwhile."""
    _lock(digest)
    row = old.filter(digest=digest).first()
    if row is None:
        return None
    object_store().remove(scope.current_tenant_id(), digest)
    row.delete()
    return row.bytes


def _sweep_strays(before: dt.datetime) -> int:
    """Objects without a row: their writer died between the file and the commit."""
    store, tenant_id = object_store(), scope.current_tenant_id()
    removed = 0
    for lying in store.lying(tenant_id):
        if lying.written_at >= before:
            continue
        with scope.transaction():
            _lock(lying.digest)
            if not Artifact.objects.filter(digest=lying.digest).exists():
                store.remove(tenant_id, lying.digest)
                removed += 1
    return removed


def _sweep_uploads(before: dt.datetime) -> int:
    """Drafts and reservations of writers that died."""
    with scope.transaction():
        left = Reservation.objects.select_for_update(skip_locked=True).filter(created_at__lt=before)
        for row in left.order_by("pk"):
            row.delete()
            limits.release(Metric.STORAGE_BYTES, row.bytes)
    return object_store().drop_drafts(scope.current_tenant_id(), older_than=before)
