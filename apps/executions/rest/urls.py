"""Addresses of the REST API, below /api/v1/."""

from django.urls import path

from apps.executions.rest import openapi, runs

app_name = "rest"
urlpatterns = [
    path("workflows/<str:workflow_id>/runs", runs.start, name="start"),
    path("runs/<str:run_id>", runs.show, name="run"),
    path("runs/<str:run_id>/cancel", runs.cancel, name="cancel"),
    path("openapi.json", openapi.document, name="document"),
]
