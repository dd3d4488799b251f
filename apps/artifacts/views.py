"""Downloads: for members by their session, for programs by their key."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Iterator
from typing import cast

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe

from apps.artifacts import policies
from apps.artifacts.contents import find_artifact, open_verified
from apps.artifacts.errors import ArtifactMissing, DigestMismatch
from apps.artifacts.models import Artifact
from apps.kit.errors import Unauthenticated
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.doors import TenantRequest, actor_of_request, tenant_page
from apps.tenancy.models import Organization
from apps.tenancy.scope import Scope

_ENDINGS = {
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/onnx": ".onnx",
}
# A browser must never run what a workflow has made, even if somebody takes the attachment away.
_ACTIVE = ("html", "xml", "svg", "javascript", "ecmascript", "pdf")


class Download(FileResponse):
    """A file that ASGI too sends piece by piece: Django's own would read it whole first."""

    block_size = 256 * 1024

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Read in a thread, so that a slow disk holds up nobody else."""
        pieces = cast("Iterator[bytes]", self.streaming_content)

        def following() -> bytes | None:
            return next(pieces, None)

        while (piece := await asyncio.to_thread(following)) is not None:
            yield piece


@require_safe
def download(request: HttpRequest, *, slug: str, digest: str) -> HttpResponseBase:
    """`GET /t/<slug>/artifacts/<digest>`: a foreign digest and one that does not exist are 404."""
    if "Authorization" in request.headers:
        return _by_key(request, slug=slug, digest=digest)
    return _by_session(request, slug=slug, digest=digest)


@tenant_page
def _by_session(request: TenantRequest, *, digest: str) -> HttpResponseBase:
    return _answer(request.actor, digest)


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
    answer = Download(
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
    guessed = mimetypes.guess_extension(artifact.media_type)
    extension = _ENDINGS.get(artifact.media_type) or guessed or ".bin"
    return f"{artifact.digest.removeprefix('sha256:')[:16]}{extension}"


def _served_as(media_type: str) -> str:
    is_active = any(part in media_type for part in _ACTIVE)
    return "application/octet-stream" if is_active else media_type
