"""`manage.py verify_audit`: walks every tenant's chain; fails when one does not hold."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenancy import audit, periodic, scope


class Command(BaseCommand):
    """Verifies the audit chains."""

    help = "Verify the hash chain of every organization's audit trail."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """One line per organization; the unsealed tail is named."""
        broken = []
        for organization in periodic.tenants():
            with scope.tenant(organization.pk):
                verdict = audit.verify()
            line = f"{organization.slug}: {verdict.sealed} sealed, {verdict.unsealed} not yet"
            if verdict.broken_at is not None:
                broken.append(organization.slug)
                line += f", BROKEN at {verdict.broken_at}"
            self.stdout.write(line)
        if broken:
            raise CommandError(f"The audit chain is broken in: {', '.join(broken)}")
