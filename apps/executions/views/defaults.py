"""What an organization wants of all its runs, as a page of its settings."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from apps.executions import policies
from apps.executions.actions import set_error_handler
from apps.executions.actions.handling import default_handler
from apps.kit.errors import Refusal
from apps.kit.html.refusals import attach, status_of
from apps.tenancy import scope
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.policies import require
from apps.workflows.models import Workflow

WORKFLOWS_SHOWN = 200


class DefaultsForm(forms.Form):
    """Which workflow handles failures."""

    workflow_id = forms.ChoiceField(
        required=False,
        label="Error handler",
        help_text="Started when a run fails whose document names no handler of its own.",
    )

    def __init__(self, given: Any, *, current: uuid.UUID | None) -> None:
        super().__init__(given, initial={"workflow_id": str(current or "")})
        living = Workflow.objects.without_draft().filter(archived_at=None).order_by("name", "pk")
        rows = list(living.values_list("pk", "name")[:WORKFLOWS_SHOWN])
        if current is not None and current not in dict(rows):
            known = Workflow.objects.filter(pk=current).values_list("pk", "name")
            rows = [*known, *rows]
        field = self.fields["workflow_id"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - declared above
        field.choices = [("", "None"), *((str(key), name) for key, name in rows)]


@never_cache
@tenant_page
def defaults(request: TenantRequest) -> HttpResponse:
    """Look, and set what handles failed runs."""
    require(policies.can_read_runs(request.actor), "see runs")
    may_set = policies.can_set_error_handler(request.actor)
    if request.method == "POST":
        require(may_set, "say what handles failed runs")
    with scope.transaction():
        form = DefaultsForm(request.POST or None, current=default_handler())
        is_valid = request.method == "POST" and form.is_valid()
    if is_valid:
        chosen = form.cleaned_data["workflow_id"]
        try:
            set_error_handler(
                actor=request.actor, workflow_id=uuid.UUID(chosen) if chosen else None
            )
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, "Saved: it holds for runs that fail from now on.")
            return redirect("executions:defaults", request.organization.slug)
    context = {"form": form, "may_set": may_set}
    with scope.transaction():
        return render(request, "executions/defaults.html", context, status=status_of(form))
