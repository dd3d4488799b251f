"""Publishing from a page: the metadata of a release, and handing it in."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.kit.errors import Refusal
from apps.kit.html.refusals import attach, status_of
from apps.kit.ids import uuid7
from apps.marketplace import licenses, policies, submission
from apps.marketplace.actions import publish_release
from apps.marketplace.sources import Source
from apps.marketplace.submission import Submission
from apps.marketplace.terms import Category, Channel, Visibility
from apps.marketplace.views.following import own_releases
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.policies import require
from apps.versions.models import WorkflowVersion
from apps.workflows.actions import found
from apps.workflows.models import Workflow, WorkflowType

_OFFERED_VERSIONS = 50
_CATEGORIES = {
    WorkflowType.RAG.value: Category.RAG,
    WorkflowType.AGENTIC.value: Category.AGENTIC,
    WorkflowType.ML.value: Category.MACHINE_LEARNING,
    WorkflowType.DATA_PIPELINE.value: Category.DATA_PIPELINE,
}


def _text(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows})


class PublishForm(forms.Form):
    """The metadata of a release; field names are the API's, so refusals find their field."""

    idempotency_key = forms.UUIDField(widget=forms.HiddenInput)
    source = forms.ChoiceField(label="Version of the workflow")
    version = forms.CharField(
        max_length=64, label="Number of the release", help_text="Semantic version: 1.0.0"
    )
    name = forms.CharField(max_length=submission.MAX_NAME)
    category = forms.ChoiceField(choices=[(c.value, c.value) for c in Category])
    tagline = forms.CharField(
        max_length=submission.MAX_TAGLINE, required=False, help_text="One line for the card."
    )
    tags = forms.CharField(required=False, max_length=600, help_text="Separated by commas.")
    description = forms.CharField(
        max_length=submission.MAX_TEXT, widget=_text(5), help_text="Markdown."
    )
    changelog = forms.CharField(
        max_length=submission.MAX_TEXT, widget=_text(3), label="What is new", required=False
    )
    documentation = forms.CharField(
        max_length=submission.MAX_TEXT * 5, widget=_text(6), required=False, help_text="Markdown."
    )
    license = forms.ChoiceField(choices=[(key, key) for key in licenses.LICENSES])
    visibility = forms.ChoiceField(choices=[(v.value, v.value.capitalize()) for v in Visibility])
    channel = forms.ChoiceField(choices=[(c.value, c.value.capitalize()) for c in Channel])
    platform = forms.CharField(
        max_length=200, initial="*", help_text="Range of platform versions; * means any."
    )

    def __init__(self, data: Any, *, workflow: Workflow, versions: list[WorkflowVersion]) -> None:
        newest = versions[0].version if versions else None
        super().__init__(
            data,
            initial={
                "idempotency_key": uuid7(),
                "name": workflow.name,
                "description": workflow.description,
                "version": newest or "1.0.0",
                "category": _CATEGORIES[workflow.type].value,
            },
        )
        source = self.fields["source"]
        assert isinstance(source, forms.ChoiceField)  # noqa: S101 - for the type checker
        source.choices = [(str(one.pk), f"v{one.version}: {one.message}"[:80]) for one in versions]
        category = self.fields["category"]
        assert isinstance(category, forms.ChoiceField)  # noqa: S101 - for the type checker
        category.choices = [
            (one.value, one.value.replace("_", " ").capitalize()) for one in Category
        ]

    def submission(self) -> Submission:
        """The metadata as the action takes it."""
        given = self.cleaned_data
        tags = tuple(tag.strip() for tag in given["tags"].split(",") if tag.strip())
        return Submission(
            name=given["name"],
            description=given["description"],
            category=Category(given["category"]),
            version=given["version"].strip(),
            changelog=given["changelog"],
            license=given["license"],
            documentation=given["documentation"],
            platform=given["platform"],
            tagline=given["tagline"],
            tags=tags,
            channel=Channel(given["channel"]),
            visibility=Visibility(given["visibility"]),
        )


@tenant_page
def publish(request: TenantRequest, workflow_id: uuid.UUID) -> HttpResponse:
    """Hand in a release of a workflow."""
    require(policies.can_publish(request.actor), "publish workflows")
    with scope.transaction():
        workflow = found(workflow_id)
        versions = list(
            WorkflowVersion.objects.filter(workflow_id=workflow_id, version__isnull=False)
            .defer("document")
            .order_by("-id")[:_OFFERED_VERSIONS]
        )
    form = PublishForm(request.POST or None, workflow=workflow, versions=versions)
    if request.method == "POST" and form.is_valid():
        try:
            release = publish_release(
                actor=request.actor,
                source=Source(version_id=uuid.UUID(form.cleaned_data["source"])),
                submission=form.submission(),
                idempotency_key=str(form.cleaned_data["idempotency_key"]),
            )
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, "Sent. The scan has begun.")
            return redirect("marketplace:release", request.organization.slug, release.pk)
    context = {
        "workflow": workflow,
        "form": form,
        "versions": versions,
        "may_run": request.actor.has(Permission.WORKFLOWS_RUN),
    }
    with scope.transaction():
        own = own_releases(request).filter(source_version_id__in=[one.pk for one in versions])
        context["releases"] = list(own[:20])
        return render(request, "marketplace/publish.html", context, status=status_of(form))
