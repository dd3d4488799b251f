"""Pages of an organization: its members, API keys and audit log, and the way in."""

from __future__ import annotations

import datetime as dt
import uuid

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.kit.clock import now
from apps.kit.errors import Refusal
from apps.kit.html.paging import pager, window_of
from apps.kit.html.refusals import attach, status_of
from apps.kit.pages import paginate
from apps.tenancy import policies, scope
from apps.tenancy.actions import (
    accept_invitation,
    change_member_role,
    create_api_key,
    create_organization,
    invite_member,
    remove_member,
    revoke_api_key,
)
from apps.tenancy.actors import Actor, Role
from apps.tenancy.doors import TenantRequest, places_of, signed_in, tenant_page
from apps.tenancy.models import ApiKey, AuditRow, Environment, Invitation, Membership

_ROLES = [(role.value, role.value.capitalize()) for role in Role]
_LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "one year")]


class OrganizationForm(forms.Form):
    """Founding an organization."""

    name = forms.CharField(max_length=120, help_text="As people should read it.")
    slug = forms.CharField(
        label="Short name",
        max_length=40,
        help_text="Stands in every address: lower-case letters, digits and hyphens.",
    )


class InviteForm(forms.Form):
    """Inviting a person."""

    email = forms.EmailField(label="E-mail address")
    role = forms.ChoiceField(choices=_ROLES, initial=Role.EDITOR.value)


class KeyForm(forms.Form):
    """Creating an API key with no more than its creator may do."""

    name = forms.CharField(max_length=80, help_text="Where the key is used.")
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    lifetime = forms.ChoiceField(choices=_LIFETIMES, initial="90", label="Expires in")

    def __init__(self, *args: object, actor: Actor, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        held = sorted(permission.value for permission in actor.permissions)
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)  # noqa: S101 - for the type checker
        scopes.choices = [(one, one) for one in held]


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """The address without a path: one's organization, staff's queue, or the marketplace."""
    user = signed_in(request.user)
    if user is None:
        return redirect("marketplace:search")
    slugs = [place.organization.slug for place in places_of(user)]
    if not slugs:
        return redirect("marketplace:approvals" if user.is_staff else "tenancy:create")
    last = request.session.get("organization")
    return redirect("executions:overview", last if last in slugs else slugs[0])


@login_required
def create(request: HttpRequest) -> HttpResponse:
    """Found an organization."""
    form = OrganizationForm(request.POST or None)
    user = signed_in(request.user)
    if request.method == "POST" and user is not None and form.is_valid():
        try:
            made = create_organization(founder=user, **form.cleaned_data)
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"{made.name} is ready.")
            return redirect("executions:overview", made.slug)
    return render(request, "tenancy/create.html", {"form": form}, status=status_of(form))


@login_required
@never_cache
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Take the place an invitation offers; a person confirms, a link preview does not."""
    user = signed_in(request.user)
    if request.method == "POST" and user is not None:
        membership = accept_invitation(user=user, token=token)
        joined = [
            p.organization for p in places_of(user) if p.actor.tenant_id == membership.tenant_id
        ]
        messages.success(request, f"Welcome to {joined[0].name}.")
        return redirect("executions:overview", joined[0].slug)
    return render(request, "tenancy/invitation.html")


@tenant_page
def members(request: TenantRequest) -> HttpResponse:
    """Who belongs here, and inviting others."""
    form = InviteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            invite_member(actor=request.actor, **form.cleaned_data)
        except Refusal as refusal:
            attach(form, refusal)
        else:
            messages.success(request, f"The invitation to {form.cleaned_data['email']} is sent.")
            return redirect("tenancy:members", request.organization.slug)
    with scope.transaction():
        page = paginate(
            Membership.objects.select_related("user"),
            order=("joined_at", "id"),
            window=window_of(request, size=50),
            key="members",
        )
        open_invitations = Invitation.objects.filter(accepted_at=None, expires_at__gt=now())
        context = {
            "page": pager(page),
            "invitations": open_invitations.order_by("-created_at")[:20],
            "form": form,
            "roles": _ROLES,
            "may_admin": policies.can_manage_members(request.actor),
        }
        return render(request, "tenancy/members.html", context, status=status_of(form))


@require_POST
@tenant_page
def role(request: TenantRequest, user_id: uuid.UUID) -> HttpResponse:
    """Give a member another role."""
    change_member_role(actor=request.actor, user_id=user_id, role=request.POST.get("role", ""))
    messages.success(request, "The role is changed.")
    return redirect("tenancy:members", request.organization.slug)


@require_POST
@tenant_page
def remove(request: TenantRequest, user_id: uuid.UUID) -> HttpResponse:
    """Remove a member and the member's keys."""
    remove_member(actor=request.actor, user_id=user_id)
    messages.success(request, "The member is removed, and the member's keys with it.")
    return redirect("tenancy:members", request.organization.slug)


@require_safe
@tenant_page
def environments(request: TenantRequest) -> HttpResponse:
    """Where versions are deployed; every organization has the three it began with."""
    with scope.transaction():
        context = {"environments": Environment.in_order()}
        return render(request, "tenancy/environments.html", context)


@tenant_page
@never_cache
def keys(request: TenantRequest) -> HttpResponse:
    """API keys; a new one is shown in the answer to its creation and never again."""
    form = KeyForm(request.POST or None, actor=request.actor)
    secret = ""
    if request.method == "POST" and form.is_valid():
        days = int(form.cleaned_data["lifetime"])
        try:
            secret = create_api_key(
                actor=request.actor,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=now() + dt.timedelta(days=days),
            ).text
        except Refusal as refusal:
            attach(form, refusal)
        else:
            form = KeyForm(actor=request.actor)
    with scope.transaction():
        rows = ApiKey.objects.select_related("user")
        may_admin = policies.can_manage_members(request.actor)
        if not may_admin:
            rows = rows.filter(user=request.user)
        page = paginate(
            rows,
            order=("-created_at", "-id"),
            window=window_of(request),
            key=["keys", str(request.actor.user_id)],
        )
        context = {
            "page": pager(page),
            "form": form,
            "secret": secret,
            "may_admin": may_admin,
            "graphql_url": f"{settings.PUBLIC_URL}/graphql",
        }
        return render(request, "tenancy/keys.html", context, status=status_of(form))


@require_POST
@tenant_page
def revoke(request: TenantRequest, key_id: uuid.UUID) -> HttpResponse:
    """Revoke a key; it is dead at once."""
    revoke_api_key(actor=request.actor, key_id=key_id)
    messages.success(request, "The key is revoked and works no more.")
    return redirect("tenancy:keys", request.organization.slug)


@require_safe
@tenant_page
def audit_log(request: TenantRequest) -> HttpResponse:
    """What people, keys and the platform did, newest first."""
    policies.require(policies.can_read_audit_log(request.actor), "read the audit log")
    with scope.transaction():
        page = paginate(
            AuditRow.objects.all(),
            order=("-at", "-id"),
            window=window_of(request, size=50),
            key="audit",
        )
        return render(request, "tenancy/audit.html", {"page": pager(page)})
