"""A start that looks at its caller's key by itself: what has become of the key counts at once."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from django.db import transaction

from apps.kit.clock import now
from apps.tenancy import scope
from apps.tenancy.actions import remove_member, revoke_api_key
from apps.tenancy.actors import Permission, Role
from apps.tenancy.doors import actor_of_key, keys, presumed
from apps.tenancy.graphql import context
from apps.tenancy.limits import Metric, set_limits
from apps.tenancy.models import ApiKey, Membership, User
from tests.executions.rest_calls import Program, deployed, runs_of
from tests.factories import tenancy as make
from tests.graphql.calls import key_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]
SECOND = dt.timedelta(seconds=1)


def _revoke(acme: make.Tenant, key_id: uuid.UUID, user_id: uuid.UUID) -> None:
    revoke_api_key(actor=acme.owner, key_id=key_id)


def _remove(acme: make.Tenant, key_id: uuid.UUID, user_id: uuid.UUID) -> None:
    remove_member(actor=acme.owner, user_id=user_id)


def _no_member(acme: make.Tenant, key_id: uuid.UUID, user_id: uuid.UUID) -> None:
    Membership.objects.filter(user_id=user_id).delete()


def _expire(acme: make.Tenant, key_id: uuid.UUID, user_id: uuid.UUID) -> None:
    ApiKey.objects.filter(pk=key_id).update(expires_at=now() - SECOND)


def _delete(acme: make.Tenant, key_id: uuid.UUID, user_id: uuid.UUID) -> None:
    ApiKey.objects.filter(pk=key_id).delete()


def _close(acme: make.Tenant, key_id: uuid.UUID, user_id: uuid.UUID) -> None:
    User.objects.filter(pk=user_id).update(is_active=False)


def _lower(acme: make.Tenant, key_id: uuid.UUID, user_id: uuid.UUID) -> None:
    Membership.objects.filter(user_id=user_id).update(role=Role.VIEWER)


def _narrow(acme: make.Tenant, key_id: uuid.UUID, user_id: uuid.UUID) -> None:
    ApiKey.objects.filter(pk=key_id).update(scopes=[Permission.WORKFLOWS_READ])


@pytest.mark.parametrize("wait", [0, 0.1])
@pytest.mark.parametrize(
    ("change", "status"),
    [
        *((one, 401) for one in (_revoke, _remove, _no_member, _expire, _delete, _close)),
        *((one, 403) for one in (_lower, _narrow)),
    ],
)
def test_what_was_changed_counts_at_once(
    acme: make.Tenant, change: Callable[..., None], status: int, wait: float
) -> None:
    text, client, workflow = _known(acme)
    key = actor_of_key(text)
    with scope.tenant(acme.id, actor=acme.owner), transaction.atomic():
        change(acme, key.api_key_id, key.user_id)

    for _ in range(2):
        answer = client.start(workflow, wait=wait)
        assert answer.status_code == status, answer.text
        assert ("RateLimit-Limit" in answer.headers) == (status == 403)
    assert runs_of(acme) == 3


def test_a_wrong_secret_is_nobodys(acme: make.Tenant, globex: make.Tenant) -> None:
    text, _, workflow = _known(acme)
    head, _, secret = text.rpartition("_")
    for wrong in (f"{head}_{secret[::-1]}", text.replace(acme.id.hex, globex.id.hex)):
        assert presumed(wrong) is None
        assert Program(wrong).start(workflow).status_code == 401
    assert presumed(text) is not None
    assert runs_of(acme) == 3


def test_who_is_presumed_is_who_was_recognized(acme: make.Tenant) -> None:
    text, _, _ = _known(acme)
    known = presumed(text, ip="127.0.0.9")
    assert known is not None
    assert known.actor == actor_of_key(text, ip="127.0.0.9")
    assert text.rpartition("_")[2] not in repr(keys._kept)


def test_a_call_pays_once_whichever_way_it_goes(acme: make.Tenant) -> None:
    _, client, workflow = _known(acme)
    other = deployed(acme)  # Nobody has started it: the short way is not open.
    left = [int(client.start(one).headers["RateLimit-Remaining"]) for one in (workflow, other)]
    assert left[0] - left[1] in (0, 1)  # One, less what has come back meanwhile.

    runs_only = Program(key_of(acme.owner, Permission.WORKFLOWS_RUN))
    answers = [runs_only.start(workflow, wait=wait) for wait in (0, 0, 1)]
    assert [answer.status_code for answer in answers] == [202, 202, 403]
    left = [int(answer.headers["RateLimit-Remaining"]) for answer in answers]
    assert left[1] - left[2] in (0, 1)


def test_keys_that_are_long_unused_make_room(
    acme: make.Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "KEPT", 2)
    texts = [key_of(acme.owner) for _ in range(3)]
    for text in texts:
        actor_of_key(text)
    assert [presumed(text) is not None for text in texts] == [False, True, True]


def test_a_key_is_asked_for_again_now_and_then(
    acme: make.Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, client, workflow = _known(acme)
    key_id = actor_of_key(text).api_key_id
    assert key_id is not None
    with scope.tenant(acme.id, actor=acme.owner):
        ApiKey.objects.filter(pk=key_id).update(last_used_at=None)
    assert _used(acme, key_id) is None
    monkeypatch.setattr(keys, "AGED_SECONDS", 0.0)
    assert client.start(workflow).status_code == 202
    while _used(acme, key_id) is None:
        pass


def _used(acme: make.Tenant, key_id: uuid.UUID) -> dt.datetime | None:
    with scope.tenant(acme.id, actor=acme.owner):
        return ApiKey.objects.get(pk=key_id).last_used_at


def _known(acme: make.Tenant) -> tuple[str, Program, uuid.UUID]:
    """A member's key and a workflow, both known to the process by three starts."""
    text = key_of(make.member(acme, role=Role.EDITOR))
    client, workflow = Program(text), deployed(acme)
    for _ in range(3):
        assert client.start(workflow).status_code == 202
    assert presumed(text) is not None
    return text, client, workflow


def test_whose_points_are_spent_starts_nothing(acme: make.Tenant) -> None:
    text, client, workflow = _known(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        set_limits({Metric.API_POINTS_PER_HOUR: 1})
    context._points.clear()
    answers = [client.start(workflow) for _ in range(3)]
    assert [answer.status_code for answer in answers][1:] == [429, 429]
    assert answers[-1].json()["code"] == "RATE_LIMITED"
    assert presumed(text) is not None
    assert runs_of(acme) == 3 + (answers[0].status_code == 202)
