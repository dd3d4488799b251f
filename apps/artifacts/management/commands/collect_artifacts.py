"""Removes stored objects that no history, release or version refers to, tenant by tenant."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.artifacts import roots
from apps.artifacts.actions import collect_garbage
from apps.tenancy import scope
from apps.tenancy.models import Organization
from apps.tenancy.scope import Scope


class Command(BaseCommand):
    """Safe to stop and to run again; objects younger than a day are spared."""

    help = "Remove artifacts that nothing refers to. Young ones, and those in use, stay."

    def handle(self, *_: Any, **__: Any) -> None:
        """Print one line per tenant that lost something."""
        if not roots.registered():
            raise CommandError(
                "No app has registered what it refers to (apps.artifacts.roots.register_root): "
                "every artifact would look like garbage. Nothing was removed."
            )
        self.stdout.write(f"marking from {', '.join(roots.registered())}")
        with scope.platform():
            tenants = list(Organization.objects.order_by("pk").values_list("pk", "slug"))
        for tenant_id, slug in tenants:
            with scope.enter(Scope(tenant_id=tenant_id)):
                done = collect_garbage(referenced=roots.referenced())
            if done.artifacts or done.strays or done.drafts:
                self.stdout.write(
                    f"{slug}: {done.artifacts} artifacts ({done.bytes} bytes), {done.strays} "
                    f"objects without a row, {done.drafts} unfinished uploads removed"
                )
