"""GraphiQL for people who are signed in: a page of our own around the scripts a wheel carries."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# What the page's policy adds to everybody's: GraphiQL's style sheet carries its fonts within.
POLICY: Final = {"font-src": ["data:"]}


def explorer(request: HttpRequest) -> HttpResponse:
    """The page; whoever calls it has seen to it that somebody is signed in."""
    response = render(request, "explorer.html")
    response._csp_update = POLICY  # type: ignore[attr-defined]
    response["Cache-Control"] = "no-store"
    return response
