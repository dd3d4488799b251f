"""Installing from a page: the plan first, then a yes to each permission, then the result."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRedirect

from apps.kit.errors import NotFound, Refusal
from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.html.schema_form import PREFIX, ParametersForm
from apps.kit.ids import uuid7
from apps.kit.pages import paginate
from apps.marketplace import licenses, policies
from apps.marketplace.actions import install_workflow
from apps.marketplace.models import Installation, Listing
from apps.marketplace.planning import Choices, Plan, plan_install
from apps.tenancy import scope
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.policies import require
from apps.vault.models import Connection

_SLOT = "slot-"
_PERMISSION = "permission-"
_MOST_CONNECTIONS = 200


class InstallForm(forms.Form):
    """What an installer decides beside the parameters: a name, credentials, agreements."""

    idempotency_key = forms.UUIDField(widget=forms.HiddenInput)
    workflow_name = forms.CharField(max_length=200, label="Name here")

    def __init__(self, data: Any, *, plan: Plan, connections: QuerySet[Connection]) -> None:
        super().__init__(
            data, initial={"workflow_name": plan.listing.name, "idempotency_key": uuid7()}
        )
        self.slots = [slot.slot for slot in plan.requirements.slots]
        self.permissions = [one.key for one in plan.permissions]
        held = [(str(one.pk), f"{one.name} ({one.connector_type})") for one in connections]
        for slot in plan.requirements.slots:
            own = f"the secret {slot.slot} of {plan.environment.name}"
            self.fields[_SLOT + slot.slot] = forms.ChoiceField(
                choices=[("", own), *held],
                required=False,
                label=slot.slot,
                help_text=slot.description,
            )
        for number, permission in enumerate(plan.permissions):
            self.fields[f"{_PERMISSION}{number}"] = forms.BooleanField(
                label=f"{permission.reason} Risk: {permission.risk.value.lower()}.",
                error_messages={"required": "Agree to this, or do not install."},
            )
        license_ = licenses.find(plan.listing.license)
        if license_ is None or license_.requires_acceptance:
            self.fields["acceptLicense"] = forms.BooleanField(
                label=f"I accept the license {plan.listing.license}.",
                error_messages={"required": "Accept the license, or do not install."},
            )

    def bound(self, prefix: str) -> list[forms.BoundField]:
        """The fields of one part of the dialog."""
        return [self[name] for name in self.fields if name.startswith(prefix)]

    def choices(self, parameters: dict[str, Any], *, version: str) -> Choices:
        """What the action needs; the version is the one whose plan was read."""
        given = self.cleaned_data
        bindings = {slot: given[_SLOT + slot] for slot in self.slots if given[_SLOT + slot]}
        return Choices(
            parameters=parameters,
            bindings={slot: uuid.UUID(one) for slot, one in bindings.items()},
            workflow_name=given["workflow_name"],
            accept_license=bool(given.get("acceptLicense")),
            accepted_permissions=frozenset(self.permissions),
            version=version,
        )


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@vary_on_headers("HX-Request")
@tenant_page
def install(request: TenantRequest, listing_id: uuid.UUID) -> HttpResponseBase:
    """The plan as a form; as a dialog when a script asked for it, else as a page."""
    require(policies.can_install(request.actor), "install workflows")
    kind = _kind(request)
    with scope.transaction():
        plan = plan_install(
            listing_id=listing_id,
            environment_kind=kind,
            choices=Choices(version=request.POST.get("version") or None),
        )
        connections = Connection.objects.in_environment(plan.environment.pk)[:_MOST_CONNECTIONS]
        form = InstallForm(request.POST or None, plan=plan, connections=connections)
    declared = _declared(plan)
    parameters = ParametersForm(request.POST or None, parameters=declared)
    # A parameter left as offered stays the publisher's: only what differs is an override.
    if request.method == "POST" and form.is_valid() and parameters.is_valid():
        chosen = _overrides(parameters.cleaned_parameters(), declared)
        try:
            installed = install_workflow(
                actor=request.actor,
                listing_id=listing_id,
                environment_kind=kind,
                choices=form.choices(chosen, version=plan.release.version),
                idempotency_key=str(form.cleaned_data["idempotency_key"]),
            )
        except Refusal as refusal:
            _show(refusal, form, parameters)
        else:
            return _done(request, installed)
    context = {
        "listing": plan.listing,
        "plan": plan,
        "form": form,
        "parameters_form": parameters,
        "slots": form.bound(_SLOT),
        "consent_fields": [*form.bound(_PERMISSION), *form.bound("acceptLicense")],
        "environment_kind": kind,
        "environment_kinds": EnvironmentKind.choices,
    }
    is_dialog = bool(request.headers.get("HX-Request"))
    template = "marketplace/_install_dialog.html" if is_dialog else "marketplace/install.html"
    with scope.transaction():
        return render(request, template, context, status=status_of(form, parameters))


def _kind(request: HttpRequest) -> str:
    asked = request.POST.get("environment") or request.GET.get("environment") or ""
    return asked if asked in EnvironmentKind.values else EnvironmentKind.DEVELOPMENT.value


def _declared(plan: Plan) -> list[dict[str, Any]]:
    return list((plan.release.document.get("configuration") or {}).get("parameters") or [])


def _overrides(given: dict[str, Any], declared: list[dict[str, Any]]) -> dict[str, Any]:
    offered = {one["name"]: one.get("default") for one in declared}
    return {name: value for name, value in given.items() if value != offered.get(name)}


def _show(refusal: Refusal, form: InstallForm, parameters: ParametersForm) -> None:
    if isinstance(refusal, NotFound):
        raise Http404 from refusal
    if "parameters" in refusal.path:
        attach(parameters, refusal, prefix=PREFIX)
    else:
        attach(form, refusal)


def _done(request: TenantRequest, installed: Installation) -> HttpResponse:
    messages.success(request, "Installed and deployed. It is ready to run.")
    address = reverse("marketplace:installation", args=[request.organization.slug, installed.pk])
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(address)
    return redirect(address)


def _installations() -> QuerySet[Installation]:
    return Installation.objects.select_related("workflow", "environment", "installed_by").defer(
        "workflow__draft_document"
    )


@require_safe
@tenant_page
def installations(request: TenantRequest) -> HttpResponse:
    """What the organization took from the marketplace."""
    with scope.transaction():
        page = paginate(
            _installations(), order=("-id",), window=window_of(request), key="installations"
        )
        return render(request, "marketplace/installations.html", {"page": pager(page)})


@require_safe
@tenant_page
def installation(request: TenantRequest, installation_id: uuid.UUID) -> HttpResponse:
    """One installation: what was agreed to, what was changed, and the way to run it."""
    with scope.transaction():
        found = _installations().filter(pk=installation_id).first()
        if found is None:
            raise Http404
        listing = (
            Listing.objects.shown().select_related("publisher").filter(pk=found.listing_id).first()
        )
        context = {"installation": found, "listing": listing}
        return render(request, "marketplace/installation.html", context)
