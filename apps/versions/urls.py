"""Addresses of the version pages."""

from django.urls import path

from apps.versions import views

app_name = "versions"
_OF = "t/<slug:slug>/workflows/<uuid:workflow_id>/versions/"
_ONE = "t/<slug:slug>/versions/<uuid:version_id>/"
urlpatterns = [
    path(_OF, views.index, name="list"),
    path(f"{_OF}commit/", views.commit, name="commit"),
    path(f"{_OF}deploy/", views.deploy, name="deploy"),
    path(_ONE, views.diff, name="diff"),
    path(f"{_ONE}restore/", views.restore, name="restore"),
]
