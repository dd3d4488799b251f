"""Routes: the API, the operators' questions, sign-in, and each app's pages."""

from __future__ import annotations

import importlib.util

from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import URLPattern, URLResolver, include, path
from django_rq.models import Dashboard

from config.graphql_view import ApiView
from config.health import healthz, readyz
from config.schema import COLUMN, schema

# An edit there would be a takeover without a trace: people change their addresses themselves.
for model in (Group, EmailAddress, Dashboard):
    if admin.site.is_registered(model):
        admin.site.unregister(model)

urlpatterns: list[URLPattern | URLResolver] = [
    # First, for programs wait for milliseconds.
    path("api/v1/", include("apps.executions.rest.urls")),
    path("graphql", ApiView.as_view(schema=schema), name="graphql"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    *(
        path("", include(f"apps.{app}.urls"))
        for app in reversed(COLUMN)
        if apps.is_installed(f"apps.{app}")
        and importlib.util.find_spec(f"apps.{app}.urls") is not None
    ),
]
