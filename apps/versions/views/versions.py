"""Pages of versions: a workflow's commits, committing and deploying, what changed between two."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import capfirst
from django.views.decorators.http import require_POST, require_safe

from apps.kit.errors import Refusal
from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.pages import paginate
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.models import Environment
from apps.tenancy.policies import require
from apps.versions import policies
from apps.versions.actions import commit_version, deploy_version, restore_draft
from apps.versions.models import Deployment, WorkflowVersion
from apps.workflows import actions as workflows
from apps.workflows.drawing import draw, marks_of
from apps.workflows.graph import difference
from apps.workflows.policies import can_read_workflows

_OFFERED = 100
_MESSAGE = 2_000


class CommitForm(forms.Form):
    """What a commit says, and its number if a person chooses it."""

    message = forms.CharField(
        max_length=_MESSAGE,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What changes, for whoever reads the history.",
    )
    version = forms.CharField(
        max_length=64, required=False, help_text="Leave empty: the change decides the number."
    )


class DeployForm(forms.Form):
    """Which version, into which environment."""

    deployed = forms.ChoiceField(label="Version")
    environment = forms.ChoiceField()

    def __init__(self, data: Any, *, versions: list[Any], environments: list[Environment]) -> None:
        super().__init__(data)
        for name, choices in (
            ("deployed", [(str(one.pk), f"v{one.version}") for one in versions]),
            ("environment", [(str(one.pk), capfirst(one.name)) for one in environments]),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
            field.choices = choices


def _listed(workflow_id: uuid.UUID) -> Any:
    return WorkflowVersion.objects.of(workflow_id).numbered().without_document()


def _history(
    request: TenantRequest,
    workflow_id: uuid.UUID,
    *,
    commit: CommitForm | None = None,
    deploy: DeployForm | None = None,
) -> HttpResponse:
    """The page of a workflow's versions, with the form that came back with mistakes, if any."""
    require(can_read_workflows(request.actor), "see workflows")
    with scope.transaction():
        workflow = workflows.found(workflow_id)
        page = paginate(
            _listed(workflow_id).with_author(),
            order=("-id",),
            window=window_of(request),
            key=["versions", str(workflow_id)],
        )
        standing: dict[uuid.UUID, list[str]] = defaultdict(list)
        for one in (
            Deployment.objects.standing()
            .filter(workflow_id=workflow_id)
            .select_related("environment")
            .order_by("environment__kind")
        ):
            standing[one.version_id].append(one.environment.name)
        commit = commit or CommitForm()
        deploy = deploy or _deploy_form(workflow_id, None)
        context = {
            "workflow": workflow,
            "page": pager(page),
            "standing": dict(standing),
            "commit_form": commit,
            "deploy_form": deploy,
            "may_write": policies.can_commit_version(request.actor),
            "may_run": request.actor.has(Permission.WORKFLOWS_RUN),
        }
        status = status_of(commit, deploy)
        return render(request, "versions/list.html", context, status=status)


def _deploy_form(workflow_id: uuid.UUID, data: Any) -> DeployForm:
    versions = list(_listed(workflow_id)[:_OFFERED])
    environments = Environment.in_order(limit=_OFFERED)
    return DeployForm(data, versions=versions, environments=environments)


@require_safe
@tenant_page
def index(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """A workflow's commits, newest first."""
    return _history(request, workflow_id)


@require_POST
@tenant_page
def commit(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """Freeze the draft under a number."""
    form = CommitForm(request.POST)
    if form.is_valid():
        try:
            made = commit_version(
                actor=request.actor,
                workflow_id=workflow_id,
                message=form.cleaned_data["message"],
                version=form.cleaned_data["version"].strip() or None,
            )
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"Version {made.version} is committed.")
            return redirect("versions:list", request.organization.slug, workflow_id)
    return _history(request, workflow_id, commit=form)


@require_POST
@tenant_page
def deploy(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """Let a version stand in an environment."""
    with scope.transaction():
        workflows.found(workflow_id)
        form = _deploy_form(workflow_id, request.POST)
    if form.is_valid():
        try:
            made = deploy_version(
                actor=request.actor,
                version_id=uuid.UUID(form.cleaned_data["deployed"]),
                environment=uuid.UUID(form.cleaned_data["environment"]),
            )
        except Refusal as refusal:
            attach(form, refusal)
        else:
            said = f"Version {made.version.version} now stands in {made.environment.name}."
            messages.success(request, said)
            return redirect("versions:list", request.organization.slug, workflow_id)
    return _history(request, workflow_id, deploy=form)


@require_POST
@tenant_page
def restore(request: TenantRequest, version_id: uuid.UUID) -> HttpResponse:
    """Make a version the draft again; the revision is the one the page showed."""
    with scope.transaction():
        version = _found(version_id)
    revision = request.POST.get("revision", "")
    restore_draft(
        actor=request.actor,
        workflow_id=version.workflow_id,
        version=version.version or "",
        expected_revision=int(revision) if revision.isdecimal() and len(revision) < 10 else 0,
    )
    messages.success(request, f"The draft is version {version.version} again.")
    return redirect("workflows:detail", request.organization.slug, version.workflow_id)


@require_safe
@tenant_page
def diff(request: TenantRequest, version_id: uuid.UUID) -> HttpResponse:
    """What a version changes: against its parent, or against any other version."""
    require(can_read_workflows(request.actor), "see workflows")
    with scope.transaction():
        version = _found(version_id)
        others = list(_listed(version.workflow_id).exclude(pk=version.pk)[:_OFFERED])
        against = _against(request.GET.get("against"), version, others)
        changes = None if against is None else difference.compare(against.graph, version.graph)
        context = {
            "workflow": workflows.found(version.workflow_id),
            "version": version,
            "against": against,
            "others": others,
            "drawing": draw(version.document, marks=marks_of(changes) if changes else {}),
            "changes": changes,
            "groups": (changes.added, changes.modified, changes.removed) if changes else (),
            "may_run": request.actor.has(Permission.WORKFLOWS_RUN),
            "may_write": policies.can_commit_version(request.actor),
        }
        return render(request, "versions/diff.html", context)


def _found(version_id: uuid.UUID) -> WorkflowVersion:
    found: WorkflowVersion | None = (
        WorkflowVersion.objects.numbered().with_author().filter(pk=version_id).first()
    )
    if found is None:
        raise Http404
    return found


def _against(
    wanted: str | None, version: WorkflowVersion, others: list[WorkflowVersion]
) -> WorkflowVersion | None:
    by_id = {str(one.pk): one for one in others}
    if wanted:
        return by_id.get(wanted)
    return by_id.get(str(version.parent_id))
