"""Pages of workflows: the list, the graph with what is wrong with it, the document as text."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from apps.kit.errors import Refusal, StaleRevision
from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.pages import paginate
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.policies import require
from apps.workflows import policies
from apps.workflows.actions import (
    archive_workflow,
    clone_workflow,
    create_workflow,
    found,
    restore_workflow,
    save_draft,
)
from apps.workflows.drawing import draw
from apps.workflows.graph import catalogue
from apps.workflows.graph.declaration import NodeType
from apps.workflows.graph.issues import Report
from apps.workflows.graph.shape import MAX_BYTES
from apps.workflows.graph.validate import read_and_validate
from apps.workflows.invalid import GraphInvalid
from apps.workflows.models import Workflow, WorkflowStatus, WorkflowType

_QUERY_LIMIT = 200
_TEXT = {"rows": 24, "class": "mono", "spellcheck": "false"}
_EMPTY = {"schemaVersion": 1, "name": "", "type": "dataPipeline", "nodes": []}


class DocumentForm(forms.Form):
    """A document as text, or as a file."""

    text = forms.CharField(
        required=False,
        max_length=MAX_BYTES,
        strip=False,
        label="Document",
        widget=forms.Textarea(attrs=_TEXT),
    )
    file = forms.FileField(
        required=False,
        label="Or a file",
        help_text="JSON, at most 1 MiB. A file wins over the text.",
        widget=forms.FileInput(attrs={"accept": ".json,application/json"}),
    )
    issues: tuple[Any, ...] = ()

    def clean(self) -> dict[str, Any]:
        """The document as JSON under `document`; what it means is the language's question."""
        data = super().clean() or {}
        upload = data.get("file")
        if upload is not None and upload.size > MAX_BYTES:
            self.add_error("file", "A document has at most 1 MiB: split it into sub-workflows.")
            return data
        text = upload.read() if upload is not None else data.get("text") or ""
        if not text:
            self.add_error("text", "Paste a document or choose a file.")
            return data
        try:
            data["document"] = json.loads(text)
        except ValueError as error:
            self.add_error("text", f"This is not JSON: {error}.")
        return data


class DraftForm(forms.Form):
    """The draft as text, with the revision it was read at."""

    text = forms.CharField(
        max_length=MAX_BYTES, strip=False, label="Document", widget=forms.Textarea(attrs=_TEXT)
    )
    revision = forms.IntegerField(min_value=1, widget=forms.HiddenInput)

    def clean_text(self) -> Any:
        """The document as JSON."""
        try:
            return json.loads(self.cleaned_data["text"])
        except ValueError as error:
            message = f"This is not JSON: {error}."
            raise forms.ValidationError(message) from error


def _may(request: TenantRequest) -> dict[str, bool]:
    return {
        "may_write": policies.can_write_workflows(request.actor),
        "may_run": request.actor.has(Permission.WORKFLOWS_RUN),
    }


@require_safe
@tenant_page
def index(request: TenantRequest) -> HttpResponse:
    """The organization's workflows."""
    require(policies.can_read_workflows(request.actor), "see workflows")
    query = request.GET.get("q", "").replace("\x00", "")[:_QUERY_LIMIT].strip()
    type_ = request.GET.get("type", "")
    status = request.GET.get("status", "")
    type_ = type_ if type_ in WorkflowType.values else ""
    status = status if status in WorkflowStatus.values else ""
    with scope.transaction():
        rows = Workflow.objects.matching(query=query, type_=type_ or None, status=status or None)
        page = paginate(
            rows.without_draft(),
            order=("-id",),
            window=window_of(request),
            key=["workflows", query, type_, status],
        )
        context = {
            "page": pager(page),
            "query": query,
            "type": type_,
            "status": status,
            "types": WorkflowType.choices,
            "statuses": WorkflowStatus.choices,
            **_may(request),
        }
        return render(request, "workflows/list.html", context)


@require_safe
@tenant_page
def steps(request: TenantRequest) -> HttpResponse:
    """Every type of step with its manual, as long as there is no designer to show it."""
    require(policies.can_read_workflows(request.actor), "see the types of steps")
    drawers: dict[str, list[dict[str, Any]]] = {}
    for one in catalogue.all_types():
        if not one.deprecated:
            drawers.setdefault(one.category.value, []).append(_described(one))
    return render(request, "workflows/steps.html", {"drawers": drawers})


def _described(one: NodeType) -> dict[str, Any]:
    schema = one.configuration_schema()
    required = set(schema.get("required") or ())
    call = {"type": one.type, "configuration": dict(one.example.parameters)}
    return {
        "type": one,
        "gist": one.manual.partition("\n")[0],
        "manual": one.manual.partition("\n")[2],
        "parameters": [
            {"name": name, "required": name in required, "schema": field}
            for name, field in (schema.get("properties") or {}).items()
        ],
        "call": call,
    }


@require_safe
@tenant_page
def detail(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """The draft as a graph, with its steps, parameters and issues."""
    require(policies.can_read_workflows(request.actor), "see workflows")
    with scope.transaction():
        workflow = found(workflow_id)
        drawn = workflow.draft_document
        _, report = read_and_validate(drawn, catalogue.INSTALLED)
        context = {
            "workflow": workflow,
            "drawing": draw(drawn),
            "report": report,
            "nodes": drawn.get("nodes") or (),
            "parameters": (drawn.get("configuration") or {}).get("parameters") or (),
            **_may(request),
        }
        return render(request, "workflows/detail.html", context)


@tenant_page
def draft(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """The draft as text; a save from an older revision is refused and loses nothing."""
    require(policies.can_read_workflows(request.actor), "see workflows")
    form = DraftForm(request.POST or None)
    issues: tuple[Any, ...] = ()
    if request.method == "POST" and form.is_valid():
        try:
            saved = save_draft(
                actor=request.actor,
                workflow_id=workflow_id,
                expected_revision=form.cleaned_data["revision"],
                document=form.cleaned_data["text"],
            )
        except GraphInvalid as refusal:
            issues = refusal.issues
            form.add_error(None, "The document cannot be read; the draft is unchanged.")
        except StaleRevision as refusal:
            form.add_error(None, refusal.message)
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"Saved as revision {saved.draft_revision}.")
            return redirect("workflows:draft", request.organization.slug, workflow_id)
    with scope.transaction():
        workflow = found(workflow_id)
        if not form.is_bound:
            text = json.dumps(workflow.draft_document, indent=2, ensure_ascii=False)
            form = DraftForm(initial={"text": text, "revision": workflow.draft_revision})
            _, report = read_and_validate(workflow.draft_document, catalogue.INSTALLED)
            issues = report.issues
        context = {
            "workflow": workflow,
            "form": form,
            "report": Report(issues),
            **_may(request),
        }
        return render(request, "workflows/draft.html", context, status=status_of(form))


@tenant_page
def create(request: TenantRequest) -> HttpResponse:
    """A new workflow from a document."""
    require(policies.can_write_workflows(request.actor), "create workflows")
    initial = {"text": json.dumps(_EMPTY, indent=2)}
    form = DocumentForm(request.POST or None, request.FILES or None, initial=initial)
    issues: tuple[Any, ...] = ()
    if request.method == "POST" and form.is_valid():
        try:
            made = create_workflow(actor=request.actor, document=form.cleaned_data["document"])
        except GraphInvalid as refusal:
            issues = refusal.issues
            form.add_error(None, "The document has errors; nothing was created.")
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"{made.name} is created.")
            return redirect("workflows:detail", request.organization.slug, made.pk)
    context = {"form": form, "report": Report(issues)}
    with scope.transaction():
        return render(request, "workflows/create.html", context, status=status_of(form))


@require_POST
@tenant_page
def clone(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """A copy of the draft as a new workflow."""
    copy = clone_workflow(actor=request.actor, workflow_id=workflow_id)
    messages.success(request, f"{copy.name} is created.")
    return redirect("workflows:detail", request.organization.slug, copy.pk)


@require_POST
@tenant_page
def archive(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """Put a workflow away."""
    archived = archive_workflow(actor=request.actor, workflow_id=workflow_id)
    messages.success(request, f"{archived.name} is archived; its history stays.")
    return redirect("workflows:list", request.organization.slug)


@require_POST
@tenant_page
def restore(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """Take a workflow out of the archive."""
    restored = restore_workflow(actor=request.actor, workflow_id=workflow_id)
    messages.success(request, f"{restored.name} is back as a draft.")
    return redirect("workflows:detail", request.organization.slug, restored.pk)
