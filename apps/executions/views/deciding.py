"""What waits for a person: the list, one question with its form, and the counts beside the menu."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import SimpleLazyObject
from django.utils.html import escape
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.executions import policies
from apps.executions.actions import resolve_step
from apps.executions.actions.resolving import COMMENT_LIMIT
from apps.executions.engine.advice import advice
from apps.executions.engine.asking import EFFECT_IN_DOUBT, HUMAN_KINDS
from apps.executions.engine.failure import Failure
from apps.executions.engine.paths import node_of
from apps.executions.engine.state import StepStatus
from apps.executions.engine.wait_events import StepWaiting
from apps.executions.history import latest_event
from apps.executions.models import Question, QuestionKind, Run
from apps.kit.errors import NotFound, Refusal
from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.html.schema_form import JSONText
from apps.kit.pages import paginate
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.policies import require
from apps.versions.models import Approval, WorkflowVersion
from apps.workflows.actions import found as workflow_of
from apps.workflows.graph import catalogue
from apps.workflows.models import Workflow

COUNTED: Final = 100
"""Beyond that a count is of no use: the menu says `99+`."""
_WAYS: Final[Mapping[QuestionKind, tuple[tuple[StepStatus, str], ...]]] = {
    QuestionKind.DOUBT: (
        (StepStatus.SUCCEEDED, "It happened: go on with these outputs"),
        (StepStatus.READY, "It did not happen: run the step again"),
        (StepStatus.FAILED, "It failed: the step's other rules decide"),
        (StepStatus.SKIPPED, "Leave it: nothing leaves the step"),
    ),
    QuestionKind.ESCALATION: (
        (StepStatus.READY, "Run the step again"),
        (StepStatus.SUCCEEDED, "Go on with these outputs in its place"),
        (StepStatus.FAILED, "The failure stands: the step's other rules decide"),
        (StepStatus.SKIPPED, "Leave it: nothing leaves the step"),
    ),
}


class VerdictForm(forms.Form):
    """What became of the step, and why somebody thinks so."""

    outcome = forms.ChoiceField(
        label="What is true", widget=forms.RadioSelect(attrs={"class": "is-list"})
    )
    output = JSONText(
        required=False,
        label="Its outputs",
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
    )
    comment = forms.CharField(
        label="How do you know?",
        max_length=COMMENT_LIMIT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept in the audit log; a failure carries it too.",
    )

    def __init__(self, *given: Any, kind: QuestionKind, ports: Iterable[str], **named: Any) -> None:
        super().__init__(*given, **named)
        choice = self.fields["outcome"]
        assert isinstance(choice, forms.ChoiceField)  # noqa: S101 - declared above
        choice.choices = [(one.value, text) for one, text in _WAYS[kind]]
        if kind is QuestionKind.ESCALATION:
            choice.label = "What now"
            self.fields["comment"].label = "Why?"
        named_ports = escape(", ".join(ports) or "none")
        self.fields[
            "output"
        ].help_text = f"JSON, values by port, for a step that is done. Its ports: {named_ports}."

    def clean(self) -> dict[str, Any]:
        """Outputs are an object, and belong to success alone."""
        given = super().clean() or {}
        output = given.get("output")
        if output is not None and not isinstance(output, dict):
            self.add_error("output", "Write an object: values by port.")
        if output is not None and given.get("outcome") not in (None, StepStatus.SUCCEEDED):
            self.add_error("output", "Only a step that is done has outputs: leave this empty.")
        return given


@dataclass(frozen=True)
class Line:
    """A question as the list shows it."""

    question: Question
    workflow_name: str


@require_safe
@tenant_page
def questions(request: TenantRequest) -> HttpResponse:
    """Every step that waits for a person's word, oldest first."""
    require(policies.can_read_runs(request.actor), "see runs")
    with scope.transaction():
        page = paginate(
            Question.objects.all(),
            order=("id",),
            window=window_of(request),
            key=["questions", str(request.actor.tenant_id)],
        )
        shown = pager(page)
        ids = {one.workflow_id for one in shown.items}
        names = dict(Workflow.objects.filter(pk__in=ids).values_list("pk", "name"))
        context = {
            "page": shown,
            "lines": [Line(one, names.get(one.workflow_id, "a workflow")) for one in shown.items],
            "may_resolve": policies.can_resolve_step(request.actor),
        }
        return render(request, "executions/questions.html", context)


@never_cache
@tenant_page
def decide(request: TenantRequest, run_id: uuid.UUID) -> HttpResponse:
    """One step that waits: what is known, and the word that lets it go on.

    Without a step the run's own page says which of its steps wait.
    """
    require(policies.can_resolve_step(request.actor), "decide about steps")
    path = request.POST.get("step") or request.GET.get("step") or ""
    with scope.transaction():
        run = _found(run_id)
        if not path:
            return redirect("executions:run", request.organization.slug, run.pk)
        waiting = _asked(run, path)
        workflow = workflow_of(run.workflow_id)
        node = _node(run, path)
    kind = QuestionKind(waiting.wait.kind.value)
    form = VerdictForm(request.POST or None, kind=kind, ports=_ports(node))
    if request.method == "POST" and form.is_valid():
        try:
            _resolve(request, run_id, path, form.cleaned_data)
        except NotFound:
            raise Http404 from None
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"Decided: {path} goes on.")
            return redirect("executions:run", request.organization.slug, run_id)
    failure = Failure.from_json(dict(waiting.wait.payload["failure"]))
    context = {
        "run": run,
        "workflow": workflow,
        "step": path,
        "node": node,
        "kind": kind,
        "wait": waiting.wait,
        "attempt": waiting.attempt,
        "failure": failure,
        "advice": advice(EFFECT_IN_DOUBT if kind is QuestionKind.DOUBT else failure.code),
        "form": form,
    }
    with scope.transaction():
        return render(request, "executions/decide.html", context, status=status_of(form))


def waiting_counts(request: HttpRequest) -> dict[str, Any]:
    """Context processor: how much waits for people here; asked for by the menu alone."""
    actor = getattr(request, "actor", None)
    if actor is None or actor.tenant_id is None:
        return {}

    def counts() -> dict[str, str]:
        with scope.reading():
            found = {}
            if policies.can_resolve_step(actor):
                found["questions"] = _shown(Question.objects.order_by()[:COUNTED].count())
            if actor.has(Permission.APPROVALS_DECIDE):
                asked = Approval.objects.waiting().filter(by_platform=False)
                found["approvals"] = _shown(asked.order_by()[:COUNTED].count())
            return found

    return {"waiting": SimpleLazyObject(counts)}


def _shown(number: int) -> str:
    return f"{COUNTED - 1}+" if number >= COUNTED else str(number or "")


def _found(run_id: uuid.UUID) -> Run:
    run: Run | None = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise Http404
    return run


def _asked(run: Run, path: str) -> StepWaiting:
    waiting = None if run.finished_at else latest_event(run.pk, path)
    if not isinstance(waiting, StepWaiting) or waiting.wait.kind not in HUMAN_KINDS:
        raise Http404
    return waiting


def _node(run: Run, path: str) -> Mapping[str, Any]:
    version = WorkflowVersion.objects.filter(pk=run.version_id).first()
    nodes = version.document.get("nodes", ()) if version is not None else ()
    return next((node for node in nodes if node.get("id") == node_of(path)), {})


def _ports(node: Mapping[str, Any]) -> list[str]:
    """Names of what may leave the step."""
    found = catalogue.get(str(node.get("type")), node.get("typeVersion"))
    declared = list(found.outputs) if found is not None else []
    return [*declared, *(str(port.get("name")) for port in node.get("outputs") or ())]


def _resolve(
    request: TenantRequest, run_id: uuid.UUID, path: str, given: Mapping[str, Any]
) -> None:
    resolve_step(
        actor=request.actor,
        run_id=run_id,
        path=path,
        outcome=StepStatus(given["outcome"]),
        output=given["output"],
        comment=given["comment"],
    )
