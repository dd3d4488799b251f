"""Test this step: one node alone, with inputs and sample data."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from apps.executions import policies
from apps.executions.actions import Trial, pin_output, try_node
from apps.executions.actions.pinning import node_of
from apps.executions.models import Pin
from apps.kit.errors import NotFound, Refusal
from apps.kit.html.refusals import attach, status_of
from apps.kit.html.schema_form import JSONText
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.policies import require
from apps.workflows.actions import found as workflow_of
from apps.workflows.graph import catalogue
from apps.workflows.graph.declaration import Effect
from apps.workflows.graph.document import parse
from apps.workflows.graph.interface import interface_of
from apps.workflows.graph.mapping import MAX_ITEMS

_JSON: Any = {"rows": 8, "class": "mono", "spellcheck": "false"}


class StepForm(forms.Form):
    """What arrives at the ports; the key makes a second click the same test."""

    idempotency_key = forms.UUIDField(widget=forms.HiddenInput)
    input = forms.JSONField(
        required=False, label="What arrives at its ports", widget=forms.Textarea(attrs=_JSON)
    )
    item = forms.JSONField(
        required=False,
        label="What item is",
        help_text="A sample of what the container hands in; its connections bring it, too.",
        widget=forms.Textarea(attrs={**_JSON, "rows": 3}),
    )
    index = forms.IntegerField(
        required=False, initial=0, min_value=0, max_value=MAX_ITEMS - 1, label="What index is"
    )
    use_pinned = forms.BooleanField(
        required=False, initial=True, label="Other nodes give their pinned sample data"
    )
    consents = forms.BooleanField(
        required=False, label="This step acts on the world: let it have its effect"
    )


class PinForm(forms.Form):
    """Outputs by port."""

    output = JSONText(
        required=False,
        label="Outputs by port",
        widget=forms.Textarea(attrs=_JSON),
        help_text='An object, such as {"value": 7}.',
    )


@never_cache
@tenant_page
def step(request: TenantRequest, workflow_id: uuid.UUID, node_id: str) -> HttpResponse:
    """A test of the node, and its pin."""
    require(policies.can_run_workflow(request.actor), "run workflows")
    is_pin = "pin" in request.POST or "unpin" in request.POST
    test = StepForm(
        None if is_pin else request.POST or None,
        initial={"idempotency_key": uuid7(), "use_pinned": True, "input": {}},
    )
    with scope.transaction():
        workflow = workflow_of(workflow_id)
        held = Pin.objects.of(workflow_id).filter(node_id=node_id).first()
        try:
            node = node_of(parse(workflow.draft_document), node_id)
        except Refusal as refusal:
            raise NotFound.of("workflow") from refusal
    pin = PinForm(request.POST if is_pin else None, initial={"output": held and held.outputs})
    answer = _pinned(request, workflow_id, node_id, pin) if is_pin else None
    if answer is None and test.is_bound and test.is_valid():
        answer = _tested(request, workflow_id, node_id, test)
    if answer is not None:
        return answer
    node_type = catalogue.get(node.type, node.type_version)
    ports = interface_of(node, node_type) if node_type is not None else None
    acts = node_type is not None and node_type.effect is not Effect.PURE
    if not acts:
        test.fields.pop("consents")
    if node.parent_id is None:
        del test.fields["item"], test.fields["index"]
    context = {
        "workflow": workflow,
        "node": node,
        "form": test,
        "pin_form": pin,
        "held": held,
        "inputs": [name for name, port in ports.inputs.items() if not port.inner] if ports else [],
        "may_pin": policies.can_pin_output(request.actor),
    }
    with scope.transaction():
        return render(request, "executions/test.html", context, status=status_of(test, pin))


def _tested(
    request: TenantRequest, workflow_id: uuid.UUID, node_id: str, form: StepForm
) -> HttpResponse | None:
    given = form.cleaned_data
    inputs = given["input"] or {}
    if not isinstance(inputs, dict):
        form.add_error("input", "An object is expected: ports and values.")
        return None
    try:
        run = try_node(
            actor=request.actor,
            workflow_id=workflow_id,
            trial=Trial(
                node_id=node_id,
                inputs=inputs,
                item=given["item"],
                index=given["index"] or 0,
                use_pinned=given["use_pinned"],
                consents=bool(given.get("consents")),
            ),
            idempotency_key=str(given["idempotency_key"]),
        )
    except Refusal as refusal:
        attach(form, refusal)
        return None
    return redirect("executions:run", request.organization.slug, run.pk)


def _pinned(
    request: TenantRequest, workflow_id: uuid.UUID, node_id: str, form: PinForm
) -> HttpResponse | None:
    if not form.is_valid():
        return None
    outputs = None if "unpin" in request.POST else form.cleaned_data["output"] or {}
    if outputs is not None and not isinstance(outputs, dict):
        form.add_error("output", "An object is expected: ports and values.")
        return None
    try:
        pin_output(actor=request.actor, workflow_id=workflow_id, node_id=node_id, outputs=outputs)
    except Refusal as refusal:
        attach(form, refusal)
        return None
    messages.success(request, "Pinned." if outputs is not None else "The pin is off.")
    return redirect("executions:test", request.organization.slug, workflow_id, node_id)
