"""Downloads: an organization's first successful run is its own row; a platform job folds them."""

from __future__ import annotations

import datetime as dt
import uuid

from django.db.models import Count, Q

from apps.kit.clock import now
from apps.marketplace import search_index
from apps.marketplace.models import FirstSuccessfulRun, Installation, Listing, ListingStatistics
from apps.tenancy import scope

RECENT = dt.timedelta(days=30)


def count_first_run(*, workflow_id: uuid.UUID, run_id: uuid.UUID) -> bool:
    """Remember that the organization in force ran an installed listing to success.

    Once per listing, never for the publisher's own; returns whether this was the first.
    """
    with scope.transaction():
        installation = Installation.objects.of_workflow(workflow_id).first()
        tenant_id = scope.current_tenant_id()
        if installation is None or installation.publisher_tenant_id == tenant_id:
            return False
        _, is_new = FirstSuccessfulRun.objects.get_or_create(
            listing_id=installation.listing_id,
            defaults={
                "publisher_tenant_id": installation.publisher_tenant_id,
                "release_id": installation.release_id,
                "run_id": run_id,
            },
        )
    return is_new


def fold_statistics() -> int:
    """Recount every listing whose numbers changed; in the platform scope. Returns how many."""
    with scope.transaction():
        recent = Q(at__gte=now() - RECENT)
        runs = {
            row["listing_id"]: (row["ever"], row["recently"])
            for row in FirstSuccessfulRun.objects.values("listing_id")
            .annotate(ever=Count("pk"), recently=Count("pk", filter=recent))
            .order_by()
        }
        installed = dict(
            Installation.objects.active()
            .values_list("listing_id")
            .annotate(tenants=Count("tenant_id", distinct=True))
            .order_by()
        )
        changed = 0
        known = ListingStatistics.objects.select_for_update(of=("self",)).order_by("pk")
        for row in known.iterator(chunk_size=500):
            ever, recently = runs.get(row.listing_id, (0, 0))
            counts = (ever, recently, installed.get(row.listing_id, 0))
            if counts == (row.downloads, row.downloads_30_days, row.installations):
                continue
            row.downloads, row.downloads_30_days, row.installations = counts
            row.folded_at = now()
            row.save(update_fields=["downloads", "downloads_30_days", "installations", "folded_at"])
            search_index.refresh(Listing.objects.select_related("publisher").get(pk=row.listing_id))
            changed += 1
    return changed
