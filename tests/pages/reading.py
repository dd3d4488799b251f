"""Addresses, forms and rows, as the tests of pages read them."""

from __future__ import annotations

import re
from typing import Any

from django.urls import reverse

from apps.tenancy import scope
from tests.factories.tenancy import Tenant


def at(name: str, *args: object, **query: str) -> str:
    return reverse(name, args=list(args), query=query or None)


def hidden(html: str, name: str) -> str:
    """The value of a hidden field as the page sends it."""
    field = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', html)
    assert field, f"{name} is not in the form"
    return field.group(1)


def rows(of: Tenant, model: Any, **which: Any) -> Any:
    with scope.tenant(of.id):
        return list(model.objects.filter(**which))
