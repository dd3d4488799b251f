"""Addresses of the version pages."""

from django.urls import path

from apps.versions.views import approvals, versions

app_name = "versions"
_OF = "t/<slug:slug>/workflows/<uuid:workflow_id>/versions/"
_ONE = "t/<slug:slug>/versions/<uuid:version_id>/"
urlpatterns = [
    path("t/<slug:slug>/approvals/", approvals.index, name="approvals"),
    path("t/<slug:slug>/approvals/<uuid:approval_id>/", approvals.one, name="approval"),
    path(_OF, versions.index, name="list"),
    path(f"{_OF}commit/", versions.commit, name="commit"),
    path(f"{_OF}deploy/", versions.deploy, name="deploy"),
    path(_ONE, versions.diff, name="diff"),
    path(f"{_ONE}restore/", versions.restore, name="restore"),
]
