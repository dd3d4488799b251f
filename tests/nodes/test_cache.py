"""The step cache: equal pure steps run once, and only those."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection

from apps.executions import references, retention
from apps.executions.engine.ports import StepCall, StepDone, StepFailed
from apps.executions.engine.seeds import Origin
from apps.executions.models import CachedResult
from apps.executions.runner import results
from apps.executions.runner.local import LocalRunner
from apps.executions.sandbox import shared
from apps.kit.clock import now
from apps.tenancy import scope
from apps.workflows.graph.declaration import Effect, node_type_of
from apps.workflows.graph.shape import Cache, Connection, Node
from tests.factories import vault as vault_make
from tests.factories.tenancy import Tenant
from tests.nodes import sample_nodes
from tests.nodes.doubles import Logs, Stop, step_call

pytestmark = pytest.mark.django_db(transaction=True)

INLINE = replace(node_type_of(sample_nodes.inline), effect=Effect.PURE)
HOUR = Cache(ttl_seconds=3_600)


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)


@pytest.fixture
def runner() -> Iterator[LocalRunner]:
    made = LocalRunner(sandbox=shared())
    yield made
    made.close()


def called(
    tenant: Tenant,
    *,
    cache: Cache | None = HOUR,
    node_type: Any = INLINE,
    place: str = "DEVELOPMENT",
    configuration: dict[str, Any] | None = None,
    **more: Any,
) -> StepCall:
    node = Node(
        id="step", type=node_type.type, configuration=configuration or {"number": 7}, cache=cache
    )
    call = step_call(node_type, node=node, **more)
    return replace(
        call,
        tenant_id=tenant.id,
        environment=place,
        environment_id=tenant.environments[place].pk,
    )


def ran(runner: LocalRunner, call: StepCall) -> tuple[bool, Any]:
    """Whether the handler ran, and what the step gave."""
    logs = Logs()
    done = runner.run(call, stop=Stop(), logs=logs)
    assert isinstance(done, StepDone), done
    assert (done.origin is Origin.CACHED) is not bool(logs.lines)
    return bool(logs.lines), done.outputs["value"]


def test_an_equal_step_takes_what_the_first_gave(acme: Tenant, runner: LocalRunner) -> None:
    first, again = (ran(runner, called(acme)) for _ in range(2))

    assert (first[0], again[0]) == (True, False)
    assert first[1] == again[1] == {"number": 7}


def test_a_hit_costs_nothing_and_one_round_trip(acme: Tenant, runner: LocalRunner) -> None:
    ran(runner, called(acme))
    statements: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        hit = runner.run(called(acme), stop=Stop(), logs=Logs())

    assert isinstance(hit, StepDone)
    assert (hit.usage.cpu_seconds, hit.usage.cost_minor) == (0, 0)
    # A connection that is new is asked for its role first.
    assert [one for one in statements if "rolsuper" not in one] == [results._FIND]


def test_a_step_without_a_cache_asks_nobody(acme: Tenant, runner: LocalRunner) -> None:
    statements: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        for cache in (None, Cache(ttl_seconds=0)):
            assert ran(runner, called(acme, cache=cache))[0]

    assert statements == []


@pytest.mark.parametrize(
    "other",
    [
        {"configuration": {"number": 8}},
        {"inputs": {"data": 1}},
        {"place": "STAGING"},
        {"configuration": {"number": "{{ parameters.n }}"}, "parameters": {"n": 9}},
    ],
)
def test_what_differs_runs(acme: Tenant, runner: LocalRunner, other: dict[str, Any]) -> None:
    ran(runner, called(acme))

    assert ran(runner, called(acme, **other))[0]
    assert not ran(runner, called(acme, **other))[0]


def test_another_version_or_type_runs(acme: Tenant, runner: LocalRunner) -> None:
    ran(runner, called(acme))

    assert ran(runner, called(acme, node_type=replace(INLINE, version=2)))[0]


def test_nobody_elses_results_are_taken(acme: Tenant, globex: Tenant, runner: LocalRunner) -> None:
    ran(runner, called(acme))

    assert ran(runner, called(globex))[0]
    with scope.tenant(globex.id):
        assert CachedResult.objects.count() == 1


@pytest.mark.parametrize("effect", [one for one in Effect if one is not Effect.PURE])
def test_an_effect_always_happens(acme: Tenant, runner: LocalRunner, effect: Effect) -> None:
    effectful = replace(INLINE, effect=effect)

    assert [ran(runner, called(acme, node_type=effectful))[0] for _ in range(2)] == [True, True]


def test_a_key_stands_for_the_inputs(acme: Tenant, runner: LocalRunner) -> None:
    keyed = Cache(ttl_seconds=60, key="{{ parameters.city }}")

    def one(city: str, number: int) -> bool:
        call = called(acme, cache=keyed, parameters={"city": city}, inputs={"data": number})
        return ran(runner, call)[0]

    assert [one("Bern", 1), one("Bern", 2), one("Chur", 2)] == [True, False, True]


def test_a_key_that_fails_says_so(acme: Tenant, runner: LocalRunner) -> None:
    call = called(acme, cache=Cache(ttl_seconds=60, key="{{ parameters.town }}"))

    failed = runner.run(call, stop=Stop(), logs=Logs())

    assert isinstance(failed, StepFailed)
    assert "cache.key" in failed.message


def test_a_rotated_secret_is_another_step(acme: Tenant, runner: LocalRunner) -> None:
    call = called(acme, configuration={"number": 1, "token": "{{ secrets.TOKEN }}"})
    vault_make.secret(acme, name="TOKEN", value="first-value-of-it")
    before = [ran(runner, call)[0] for _ in range(2)]
    vault_make.secret(acme, name="TOKEN", value="second-value-of-it")

    assert before == [True, False]
    assert [ran(runner, call)[0] for _ in range(2)] == [True, False]


def test_what_is_over_runs_again_and_is_forgotten(acme: Tenant, runner: LocalRunner) -> None:
    ran(runner, called(acme))
    with scope.tenant(acme.id):
        CachedResult.objects.update(expires_at=now() - dt.timedelta(seconds=1))

    assert ran(runner, called(acme))[0]
    with scope.tenant(acme.id):
        assert retention.forget_results() == 0
        assert retention.forget_results(at=now() + dt.timedelta(hours=2)) == 1
        assert not CachedResult.objects.exists()


def test_the_oldest_beyond_the_most_are_forgotten_for_certain(
    acme: Tenant, runner: LocalRunner
) -> None:
    for number in range(4):
        ran(runner, called(acme, configuration={"number": number}))
    with scope.tenant(acme.id):
        newest = CachedResult.objects.order_by("-created_at").values_list("digest", flat=True)
        kept = [bytes(digest) for digest in newest[:3]]
        assert retention.forget_results(most=3) == 1
        assert retention.forget_results(most=3) == 0
        assert [bytes(digest) for digest in newest] == kept


@pytest.mark.parametrize("broken", [[1], {"nothing": 1}, "text"])
def test_a_broken_entry_is_a_miss(acme: Tenant, runner: LocalRunner, broken: Any) -> None:
    ran(runner, called(acme))
    with scope.tenant(acme.id):
        CachedResult.objects.update(outputs=broken)

    assert ran(runner, called(acme))[0]


def test_a_cache_that_is_away_stops_nobody(acme: Tenant, runner: LocalRunner) -> None:
    def away(execute: Any, sql: str, *rest: Any) -> Any:
        raise OperationalError("the server is gone")

    with connection.execute_wrapper(away):
        assert [ran(runner, called(acme))[0] for _ in range(2)] == [True, True]


def test_a_tenant_keeps_so_many(acme: Tenant) -> None:
    with connection.cursor() as cursor:
        # Room is made by chance, for one entry of fifty; the seed makes it the same every time.
        cursor.execute("SELECT setseed(0.5)")
        for number in range(400):
            cursor.execute(
                "SELECT engine_cache_4(%s, sha256(%s::text::bytea), 't', '{}', 60, 5)",
                [acme.id, str(number)],
            )
    with scope.tenant(acme.id):
        assert CachedResult.objects.count() < 200


def test_what_is_too_large_is_made_again(
    acme: Tenant, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "MOST_BYTES", 4)

    assert [ran(runner, called(acme))[0] for _ in range(2)] == [True, True]


def test_conditions_are_read_anew(acme: Tenant, runner: LocalRunner) -> None:
    link = Connection(
        id="c", source="step", source_port="value", target="next", condition="{{ parameters.go }}"
    )
    origins = []
    for go in (True, False):
        call = called(acme, outgoing=(link,), parameters={"go": go})
        done = runner.run(call, stop=Stop(), logs=Logs())
        assert isinstance(done, StepDone)
        assert done.conditions == {"c": go}
        origins.append(done.origin)
    assert origins == [None, Origin.CACHED]


def test_artifacts_of_results_are_kept(acme: Tenant, runner: LocalRunner) -> None:
    ran(runner, called(acme))
    digest = f"sha256:{'a' * 64}"
    with scope.tenant(acme.id):
        CachedResult.objects.update(outputs={"value": {"$artifact": digest}})
        assert digest in set(references.artifacts_in_history())
