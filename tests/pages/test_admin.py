"""The Django admin is for looking: every one of our models, in one and the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from apps.tenancy.doors.looking import LookingAdmin, ReadOnly
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db

OURS = sorted(
    (model for model in admin.site._registry if model.__module__.startswith("apps.")),
    key=lambda model: model._meta.label,
)


def at(model: Any, verb: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{verb}")


def test_every_admin_only_looks() -> None:
    assert OURS
    for model in OURS:
        shown = admin.site._registry[model]
        assert isinstance(shown, LookingAdmin), model
        assert all(issubclass(one, ReadOnly) for one in shown.inlines), model


def test_nothing_is_added_in_an_organization_that_staff_look_after(
    staff: Callable[[], Client], acme: Tenant
) -> None:
    client = staff()
    chosen = {"action": "look_after_it", "_selected_action": [str(acme.id)]}
    client.post(reverse("admin:tenancy_organization_changelist"), chosen)
    for model in OURS:
        assert client.get(at(model, "changelist")).status_code == 200, model
        assert client.get(at(model, "add")).status_code == 403, model
        assert client.post(at(model, "add"), {}).status_code == 403, model
