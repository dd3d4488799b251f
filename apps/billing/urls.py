"""Addresses of the billing pages."""

from django.urls import path

from apps.billing import views

app_name = "billing"
urlpatterns = [
    path("t/<slug:slug>/settings/usage/", views.usage, name="usage"),
]
