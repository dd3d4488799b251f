"""Pages of the vault, per environment: secrets by name, variables with values, connections."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.kit.errors import NotFound, Refusal
from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.html.schema_form import JSONText
from apps.kit.pages import paginate
from apps.tenancy import scope
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.models import Environment
from apps.tenancy.policies import require
from apps.vault import policies
from apps.vault.actions import (
    delete_connection,
    delete_secret,
    delete_variable,
    save_connection,
    set_secret,
    set_variable,
)
from apps.vault.models import MAX_NAME, Connection, PlacedQuerySet, Secret, Variable

_VALUE_LIMIT = 32 * 1024


class Unrepeated(forms.Textarea):
    """Several lines, because keys have them; what was typed is never sent back."""

    def format_value(self, value: Any) -> None:
        """Nothing, whatever came in."""


class SecretForm(forms.Form):
    """Setting a secret; the value is never sent back."""

    name = forms.CharField(max_length=MAX_NAME, help_text="Letters, digits and underscores.")
    value = forms.CharField(
        max_length=_VALUE_LIMIT,
        strip=False,
        widget=Unrepeated(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false"}),
        help_text="Sealed at once; nobody can read it back.",
    )


class VariableForm(forms.Form):
    """Setting a variable to any JSON value."""

    name = forms.CharField(max_length=MAX_NAME, help_text="Letters, digits and underscores.")
    value = JSONText(
        max_length=_VALUE_LIMIT,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text='JSON: 5, true, "text", [1, 2] or {"a": 1}.',
    )


class ConnectionForm(forms.Form):
    """Saving a connection: open settings, and which secret fills which field."""

    name = forms.CharField(max_length=MAX_NAME)
    connector_type = forms.CharField(
        max_length=MAX_NAME, label="Type", help_text="As the slot asks for it: postgres, http…"
    )
    settings = JSONText(
        required=False,
        max_length=_VALUE_LIMIT,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
        help_text='What is no secret, such as {"host": "db.example.com"}.',
    )
    secrets = JSONText(
        required=False,
        max_length=_VALUE_LIMIT,
        label="Secrets by field",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
        help_text='Names only, such as {"password": "WAREHOUSE_PASSWORD"}.',
    )


def _chosen(request: TenantRequest) -> tuple[list[Environment], Environment]:
    """The organization's environments and the one the address names, else the first."""
    with scope.transaction():
        found = list(Environment.objects.order_by("kind", "name")[:50])
    name = request.GET.get("environment")
    chosen = [one for one in found if one.name == name] if name else found[:1]
    if not chosen:
        raise NotFound.of("environment")
    return found, chosen[0]


def _back(request: TenantRequest, name: str, environment: Environment) -> HttpResponse:
    query = {"environment": environment.name}
    return redirect(reverse(name, args=[request.organization.slug], query=query))


def _page(
    request: TenantRequest, rows: PlacedQuerySet, environment: Environment, *, key: str
) -> Any:
    return pager(
        paginate(
            rows.in_environment(environment.pk),
            order=("name", "id"),
            window=window_of(request, size=50),
            key=[key, str(environment.pk)],
        )
    )


@tenant_page
@never_cache
def secrets(request: TenantRequest) -> HttpResponse:
    """Names of secrets, and setting one."""
    require(policies.can_list_secrets(request.actor), "see the names of secrets")
    environments, environment = _chosen(request)
    form = SecretForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            set_secret(actor=request.actor, environment_id=environment.pk, **form.cleaned_data)
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"{form.cleaned_data['name']} is kept.")
            return _back(request, "vault:secrets", environment)
    with scope.transaction():
        context = {
            "environments": environments,
            "environment": environment,
            "page": _page(request, Secret.objects.all(), environment, key="secrets"),
            "form": form,
            "may_write": policies.can_write_secrets(request.actor),
        }
        return render(request, "vault/secrets.html", context, status=status_of(form))


@require_POST
@tenant_page
def remove_secret(request: TenantRequest) -> HttpResponse:
    """Delete a secret."""
    _, environment = _chosen(request)
    delete_secret(
        actor=request.actor, environment_id=environment.pk, name=request.POST.get("name", "")
    )
    messages.success(request, "The secret is deleted.")
    return _back(request, "vault:secrets", environment)


@tenant_page
def variables(request: TenantRequest) -> HttpResponse:
    """Variables with their values, and setting one."""
    require(policies.can_read_variables(request.actor), "read variables")
    environments, environment = _chosen(request)
    form = VariableForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            set_variable(actor=request.actor, environment_id=environment.pk, **form.cleaned_data)
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"{form.cleaned_data['name']} is set.")
            return _back(request, "vault:variables", environment)
    with scope.transaction():
        context = {
            "environments": environments,
            "environment": environment,
            "page": _page(request, Variable.objects.all(), environment, key="variables"),
            "form": form,
            "may_write": policies.can_write_variables(request.actor),
        }
        return render(request, "vault/variables.html", context, status=status_of(form))


@require_POST
@tenant_page
def remove_variable(request: TenantRequest) -> HttpResponse:
    """Delete a variable."""
    _, environment = _chosen(request)
    delete_variable(
        actor=request.actor, environment_id=environment.pk, name=request.POST.get("name", "")
    )
    messages.success(request, "The variable is deleted.")
    return _back(request, "vault:variables", environment)


@tenant_page
def connections(request: TenantRequest) -> HttpResponse:
    """Connections, and saving one."""
    require(policies.can_list_connections(request.actor), "see connections")
    environments, environment = _chosen(request)
    form = ConnectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            save_connection(
                actor=request.actor,
                environment_id=environment.pk,
                name=data["name"],
                connector_type=data["connector_type"],
                settings=data["settings"] or {},
                secrets=data["secrets"] or {},
            )
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"{data['name']} is saved.")
            return _back(request, "vault:connections", environment)
    with scope.transaction():
        context = {
            "environments": environments,
            "environment": environment,
            "page": _page(request, Connection.objects.all(), environment, key="connections"),
            "form": form,
            "may_write": policies.can_write_connections(request.actor),
        }
        return render(request, "vault/connections.html", context, status=status_of(form))


@require_POST
@tenant_page
def remove_connection(request: TenantRequest) -> HttpResponse:
    """Delete a connection."""
    _, environment = _chosen(request)
    form = _IdForm(request.POST)
    if not form.is_valid():
        raise NotFound.of("connection")
    delete_connection(actor=request.actor, connection_id=form.cleaned_data["id"])
    messages.success(request, "The connection is deleted.")
    return _back(request, "vault:connections", environment)


class _IdForm(forms.Form):
    """The id of the row a button stands beside."""

    id = forms.UUIDField()
