"""Going on from a finished run: on which version, from which step, with which effects again."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from apps.executions import lineages, policies
from apps.executions.actions import Again, fork_run, retry_run
from apps.executions.actions.forking import levels
from apps.executions.actions.repeating import DRAFT
from apps.executions.compiled import compiled_of
from apps.executions.engine.lineage import step_at
from apps.executions.engine.state import RunStatus
from apps.executions.errors import EffectsNeedConsent
from apps.executions.models import Run
from apps.kit.errors import Refusal
from apps.kit.html.refusals import attach, status_of
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.policies import require
from apps.versions.models import WorkflowVersion
from apps.workflows.actions import found as workflow_of

VERSIONS_SHOWN = 50


class AgainForm(forms.Form):
    """The key makes a second click the same run."""

    idempotency_key = forms.UUIDField(widget=forms.HiddenInput)
    version = forms.ChoiceField(required=False, label="Version")
    input = forms.JSONField(
        required=False,
        label="What arrives at its ports",
        widget=forms.Textarea(attrs={"rows": 8, "class": "mono", "spellcheck": "false"}),
    )

    def __init__(self, *given: Any, run: Run, step: str, **named: Any) -> None:
        super().__init__(*given, **named)
        choices = [("", (run.version and f"v{run.version}, as before") or "The same draft")]
        if not step and run.status is RunStatus.SUCCEEDED:
            choices = []  # Nothing would be left to run.
        if run.environment == EnvironmentKind.DEVELOPMENT:
            choices.append((DRAFT, "The draft as it is now"))
        numbered = WorkflowVersion.objects.of(run.workflow_id).numbered()
        numbers = numbered.values_list("version", flat=True)[:VERSIONS_SHOWN]
        choices += [(number, f"v{number}") for number in numbers if number != run.version]
        field = self.fields["version"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - declared above
        field.choices = choices
        if not step:
            del self.fields["input"]


@never_cache
@tenant_page
def again(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """Without `?from=` a retry of what failed, with it a fork from that step."""
    require(policies.can_run_workflow(request.actor), "run workflows")
    step = request.POST.get("from") or request.GET.get("from") or ""
    with scope.transaction():
        run: Run | None = Run.objects.filter(pk=run_id).first()
        if run is None:
            raise Http404
        initial = {"idempotency_key": uuid7(), "input": _arrived(run, step)}
        form = AgainForm(request.POST or None, run=run, step=step, initial=initial)
        workflow = workflow_of(run.workflow_id)
        is_valid = request.method == "POST" and form.is_valid()
    effects: tuple[Any, ...] = ()
    if is_valid:
        try:
            following = _go_on(request, run, step, form.cleaned_data, initial["input"])
        except EffectsNeedConsent as needed:
            effects = needed.effects
            form.add_error(None, needed.message.partition(".")[0] + ".")
        except Refusal as refusal:
            attach(form, refusal)
        else:
            return redirect("executions:run", request.organization.slug, following.pk)
    context = {
        "run": run,
        "workflow": workflow,
        "step": step,
        "form": form,
        "effects": effects,
        "confirmed": request.POST.getlist("confirm"),
    }
    with scope.transaction():
        return render(request, "executions/again.html", context, status=status_of(form))


def _go_on(
    request: TenantRequest, run: Run, step: str, chosen: dict[str, Any], arrived: Any
) -> Run:
    how = Again(
        version=chosen["version"] or None,
        confirmed=tuple(request.POST.getlist("confirm")),
        idempotency_key=str(chosen["idempotency_key"]),
    )
    if not step:
        return retry_run(actor=request.actor, run_id=run.pk, again=how)
    edited = chosen["input"]
    if edited is not None and not isinstance(edited, dict):
        raise Refusal("Write an object: port names and values.", path=("input",))
    inputs = None if edited == arrived else edited
    return fork_run(actor=request.actor, run_id=run.pk, path=step, inputs=inputs, again=how)


def _arrived(run: Run, step: str) -> Any:
    """What the step got in the run, as far as its history says."""
    if not step:
        return None
    version = WorkflowVersion.objects.filter(pk=run.version_id).first()
    if version is None:
        return {}
    plan = compiled_of(version).plan
    if step_at(plan, step) is None:
        return {}
    try:
        level = levels(run, lineages.state_at(run, plan, seq=run.head), plan, old=plan, fork=step)[
            -1
        ]
    except Refusal:
        return {}
    inside = step[len(level.prefix) :]
    if level.state is None or inside not in level.state.positions:
        return {}
    # Through JSON, as it comes back.
    return json.loads(json.dumps(level.state.inputs_of(level.state.step(inside))))
