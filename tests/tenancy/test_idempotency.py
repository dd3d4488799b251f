"""Idempotency keys: the first answer again, another request refused."""

from __future__ import annotations

import pytest

from apps.kit.errors import IdempotencyMismatch, Refusal
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.idempotency import remembered
from apps.tenancy.models import IdempotencyKey
from tests.factories import tenancy as make


def test_the_same_request_gets_the_first_answer(acme: make.Tenant) -> None:
    answer = uuid7()
    with scope.tenant(acme.id):
        with remembered(operation="create", key="k", request={"a": 1}) as memory:
            assert memory.result_id is None
            memory.remember(answer)
        with remembered(operation="create", key="k", request={"a": 1}) as memory:
            assert memory.result_id == answer


def test_another_request_with_the_key_is_refused(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        with remembered(operation="create", key="k", request={"a": 1}) as memory:
            memory.remember(uuid7())
        with (
            pytest.raises(IdempotencyMismatch),
            remembered(operation="create", key="k", request={"a": 2}),
        ):
            pass


def test_two_tenants_may_use_the_same_key(acme: make.Tenant, globex: make.Tenant) -> None:
    for tenant in (acme, globex):
        with (
            scope.tenant(tenant.id),
            remembered(operation="create", key="k", request=tenant.owner.name) as memory,
        ):
            assert memory.result_id is None


def test_a_key_that_is_too_long_is_refused(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        with (
            pytest.raises(Refusal, match="1 to 200"),
            remembered(operation="create", key="k" * 201, request={}),
        ):
            pass
        assert not IdempotencyKey.objects.exists()
