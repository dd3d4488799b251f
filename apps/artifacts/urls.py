"""Addresses of stored objects."""

from django.urls import path

from apps.artifacts import views

app_name = "artifacts"
urlpatterns = [
    path("t/<slug:slug>/artifacts/<str:digest>", views.download, name="download"),
]
