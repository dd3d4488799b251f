"""Scans and their findings: rows of the organization whose document was judged, open to staff."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, ClassVar, Self

from django.db import models

from apps.kit.clock import now
from apps.security_scan.scanner import Severity, Verdict
from apps.tenancy.constraints import TenantForeignKeyConstraint
from apps.tenancy.managers import TenantManager
from apps.tenancy.models import TenantModel, tenant_constraints

VERDICTS = [(one.value, one.value) for one in Verdict]
SEVERITIES = [(one.value, one.value) for one in Severity]


class ScanQuerySet(models.QuerySet["Scan"]):
    """Questions about scans."""

    def pending(self) -> Self:
        """Without a verdict."""
        return self.filter(verdict=Verdict.PENDING)

    def waiting_since(self, moment: dt.datetime) -> Self:
        """Without a verdict although asked for before `moment`: their job was lost."""
        return self.pending().filter(requested_at__lt=moment)

    def of_subject(self, subject_type: str, subject_id: uuid.UUID) -> Self:
        """The scans of one thing, newest first."""
        return self.filter(subject_type=subject_type, subject_id=subject_id).order_by("-id")


ScanManager = TenantManager.from_queryset(ScanQuerySet)


class Scan(TenantModel):
    """One judgement of one document; its own copy, so that it can be derived again."""

    subject_type = models.CharField(max_length=40, help_text="Name of the GraphQL type scanned.")
    subject_id = models.UUIDField()
    digest = models.CharField(max_length=80, help_text="Content hash of the document.")
    document = models.JSONField()
    verdict = models.CharField(max_length=8, choices=VERDICTS, default=Verdict.PENDING.value)
    score = models.PositiveSmallIntegerField(default=0, help_text="0 to 100; 100 is clean.")
    scanner_versions = models.JSONField(default=dict)
    requested_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar[ScanManager[Self]] = ScanManager(platform=True)

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("scan"),
            models.CheckConstraint(
                condition=models.Q(verdict=Verdict.PENDING.value)
                | models.Q(finished_at__isnull=False),
                name="scan_verdict_has_an_end",
            ),
        ]
        indexes: ClassVar[list[Any]] = [
            models.Index(
                fields=["tenant", "subject_type", "subject_id", "-id"], name="scan_subject_idx"
            ),
            models.Index(
                fields=["requested_at"],
                condition=models.Q(verdict=Verdict.PENDING.value),
                name="scan_pending_idx",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject_type} {self.subject_id}: {self.verdict}"


class Finding(TenantModel):
    """One problem a scan found; never holds the text of a secret."""

    scan = models.ForeignKey(
        Scan, on_delete=models.CASCADE, db_constraint=False, related_name="findings"
    )
    position = models.PositiveIntegerField(help_text="Worst first, from 0.")
    rule = models.CharField(max_length=60)
    title = models.CharField(max_length=160)
    severity = models.CharField(max_length=8, choices=SEVERITIES)
    detail = models.TextField()
    remediation = models.TextField()
    cwe = models.CharField(max_length=20, blank=True)
    node_id = models.TextField(blank=True)
    path = models.TextField(blank=True)
    line = models.PositiveIntegerField(null=True)

    objects: ClassVar[TenantManager[Self]] = TenantManager(platform=True)

    class Meta(TenantModel.Meta):
        ordering = ("position",)
        constraints: ClassVar[list[Any]] = [
            *tenant_constraints("finding"),
            TenantForeignKeyConstraint(
                field="scan",
                to_table="security_scan_scan",
                name="finding_scan_fk",
                on_delete="CASCADE",
            ),
            models.UniqueConstraint(
                fields=["tenant", "scan", "position"], name="finding_position_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.severity} {self.rule}"
