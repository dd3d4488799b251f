"""Addresses of the vault's pages; the environment is a query parameter."""

from django.urls import path

from apps.vault import views

app_name = "vault"
_KINDS = (views.SECRETS, views.VARIABLES, views.CONNECTIONS)
urlpatterns = [
    *(
        path(f"t/<slug:slug>/settings/{one.plural}/", views.held, {"kind": one}, name=one.plural)
        for one in _KINDS
    ),
    *(
        path(
            f"t/<slug:slug>/settings/{one.plural}/delete/",
            views.delete,
            {"kind": one},
            name=f"delete_{one.noun}",
        )
        for one in _KINDS
    ),
]
