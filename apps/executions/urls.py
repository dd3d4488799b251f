"""Addresses of the overview and of the pages of runs."""

from django.urls import path

from apps.executions.views import (
    controlling,
    deciding,
    defaults,
    items,
    lists,
    repeating,
    starting,
    testing,
    watching,
)

app_name = "executions"
_OF = "t/<slug:slug>/workflows/<uuid:workflow_id>/"
_ONE = "t/<slug:slug>/runs/<uuid:run_id>/"
urlpatterns = [
    path("t/<slug:slug>/", lists.overview, name="overview"),
    path("t/<slug:slug>/runs/", lists.index, name="list"),
    path("t/<slug:slug>/questions/", deciding.questions, name="questions"),
    path(f"{_OF}runs/", lists.of_workflow, name="of_workflow"),
    path(f"{_OF}run/", starting.start, name="start"),
    path("t/<slug:slug>/settings/runs/", defaults.defaults, name="defaults"),
    path(f"{_OF}steps/<str:node_id>/test/", testing.step, name="test"),
    path(_ONE, watching.run, name="run"),
    path(f"{_ONE}items/", items.items, name="items"),
    path(f"{_ONE}live/", watching.live, name="live"),
    path(f"{_ONE}again/", repeating.again, name="again"),
    path(f"{_ONE}decide/", deciding.decide, name="decide"),
    path(f"{_ONE}cancel/", watching.cancel, name="cancel"),
    path(f"{_ONE}pause/", controlling.pause, name="pause"),
    path(f"{_ONE}resume/", controlling.resume, name="resume"),
    path(f"{_ONE}signal/", controlling.signal, name="signal"),
]
