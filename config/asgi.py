"""What a server runs: HTTP through Django, the socket through Channels."""

from __future__ import annotations

import gc
import os
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")

http = get_asgi_application()

from config.api_handler import ApiHandler, api_first  # noqa: E402
from config.body_cap import BodyCap  # noqa: E402
from config.pooling import warm_first  # noqa: E402
from config.schema import schema  # noqa: E402 - needs the apps, which the line above loads
from config.socket import Socket  # noqa: E402


class Nowhere(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Any other socket path: the handshake is refused instead of crashing."""

    async def connect(self) -> None:
        """Answer 403."""
        await self.close()


application: Any = ProtocolTypeRouter(
    {
        "http": BodyCap(api_first(ApiHandler(), http)),
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("graphql", Socket.as_asgi(schema=schema)),
                    re_path(r"", Nowhere.as_asgi()),
                ]
            )
        ),
    }
)

warm_first()
# What is loaded by now stays: no collection shall look at it again.
gc.collect()
gc.freeze()
