"""Downloading stored objects."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator
from typing import BinaryIO

from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, Http404, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from apps.artifacts import policies
from apps.artifacts.contents import find_artifact, open_artifact
from apps.artifacts.errors import ArtifactMissing
from apps.artifacts.reference import is_digest
from apps.tenancy.doors import TenantRequest, tenant_page
from apps.tenancy.policies import require

_PIECE = 256 * 1024


@require_safe
@tenant_page
def download(request: TenantRequest, digest: str) -> HttpResponseBase:
    """The verified content; another organization's digest is as unknown as a random one."""
    require(policies.can_download(request.actor), "download what runs made")
    if not is_digest(digest):
        raise Http404
    try:
        artifact = find_artifact(digest)
        stream = open_artifact(digest)
    except ArtifactMissing as error:
        raise Http404 from error
    ending = mimetypes.guess_extension(artifact.media_type) or _ENDINGS.get(artifact.media_type, "")
    name = f"{digest.removeprefix('sha256:')[:12]}{ending}"
    response: StreamingHttpResponse
    if isinstance(request, ASGIRequest):
        # A plain file would be read into memory whole under ASGI.
        response = StreamingHttpResponse(_pieces(stream), content_type=artifact.media_type)
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Content-Length"] = str(artifact.bytes)
    else:
        response = FileResponse(
            stream, as_attachment=True, filename=name, content_type=artifact.media_type
        )
    response["Cache-Control"] = "private, max-age=3600"
    return response


_ENDINGS = {
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/onnx": ".onnx",
}


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(stream.read, _PIECE):
            yield piece
    finally:
        stream.close()
