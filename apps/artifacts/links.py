"""Where a stored object is downloaded."""

from __future__ import annotations

from django.urls import reverse


def download_path(slug: str, digest: str) -> str:
    """The path of an object in the organization called `slug`."""
    return reverse("artifacts:download", kwargs={"slug": slug, "digest": digest})
