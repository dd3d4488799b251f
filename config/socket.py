"""The WebSocket on /graphql: subscriptions only, over graphql-transport-ws only."""

from __future__ import annotations

import datetime as dt
from typing import Any

from channels.db import database_sync_to_async
from strawberry.channels import GraphQLWSConsumer
from strawberry.exceptions import ConnectionRejectionError
from strawberry.schema import BaseSchema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.unset import UNSET

from apps.kit.errors import Unauthenticated
from apps.kit.ids import uuid7
from apps.tenancy.actors import Actor
from apps.tenancy.doors import actor_of_key
from apps.tenancy.doors.pages import SESSION_KEY
from apps.tenancy.doors.requests import actor_of_user
from apps.tenancy.graphql.context import SocketContext, payer_of, points_of

INIT_WITHIN = dt.timedelta(seconds=5)
MOST_SUBSCRIPTIONS = 10
MAX_MESSAGE = 65_536
MESSAGE_TOO_BIG = 1009
MOST_WAITING = 100
TOO_FAST = 4429
_NOBODY = Actor(tenant_id=None, name="nobody")


class Socket(GraphQLWSConsumer[SocketContext, None]):
    """One connection of one actor."""

    def __init__(self, schema: BaseSchema) -> None:
        super().__init__(
            schema=schema,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_WITHIN,
            max_subscriptions_per_connection=MOST_SUBSCRIPTIONS,
        )

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Refuse what no operation needs."""
        if text_data is not None and len(text_data) > MAX_MESSAGE:
            await self.close(code=MESSAGE_TOO_BIG)
            return
        if self.message_queue.qsize() > MOST_WAITING:
            await self.close(code=TOO_FAST)
            return
        await super().receive(text_data=text_data, bytes_data=bytes_data)

    async def get_context(self, request: Any, response: Any) -> SocketContext:
        """Nobody, until `connection_init` says who."""
        return SocketContext(request_id=str(uuid7()), payer="nobody", actor=_NOBODY, ws=self)

    async def on_ws_connect(self, context: SocketContext) -> Any:
        """Authenticate by `connection_params.apiKey`, else by the session."""
        try:
            recognize = database_sync_to_async(self._recognize)
            context.actor, context.points_per_hour = await recognize(context.connection_params)
        except Unauthenticated as refusal:
            raise ConnectionRejectionError({"message": refusal.message}) from refusal
        context.payer = payer_of(context.actor)
        return UNSET

    def _recognize(self, params: dict[str, Any]) -> tuple[Actor, int | None]:
        actor = self._actor(params)
        return actor, points_of(actor)

    def _actor(self, params: dict[str, Any]) -> Actor:
        client = self.scope.get("client") or (None,)
        key = params.get("apiKey")
        if key is not None:
            return actor_of_key(str(key), ip=client[0])
        return actor_of_user(
            self.scope["user"],
            named=str(params.get("tenant") or "") or None,
            visited=self.scope["session"].get(SESSION_KEY),
            ip=client[0],
        )
