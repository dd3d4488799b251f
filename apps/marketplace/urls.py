"""Addresses of the marketplace, of an organization's part in it, and of the staff's console."""

from django.urls import path

from apps.marketplace.views import following, installing, publishing, reviewing, shelf

app_name = "marketplace"
_LISTING = "marketplace/<slug:publisher>/<slug:slug>/"
urlpatterns = [
    path("marketplace/", shelf.results, name="search"),
    path(_LISTING, shelf.listing, name="listing"),
    path(f"{_LISTING}picture.svg", shelf.picture, name="picture"),
    path("t/<slug:slug>/install/<uuid:listing_id>/", installing.install, name="install"),
    path("t/<slug:slug>/installations/", installing.installations, name="installations"),
    path(
        "t/<slug:slug>/installations/<uuid:installation_id>/",
        installing.installation,
        name="installation",
    ),
    path("t/<slug:slug>/workflows/<uuid:workflow_id>/publish/", publishing.publish, name="publish"),
    path("t/<slug:slug>/releases/", following.releases, name="releases"),
    path("t/<slug:slug>/releases/<uuid:release_id>/", following.release, name="release"),
    path("t/<slug:slug>/releases/<uuid:release_id>/withdraw/", following.withdraw, name="withdraw"),
    path("staff/approvals/", reviewing.approvals, name="approvals"),
    path("staff/approvals/<uuid:approval_id>/", reviewing.approval, name="approval"),
]
