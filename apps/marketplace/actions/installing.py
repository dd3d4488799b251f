"""Install: check the plan, create the workflow, deploy it, remember where it came from."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import cast

from apps.kit import events
from apps.kit.errors import ErrorCode, Refusal
from apps.marketplace import licenses
from apps.marketplace.errors import DigestMismatch, Incompatible, PaymentRequired, SecretsMissing
from apps.marketplace.events import WorkflowInstalled
from apps.marketplace.models import Installation
from apps.marketplace.overrides import InvalidOverride, apply_overrides
from apps.marketplace.planning import Choices, Plan, is_intact, plan_install
from apps.marketplace.policies import can_install
from apps.marketplace.terms import InstallationStatus, PricingModel
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor, Permission
from apps.tenancy.idempotency import remembered
from apps.tenancy.policies import require
from apps.versions.actions import commit_version, deploy_version
from apps.workflows.actions import create_workflow


def install_workflow(
    *,
    actor: Actor,
    listing_id: uuid.UUID,
    environment_kind: str,
    choices: Choices | None = None,
    idempotency_key: str | None = None,
) -> Installation:
    """A workflow of the actor's organization made from a release, deployed and ready to run.

    Raises LICENSE_NOT_ACCEPTED, REQUIRED (permissions), INCOMPATIBLE, SECRET_MISSING,
    DIGEST_MISMATCH, PAYMENT_REQUIRED, QUOTA_EXCEEDED; nothing is half-written.
    """
    require(can_install(actor), "install workflows")
    chosen = choices or Choices()
    request = {
        "listing": str(listing_id),
        "environment": environment_kind,
        "choices": chosen.to_json(),
    }
    with (
        scope.transaction(),
        remembered(operation="installWorkflow", key=idempotency_key, request=request) as memory,
    ):
        if memory.result_id is not None:
            return Installation.objects.get(pk=memory.result_id)
        plan = plan_install(
            listing_id=listing_id, environment_kind=environment_kind, choices=chosen
        )
        _refuse(plan, chosen)
        installation = _install(actor, plan, chosen)
        memory.remember(installation.pk)
    return installation


def _refuse(plan: Plan, chosen: Choices) -> None:
    """Raise for the first reason not to install, the ones that cost nothing to mend last."""
    if not is_intact(plan):
        raise DigestMismatch
    if plan.listing.pricing_model not in {PricingModel.FREE, PricingModel.CONTACT}:
        raise PaymentRequired(plan.listing)
    if not plan.is_compatible:
        raise Incompatible(plan.obstacles, platform_range=plan.requirements.platform)
    license_ = licenses.find(plan.listing.license)
    if (license_ is None or license_.requires_acceptance) and not chosen.accept_license:
        raise Refusal(
            f"Accept the licence {plan.listing.license} by setting `acceptLicense` to true.",
            code=ErrorCode.LICENSE_NOT_ACCEPTED,
            path=("configuration", "acceptLicense"),
        )
    open_ = [one.key for one in plan.permissions if one.key not in chosen.accepted_permissions]
    if open_:
        raise Refusal(
            f"This workflow asks for permissions that were not accepted: {', '.join(open_)}. "
            "Read the plan and list them in `acceptedPermissions`.",
            code=ErrorCode.REQUIRED,
            path=("configuration", "acceptedPermissions"),
        )
    if plan.missing_slots:
        raise SecretsMissing(
            tuple(plan.secrets[slot.slot] for slot in plan.missing_slots),
            environment=plan.environment.name,
        )


def _install(actor: Actor, plan: Plan, chosen: Choices) -> Installation:
    listing, release = plan.listing, plan.release
    try:
        document = apply_overrides(
            release.document,
            name=(chosen.workflow_name or listing.name).strip(),
            parameters=chosen.parameters,
            secrets=plan.secrets,
            resources=chosen.resources,
        )
    except InvalidOverride as invalid:
        raise Refusal(str(invalid), path=("configuration", *invalid.path)) from invalid
    # Whoever may install may have the workflow that comes of it, whatever else they may write.
    installer = replace(
        actor,
        permissions=actor.permissions | {Permission.WORKFLOWS_WRITE, Permission.VERSIONS_WRITE},
    )
    workflow = create_workflow(actor=installer, document=document)
    version = commit_version(
        actor=installer,
        workflow_id=workflow.pk,
        message=f"Install {listing.publisher.handle}/{listing.slug} {release.version}",
        version=release.version,
    )
    deploy_version(actor=installer, version_id=version.pk, environment=plan.environment.pk)
    installation = Installation(
        publisher_tenant_id=cast("uuid.UUID", listing.tenant_id),
        listing_id=listing.pk,
        release_id=release.pk,
        version=release.version,
        digest=release.digest,
        workflow=workflow,
        environment=plan.environment,
        status=InstallationStatus.ACTIVE.value,
        configuration=chosen.to_json(),
        accepted_permissions=sorted(one.key for one in plan.permissions),
        installed_hash=version.content_hash,
        update_policy=chosen.update_policy.value,
        installed_by_id=actor.user_id,
    )
    installation.save(force_insert=True)
    _announce(actor, plan, installation)
    return installation


def _announce(actor: Actor, plan: Plan, installation: Installation) -> None:
    listing = plan.listing
    audit.record(
        actor=actor,
        action="marketplace.install",
        target=f"Installation:{installation.pk}",
        after={
            "listing": f"{listing.publisher.handle}/{listing.slug}",
            "version": installation.version,
            "digest": installation.digest,
            "workflow": f"Workflow:{installation.workflow_id}",
            "environment": plan.environment.name,
            "permissions": installation.accepted_permissions,
        },
    )
    events.publish(
        WorkflowInstalled(
            tenant_id=scope.current_tenant_id(),
            installation_id=installation.pk,
            listing_id=listing.pk,
        )
    )
