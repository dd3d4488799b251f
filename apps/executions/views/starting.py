"""Starting a run from a form drawn from the declared parameters."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from apps.executions import policies
from apps.executions.actions import start_run, try_draft
from apps.executions.models import Pin, Run, TriggerKind
from apps.kit.errors import Refusal
from apps.kit.html.refusals import attach, status_of
from apps.kit.html.schema_form import PREFIX, ParametersForm
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.policies import require
from apps.versions.models import Deployment
from apps.workflows import actions as workflows
from apps.workflows.models import Workflow

SHOWN_PINS = 100


class StartForm(forms.Form):
    """What belongs to the run itself; the key makes a second click the same run."""

    idempotency_key = forms.UUIDField(widget=forms.HiddenInput)


@never_cache
@tenant_page
def start(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """Parameters in, a run out; the version depends on the environment chosen above the form."""
    require(policies.can_run_workflow(request.actor), "run workflows")
    kind = _kind(request)
    with scope.transaction():
        workflow = workflows.found(workflow_id)
        version, document = _what_runs(workflow, kind)
        pinned = _pinned(workflow_id) if kind is EnvironmentKind.DEVELOPMENT else []
    declared = list((document.get("configuration") or {}).get("parameters") or [])
    form = StartForm(request.POST or None, initial={"idempotency_key": uuid7()})
    parameters = ParametersForm(request.POST or None, parameters=declared)
    if request.method == "POST" and form.is_valid() and parameters.is_valid():
        try:
            run = _begun(
                request,
                workflow_id,
                kind=kind,
                parameters=parameters.cleaned_parameters(),
                key=str(form.cleaned_data["idempotency_key"]),
            )
        except Refusal as refusal:
            is_parameter = any(PREFIX + name in parameters.fields for name in refusal.path)
            attach(parameters if is_parameter else form, refusal, prefix=PREFIX)
        else:
            return redirect("executions:run", request.organization.slug, run.pk)
    context = {
        "workflow": workflow,
        "version": version,
        "pinned": pinned,
        "form": form,
        "parameters_form": parameters,
        "environment_kind": kind.value,
        "environment_kinds": EnvironmentKind.choices,
        "is_runnable": version is not None or kind is EnvironmentKind.DEVELOPMENT,
    }
    with scope.transaction():
        status = status_of(form, parameters)
        return render(request, "executions/start.html", context, status=status)


def _begun(
    request: TenantRequest,
    workflow_id: uuid.UUID,
    *,
    kind: EnvironmentKind,
    parameters: Mapping[str, Any],
    key: str,
) -> Run:
    """What stands there, or a test of the draft: pinned steps give their sample data."""
    if kind is EnvironmentKind.DEVELOPMENT and "pinned" in request.POST:
        return try_draft(
            actor=request.actor, workflow_id=workflow_id, parameters=parameters, idempotency_key=key
        )
    return start_run(
        actor=request.actor,
        workflow_id=workflow_id,
        parameters=parameters,
        environment=kind,
        trigger=TriggerKind.MANUAL,
        idempotency_key=key,
    )


def _pinned(workflow_id: uuid.UUID) -> list[str]:
    """Steps of the draft that have sample data."""
    pins = Pin.objects.of(workflow_id).order_by("node_id")
    return list(pins.values_list("node_id", flat=True)[:SHOWN_PINS])


def _kind(request: TenantRequest) -> EnvironmentKind:
    asked = request.POST.get("environment") or request.GET.get("environment") or ""
    if asked in EnvironmentKind.values:
        return EnvironmentKind(asked)
    return EnvironmentKind.DEVELOPMENT


def _what_runs(workflow: Workflow, kind: EnvironmentKind) -> tuple[str | None, Mapping[str, Any]]:
    """The number and document of what stands there; in development, the draft."""
    if kind is EnvironmentKind.DEVELOPMENT:
        return None, workflow.draft_document
    standing = (
        Deployment.objects.standing()
        .filter(workflow=workflow, environment__kind=kind, environment__is_default=True)
        .select_related("version")
        .first()
    )
    if standing is None:
        return None, {}
    return standing.version.version, standing.version.document
