"""Moves every secret under the current key-encryption key, tenant by tenant."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenancy import scope
from apps.tenancy.models import Organization
from apps.tenancy.scope import Scope
from apps.vault.actions import rewrap_secrets


class Command(BaseCommand):
    """After this has ended without an error, the previous keys may be taken away."""

    help = (
        "Re-wrap every secret under NSTARX_KEY_ENCRYPTION_KEY. Put the old key into "
        "NSTARX_PREVIOUS_KEY_ENCRYPTION_KEYS first; run again after an interruption."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        """Print one line per tenant that changed and a total."""
        with scope.platform():
            tenants = list(Organization.objects.order_by("pk").values_list("pk", "slug"))
        moved = 0
        unreadable: list[str] = []
        for tenant_id, slug in tenants:
            with scope.enter(Scope(tenant_id=tenant_id)):
                done = rewrap_secrets()
            moved += done.moved
            unreadable += [f"{slug}: {key}" for key in done.unreadable]
            if done.moved:
                self.stdout.write(f"{slug}: {done.moved} re-wrapped")
        self.stdout.write(f"{moved} re-wrapped in {len(tenants)} organizations")
        if unreadable:
            raise CommandError(
                f"{len(unreadable)} secret versions do not open with any configured key; keep the "
                "previous keys and set these secrets again: " + ", ".join(unreadable[:20])
            )
