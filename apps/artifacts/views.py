"""Downloads: for members by their session, for programs by their key."""

from __future__ import annotations

import mimetypes

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe

from apps.artifacts import policies
from apps.artifacts.contents import find_artifact, open_verified
from apps.artifacts.errors import ArtifactMissing, DigestMismatch
from apps.artifacts.models import Artifact
from apps.kit.errors import Unauthenticated
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.doors import actor_of_request, tenant_page
from apps.tenancy.models import Organization
from apps.tenancy.scope import Scope

# A browser must never run what a workflow has made, even if somebody takes the attachment away.
_ACTIVE = ("html", "xml", "svg", "javascript", "ecmascript", "pdf")


@require_safe
def download(request: HttpRequest, *, slug: str, digest: str) -> HttpResponseBase:
    """`GET /t/<slug>/artifacts/<digest>`: a foreign digest and one that does not exist are 404."""
    if "Authorization" in request.headers:
        return _by_key(request, slug=slug, digest=digest)
    return _by_session(request, slug=slug, digest=digest)


@tenant_page
def _by_session(request: HttpRequest, *, digest: str) -> HttpResponseBase:
    actor: Actor = request.actor  # type: ignore[attr-defined]
    return _answer(actor, digest)


def _by_key(request: HttpRequest, *, slug: str, digest: str) -> HttpResponseBase:
    try:
        actor = actor_of_request(request)
    except Unauthenticated as refusal:
        answer = HttpResponse(refusal.message, content_type="text/plain", status=401)
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    with scope.enter(Scope.of(actor)):
        with scope.transaction():
            is_theirs = Organization.objects.filter(slug=slug).exists()
        if not is_theirs:
            raise Http404
        return _answer(actor, digest)


def _answer(actor: Actor, digest: str) -> HttpResponseBase:
    if not policies.can_download(actor):
        return HttpResponse(
            "This key may not read workflows and what they made.",
            content_type="text/plain",
            status=403,
        )
    try:
        artifact = find_artifact(digest)
        stream = open_verified(artifact)
    except ArtifactMissing:
        raise Http404 from None
    except DigestMismatch as refusal:
        text = f"{refusal.code}: {refusal.message}"
        return HttpResponse(text, content_type="text/plain", status=409)
    answer = FileResponse(
        stream,
        as_attachment=True,
        filename=_name_of(artifact),
        content_type=_served_as(artifact.media_type),
    )
    answer["Content-Length"] = str(artifact.bytes)
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer["Cache-Control"] = "private, max-age=3600, immutable"
    return answer


def _name_of(artifact: Artifact) -> str:
    extension = mimetypes.guess_extension(artifact.media_type) or ".bin"
    return f"{artifact.digest.removeprefix('sha256:')[:16]}{extension}"


def _served_as(media_type: str) -> str:
    is_active = any(part in media_type for part in _ACTIVE)
    return "application/octet-stream" if is_active else media_type
