"""What one upload takes of the storage quota: growing blocks while it runs, exactly at its end."""

from __future__ import annotations

import uuid
from typing import Final

from django.db.models import F

from apps.artifacts.models import Reservation
from apps.tenancy import limits, scope
from apps.tenancy.limits import Metric

# Up to here an upload takes nothing before its end: one transaction instead of two for most.
FREE_BYTES: Final = 8 * 1024 * 1024


class UploadQuota:
    """The bytes an upload holds. Reservations are rows, so a crash leaves a trace to sweep."""

    def __init__(self) -> None:
        self._held = 0
        self._id: uuid.UUID | None = None

    def cover(self, size: int) -> None:
        """Hold at least `size` bytes. Raises QuotaExceeded; commits by itself."""
        if size <= max(FREE_BYTES, self._held):
            return
        # Doubling keeps the number of transactions small whatever the size.
        block = max(size, 2 * self._held, 2 * FREE_BYTES) - self._held
        with scope.transaction():
            key = self._id or Reservation.objects.create(bytes=0).pk
            Reservation.objects.filter(pk=key).update(bytes=F("bytes") + block)
            limits.require(Metric.STORAGE_BYTES, block)
        self._id = key
        self._held += block

    def settle(self, size: int) -> None:
        """Take exactly `size` bytes for good, in the caller's transaction. Raises QuotaExceeded."""
        held = self._held if self._forget() else 0
        if size != held:
            limits.require(Metric.STORAGE_BYTES, size - held)

    def give_back(self) -> None:
        """Hold nothing, after a failure; commits by itself."""
        if self._id is None:
            return
        with scope.transaction():
            if self._forget():
                limits.release(Metric.STORAGE_BYTES, self._held)

    def _forget(self) -> bool:
        """Whether the reservation was still there: a very slow upload may have been swept."""
        deleted, _ = Reservation.objects.filter(pk__in=[self._id]).delete()
        return bool(deleted)
