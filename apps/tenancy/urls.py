"""Addresses of an organization's own pages, and of the way in."""

from django.urls import path

from apps.tenancy import views

app_name = "tenancy"
urlpatterns = [
    path("", views.start, name="start"),
    path("organizations/new/", views.create, name="create"),
    path("invitations/<str:token>/", views.invitation, name="invitation"),
    path("t/<slug:slug>/settings/members/", views.members, name="members"),
    path("t/<slug:slug>/settings/members/<uuid:user_id>/role/", views.role, name="role"),
    path("t/<slug:slug>/settings/members/<uuid:user_id>/remove/", views.remove, name="remove"),
    path("t/<slug:slug>/settings/environments/", views.environments, name="environments"),
    path("t/<slug:slug>/settings/keys/", views.keys, name="keys"),
    path("t/<slug:slug>/settings/keys/<uuid:key_id>/revoke/", views.revoke, name="revoke"),
    path("t/<slug:slug>/settings/audit/", views.audit_log, name="audit"),
]
