"""Addresses of the workflow pages."""

from django.urls import path

from apps.workflows import schema_view, views
from apps.workflows.graph.schema import SERVED_AT

app_name = "workflows"
_ONE = "t/<slug:slug>/workflows/<uuid:workflow_id>/"
urlpatterns = [
    path(SERVED_AT.removeprefix("/"), schema_view.document_schema, name="schema"),
    path("t/<slug:slug>/workflows/", views.index, name="list"),
    path("t/<slug:slug>/workflows/new/", views.create, name="create"),
    path("t/<slug:slug>/steps/", views.steps, name="steps"),
    path(_ONE, views.detail, name="detail"),
    path(f"{_ONE}draft/", views.draft, name="draft"),
    path(f"{_ONE}clone/", views.clone, name="clone"),
    path(f"{_ONE}archive/", views.archive, name="archive"),
    path(f"{_ONE}restore/", views.restore, name="restore"),
]
