"""Buttons of one run: pause, resume, send a signal."""

from __future__ import annotations

import uuid

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from apps.executions.actions import pause_run, resume_run, signal_run
from apps.executions.actions.finding import found
from apps.executions.actions.signaling import NAME_LIMIT
from apps.kit.html.schema_form import JSONText
from apps.tenancy import scope
from apps.tenancy.doors import TenantRequest, tenant_page


class SignalForm(forms.Form):
    """What to send; the key makes a second click the same signal."""

    name = forms.CharField(label="Signal", max_length=NAME_LIMIT)
    correlation_key = forms.CharField(required=False, max_length=NAME_LIMIT)
    payload = JSONText(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
        help_text="JSON; empty for none.",
    )
    dedup_key = forms.UUIDField(widget=forms.HiddenInput)


@require_POST
@tenant_page
def pause(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """Start nothing more until somebody resumes."""
    pause_run(actor=request.actor, run_id=run_id)
    messages.success(request, "Asked to pause: what runs ends, nothing new starts.")
    return redirect("executions:run", request.organization.slug, run_id)


@require_POST
@tenant_page
def resume(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """Go on."""
    resume_run(actor=request.actor, run_id=run_id)
    messages.success(request, "Asked to go on.")
    return redirect("executions:run", request.organization.slug, run_id)


@require_POST
@tenant_page
def signal(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """Send what the form says; mistakes are shown above the run."""
    with scope.transaction():
        found(run_id)
    form = SignalForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        signal_run(
            actor=request.actor,
            run_id=run_id,
            name=given["name"],
            payload=given["payload"],
            dedup_key=str(given["dedup_key"]),
            correlation_key=given["correlation_key"] or None,
        )
        messages.success(request, f"The signal {given['name']} is sent.")
    else:
        problems = (f"{name}: {text}" for name, texts in form.errors.items() for text in texts)
        messages.error(request, "No signal was sent. " + " ".join(problems))
    return redirect("executions:run", request.organization.slug, run_id)
