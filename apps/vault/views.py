"""Pages of the vault, per environment: secrets by name, variables with values, connections.

The three are one page: a list of what an environment holds, a form that writes one row, a button
that deletes one. What differs is data, in `SECRETS`, `VARIABLES` and `CONNECTIONS`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.kit.errors import NotFound, Refusal
from apps.kit.html.paging import Pager, pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.html.schema_form import JSONText
from apps.kit.pages import paginate
from apps.tenancy import scope
from apps.tenancy.actors import Actor
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
from apps.vault.models import MAX_NAME, Connection, Placed, Secret, Variable

_VALUE_LIMIT: Final = 32 * 1024
_PAGE_SIZE: Final = 50


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


Save = Callable[[Actor, Environment, Mapping[str, Any]], object]
Delete = Callable[[Actor, Environment, str], None]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of the three things an environment holds, and who may do what with it."""

    noun: str
    model: type[Placed]
    form: type[forms.Form]
    can_see: Callable[[Actor], bool]
    can_write: Callable[[Actor], bool]
    save: Save
    delete: Delete

    @property
    def plural(self) -> str:
        """Its name in addresses, templates and headings."""
        return f"{self.noun}s"


def _save_connection(actor: Actor, environment: Environment, given: Mapping[str, Any]) -> object:
    return save_connection(
        actor=actor,
        environment_id=environment.pk,
        name=given["name"],
        connector_type=given["connector_type"],
        settings=given["settings"] or {},
        secrets=given["secrets"] or {},
    )


def _delete_connection(actor: Actor, environment: Environment, key: str) -> None:
    """By its id: connections may be renamed."""
    try:
        connection_id = uuid.UUID(key)
    except ValueError:
        raise NotFound.of("connection") from None
    delete_connection(actor=actor, connection_id=connection_id)


SECRETS: Final = Kind(
    noun="secret",
    model=Secret,
    form=SecretForm,
    can_see=policies.can_list_secrets,
    can_write=policies.can_write_secrets,
    save=lambda actor, place, given: set_secret(actor=actor, environment_id=place.pk, **given),
    delete=lambda actor, place, key: delete_secret(actor=actor, environment_id=place.pk, name=key),
)
VARIABLES: Final = Kind(
    noun="variable",
    model=Variable,
    form=VariableForm,
    can_see=policies.can_read_variables,
    can_write=policies.can_write_variables,
    save=lambda actor, place, given: set_variable(actor=actor, environment_id=place.pk, **given),
    delete=lambda actor, place, key: delete_variable(
        actor=actor, environment_id=place.pk, name=key
    ),
)
CONNECTIONS: Final = Kind(
    noun="connection",
    model=Connection,
    form=ConnectionForm,
    can_see=policies.can_list_connections,
    can_write=policies.can_write_connections,
    save=_save_connection,
    delete=_delete_connection,
)


@never_cache
@tenant_page
def held(request: TenantRequest, kind: Kind) -> HttpResponse:
    """What the chosen environment holds of a kind, and writing one."""
    require(kind.can_see(request.actor), f"see {kind.plural}")
    environments, environment = _chosen(request)
    form = kind.form(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            kind.save(request.actor, environment, form.cleaned_data)
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"{form.cleaned_data['name']} is saved.")
            return _back(request, kind, environment)
    with scope.transaction():
        context = {
            "kind": kind,
            "environments": environments,
            "environment": environment,
            "page": _page(request, kind, environment),
            "form": form,
            "may_write": kind.can_write(request.actor),
        }
        return render(request, f"vault/{kind.plural}.html", context, status=status_of(form))


@require_POST
@tenant_page
def delete(request: TenantRequest, kind: Kind) -> HttpResponse:
    """Delete the row a button stands beside."""
    _, environment = _chosen(request)
    kind.delete(request.actor, environment, request.POST.get("key", ""))
    messages.success(request, f"The {kind.noun} is deleted.")
    return _back(request, kind, environment)


def _chosen(request: TenantRequest) -> tuple[list[Environment], Environment]:
    """The organization's environments and the one the address names, else the first."""
    with scope.transaction():
        found = Environment.in_order()
    name = request.GET.get("environment")
    chosen = [one for one in found if one.name == name] if name else found[:1]
    if not chosen:
        raise NotFound.of("environment")
    return found, chosen[0]


def _back(request: TenantRequest, kind: Kind, environment: Environment) -> HttpResponse:
    query = {"environment": environment.name}
    return redirect(reverse(f"vault:{kind.plural}", args=[request.organization.slug], query=query))


def _page(request: TenantRequest, kind: Kind, environment: Environment) -> Pager[Placed]:
    return pager(
        paginate(
            kind.model.objects.in_environment(environment.pk),
            order=("name", "id"),
            window=window_of(request, size=_PAGE_SIZE),
            key=[kind.plural, str(environment.pk)],
        )
    )
