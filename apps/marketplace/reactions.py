"""What the marketplace does when scans, approvals and runs have spoken."""

from __future__ import annotations

import uuid

from django.db import transaction

from apps.artifacts.roots import register_root
from apps.executions import origins
from apps.executions.events import RunFinished
from apps.kit.events import on
from apps.kit.graphql.nodes import key_of
from apps.marketplace import actions, jobs
from apps.marketplace.actions.publishing import SUBJECT
from apps.marketplace.models import Installation
from apps.marketplace.store import artifacts_in_releases
from apps.security_scan.events import ScanFinished
from apps.tenancy.actors import Actor
from apps.tenancy.frozen import Frozen
from apps.versions.events import ApprovalDecided
from apps.versions.models import ApprovalKind

_INSTALLATION: Frozen[Installation] = Frozen(
    lambda workflow: Installation.objects.of_workflow(workflow).order_by("pk").values_list("pk"),
    workflow=uuid.UUID,
)


def _installation_of(workflow_id: uuid.UUID) -> uuid.UUID | None:
    return next((pk for (pk,) in _INSTALLATION.rows(workflow=workflow_id)), None)


origins.register(_installation_of)

register_root("releases", artifacts_in_releases)


@on(ScanFinished)
def take_over_verdict(event: ScanFinished) -> None:
    """A release was scanned: it is rejected, or people are asked."""
    if event.subject_type == SUBJECT:
        actions.finish_scan(
            actor=Actor.system(event.tenant_id, "marketplace"),
            release_id=event.subject_id,
            scan_id=event.scan_id,
        )


@on(ApprovalDecided)
def take_over_decision(event: ApprovalDecided) -> None:
    """People have decided about a release; the event comes in the publisher's scope."""
    if event.kind != ApprovalKind.LISTING_PUBLISH:
        return
    release_id = key_of(event.subject, SUBJECT)
    actor = Actor(
        tenant_id=event.tenant_id, user_id=event.decided_by, name="platform staff", is_staff=True
    )
    if event.approved:
        actions.publish_approved(actor=actor, release_id=release_id)
    else:
        actions.reject_release(actor=actor, release_id=release_id, comment=event.comment)


@on(RunFinished)
def count_download(event: RunFinished) -> None:
    """A workflow ran to success: if it was installed, its listing has one more user."""
    if event.state != "SUCCEEDED" or event.installation_id is None or event.parent_kind == "ITEM":
        return
    if actions.count_first_run(workflow_id=event.workflow_id, run_id=event.run_id):
        transaction.on_commit(jobs.refresh_statistics_soon, robust=True)
