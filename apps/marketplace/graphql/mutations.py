"""Writes of the marketplace: each calls one action."""

from __future__ import annotations

import strawberry

from apps.kit.clock import now
from apps.kit.graphql.mutations import mutation
from apps.kit.graphql.nodes import key_of
from apps.marketplace import actions
from apps.marketplace.graphql.installing import Installation
from apps.marketplace.graphql.listings import MarketplaceWorkflow, scan_of
from apps.marketplace.graphql.plans import (
    ConfigurationOverrides,
    InstallationResult,
    InstallPlan,
)
from apps.marketplace.graphql.publishing import (
    ListingVersionPayload,
    PublishMetadata,
    PublishResult,
    WorkflowInput,
)
from apps.marketplace.graphql.releases import ListingVersion, approval_of
from apps.marketplace.planning import Choices, plan_install
from apps.marketplace.terms import Risk
from apps.security_scan.graphql.types import Provenance, SecurityScanResult
from apps.security_scan.summaries import Summary
from apps.tenancy.actors import Permission
from apps.tenancy.graphql.context import Info
from apps.tenancy.models import EnvironmentKind
from apps.workflows.graphql.reports import ValidationIssue
from apps.workflows.graphql.types import Workflow


@strawberry.type
class Mutation:
    """Publish, install, withdraw."""

    @mutation(requires=Permission.MARKETPLACE_PUBLISH)
    def publish_workflow(
        self,
        info: Info,
        workflow: WorkflowInput,
        metadata: PublishMetadata,
        idempotency_key: strawberry.ID | None = None,
    ) -> PublishResult | None:
        """Hand in a release; it answers SCANNING, and scan and approval follow by themselves."""
        source, submission = workflow.source(), metadata.submission()
        actor = info.context.actor
        if metadata.validate_only:
            content, report = actions.rehearse(actor=actor, source=source, submission=submission)
            return PublishResult(
                scan=SecurityScanResult.of(
                    Summary.of_report(report, at=now()),
                    provenance=Provenance(digest=content.content_hash),
                ),
                warnings=[ValidationIssue.of(issue) for issue in content.warnings],
            )
        release = actions.publish_release(
            actor=actor, source=source, submission=submission, idempotency_key=idempotency_key
        )
        return PublishResult(
            listing=MarketplaceWorkflow.of(release.listing),
            version=ListingVersion.of(release),
            approval=approval_of(release, info),
            scan=scan_of(release),
        )

    @mutation(requires=Permission.MARKETPLACE_INSTALL)
    def install_workflow(
        self,
        info: Info,
        workflow_id: strawberry.ID,
        target_environment: EnvironmentKind,
        *,
        configuration: ConfigurationOverrides | None = None,
        plan_only: bool | None = False,
        idempotency_key: strawberry.ID | None = None,
    ) -> InstallationResult | None:
        """Install a workflow into an environment; with planOnly say what that would do."""
        listing_id = key_of(
            workflow_id, "MarketplaceWorkflow", noun="workflow", path=("workflowId",)
        )
        choices = configuration.choices() if configuration else Choices()
        if plan_only:
            plan = plan_install(
                listing_id=listing_id, environment_kind=target_environment.value, choices=choices
            )
            return InstallationResult(plan=InstallPlan.of(plan))
        installation = actions.install_workflow(
            actor=info.context.actor,
            listing_id=listing_id,
            environment_kind=target_environment.value,
            choices=choices,
            idempotency_key=idempotency_key,
        )
        return InstallationResult(
            installation=Installation.of(installation),
            workflow=Workflow.of(installation.workflow),
        )

    @mutation(requires=Permission.MARKETPLACE_PUBLISH)
    def yank_version(
        self, info: Info, version_id: strawberry.ID, reason: str, severity: Risk
    ) -> ListingVersionPayload | None:
        """Withdraw a release: no new installs, existing ones keep working."""
        release = actions.yank_release(
            actor=info.context.actor,
            release_id=key_of(version_id, "ListingVersion", noun="release", path=("versionId",)),
            reason=reason,
            severity=severity,
        )
        return ListingVersionPayload(version=ListingVersion.of(release))
