"""The door of programs: the actor behind an API key, found in one statement.

Who was found is kept in the process for `presumed`: not the key, but the digest that is in the
database, too. Nobody is believed by that: what is done for a presumed actor looks at the key's mark
in the statement that does it, so a revoked key ends at once.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import Q

from apps.kit.clock import now
from apps.kit.errors import Unauthenticated
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission, Role
from apps.tenancy.models import ApiKey, User
from apps.tenancy.scope import Scope
from apps.tenancy.tokens import KeyText, parse_key, same

_USE_IS_NOTED_EVERY: Final = dt.timedelta(minutes=1)
_NO_KEY: Final = KeyText(tenant_id=uuid.UUID(int=0), key_id=uuid.UUID(int=0), secret="").digest
_ASK: Final = "SELECT * FROM tenancy_key_2(%s, %s)"
KEPT: Final = 1_024
AGED_SECONDS: Final = 60.0


class _Row(NamedTuple):
    """What `tenancy_key_2` says."""

    digest: bytes
    name: str
    scopes: list[str]
    last_used_at: dt.datetime | None
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    user_id: uuid.UUID
    user_name: str
    email: str
    is_active: bool
    role: str | None
    """None when the person is no member any more."""
    mark: str
    """Of all of this but `last_used_at`."""

    @property
    def is_over(self) -> bool:
        """Revoked or expired, or the account behind it is closed."""
        expired = self.expires_at is not None and self.expires_at <= now()
        return self.revoked_at is not None or expired or not self.is_active


@dataclass(frozen=True, kw_only=True, slots=True)
class Presumed:
    """Who a key was when this process asked last."""

    actor: Actor
    mark: str
    is_aged: bool
    """Ask again when there is time: once a minute it is noted that a key is used."""


class _Kept(NamedTuple):
    row: _Row
    actor: Actor
    since: float


_lock = threading.Lock()
_kept: Final[OrderedDict[tuple[uuid.UUID, uuid.UUID], _Kept]] = OrderedDict()


def presumed(text: str, *, ip: str | None = None) -> Presumed | None:
    """Whose key it was a while ago, for statements that compare the mark; None: ask."""
    key = parse_key(text)
    if key is None:
        return None
    with _lock:
        kept = _kept.get(_place(key))
        if kept is not None:
            _kept.move_to_end(_place(key))
    if kept is None or not same(bytes(kept.row.digest), key.digest()) or kept.row.is_over:
        return None
    return Presumed(
        actor=replace(kept.actor, ip=ip),
        mark=kept.row.mark,
        is_aged=time.monotonic() - kept.since > AGED_SECONDS,
    )


def actor_of_key(text: str, *, ip: str | None = None) -> Actor:
    """The actor behind an API key. Raises Unauthenticated, in one sentence for every reason."""
    key = parse_key(text)
    if key is None:
        raise _bad_key()
    with scope.enter(Scope(tenant_id=key.tenant_id)):
        row = _asked(key)
        stored = bytes(row.digest) if row is not None else _NO_KEY()
        is_meant = same(stored, key.digest())
        if not is_meant or row is None or row.is_over or row.role is None:
            if is_meant or row is None:
                _forget(key)
            raise _bad_key()
        _note_use(row, key.key_id)
    person = Actor.member(
        tenant_id=key.tenant_id,
        user_id=row.user_id,
        role=Role(row.role),
        name=f"{User.shown(row.user_name, row.email)} (key {row.name})",
        ip=ip,
    )
    scopes = frozenset(p for p in Permission if p.value in row.scopes)
    actor = person.narrowed(scopes, api_key_id=key.key_id)
    with _lock:
        _kept[_place(key)] = _Kept(row, actor, time.monotonic())
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return actor


def _place(key: KeyText) -> tuple[uuid.UUID, uuid.UUID]:
    return key.tenant_id, key.key_id


def _forget(key: KeyText) -> None:
    with _lock:
        _kept.pop(_place(key), None)


def _asked(key: KeyText) -> _Row | None:
    """The function sets the scope for its own statement; inside a transaction it would stay."""
    if not connection.in_atomic_block:
        return _fetched(key)
    with scope.transaction():
        return _fetched(key)


def _fetched(key: KeyText) -> _Row | None:
    with connection.cursor() as cursor:
        cursor.execute(_ASK, [key.tenant_id, key.key_id])
        row = cursor.fetchone()
    return None if row is None else _Row(*row)


def _note_use(row: _Row, key_id: uuid.UUID) -> None:
    """Once a minute."""
    noted = now() - _USE_IS_NOTED_EVERY
    if row.last_used_at is not None and row.last_used_at >= noted:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lt=noted)
    with scope.transaction():
        ApiKey.objects.filter(stale, pk=key_id).update(last_used_at=now())


def _bad_key() -> Unauthenticated:
    return Unauthenticated(
        "The API key is unknown, expired or revoked. Create a new one in the organization's "
        "settings and send it as `Authorization: Bearer nsx_…`."
    )
