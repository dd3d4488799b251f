"""Addresses of the vault's pages; the environment is a query parameter."""

from django.urls import path

from apps.vault import views

app_name = "vault"
urlpatterns = [
    path("t/<slug:slug>/settings/secrets/", views.secrets, name="secrets"),
    path("t/<slug:slug>/settings/secrets/delete/", views.remove_secret, name="delete_secret"),
    path("t/<slug:slug>/settings/variables/", views.variables, name="variables"),
    path("t/<slug:slug>/settings/variables/delete/", views.remove_variable, name="delete_variable"),
    path("t/<slug:slug>/settings/connections/", views.connections, name="connections"),
    path(
        "t/<slug:slug>/settings/connections/delete/",
        views.remove_connection,
        name="delete_connection",
    ),
]
