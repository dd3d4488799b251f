"""The real vault and store behind a step: the tenant's own and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.artifacts.contents import open_artifact
from apps.artifacts.models import Artifact
from apps.executions.engine.ports import StepCall, StepDone, StepFailed
from apps.executions.runner.local import LocalRunner
from apps.executions.sandbox import shared
from apps.tenancy import scope
from apps.tenancy.limits import Metric, set_limits
from apps.workflows.graph.declaration import node_type_of
from tests.factories import vault as vault_make
from tests.factories.tenancy import ROOMY, Tenant
from tests.nodes import sample_nodes
from tests.nodes.conftest import Receiver
from tests.nodes.doubles import Logs, Stop, step_call

# Steps run in threads with connections of their own.
pytestmark = pytest.mark.django_db(transaction=True)

INLINE = node_type_of(sample_nodes.inline)
VALUE = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)


def _call(tenant: Tenant, configuration: dict[str, Any], **more: Any) -> StepCall:
    call = step_call(INLINE, configuration=configuration, **more)
    environment = tenant.environments["DEVELOPMENT"].pk
    return replace(call, tenant_id=tenant.id, environment_id=environment)


def _run(call: StepCall) -> Any:
    runner = LocalRunner(sandbox=shared())
    try:
        return runner.run(call, stop=Stop(), logs=Logs())
    finally:
        runner.close()


def test_a_step_stores_objects_of_its_tenant(acme: Tenant) -> None:
    call = _call(acme, {"mode": "artifact"})

    outcome = _run(call)

    assert isinstance(outcome, StepDone), outcome
    with scope.tenant(acme.id):
        artifact = Artifact.objects.get()
        assert artifact.created_by_run == call.run_id
        with open_artifact(artifact.digest) as stream:
            assert stream.read() == b"hello"


def test_another_tenants_object_is_not_there(acme: Tenant, globex: Tenant) -> None:
    large = _run(_call(acme, {"mode": "large"})).outputs["value"]

    outcome = _run(_call(globex, {}, inputs={"data": large}))

    assert isinstance(outcome, StepFailed)
    assert outcome.code == "ARTIFACT_MISSING"


def test_a_changed_object_is_not_read(acme: Tenant, tmp_path: Path) -> None:
    large = _run(_call(acme, {"mode": "large"})).outputs["value"]
    name = large["$artifact"].partition(":")[2]
    stored = next(path for path in tmp_path.rglob("*") if path.is_file() and name[4:] in path.name)
    stored.chmod(0o600)
    stored.write_bytes(b"y" + stored.read_bytes()[1:])

    outcome = _run(_call(acme, {}, inputs={"data": large}))

    assert isinstance(outcome, StepFailed)
    assert outcome.code == "ARTIFACT_DAMAGED"


def test_a_step_over_quota_fails_and_stores_nothing(acme: Tenant) -> None:
    with scope.tenant(acme.id):
        set_limits({**ROOMY, Metric.STORAGE_BYTES: 1})

    outcome = _run(_call(acme, {"mode": "artifact"}))

    assert isinstance(outcome, StepFailed)
    assert outcome.code == "QUOTA_EXCEEDED"
    with scope.tenant(acme.id):
        assert not Artifact.objects.exists()


def test_a_secret_of_the_environment_is_sent(
    acme: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EGRESS_ALLOW_LOOPBACK", (receiver.url.removeprefix("http://"),))
    vault_make.secret(acme, value=VALUE)

    outcome = _run(
        _call(
            acme,
            {"mode": "send", "token": "{{ secrets.API_KEY }}", "url": f"{receiver.url}/in"},
        )
    )

    assert isinstance(outcome, StepDone), outcome
    assert receiver.seen[0]["headers"]["x-key"] == VALUE
    assert VALUE not in str(outcome.outputs)


def test_another_tenants_secret_is_missing(
    acme: Tenant, globex: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EGRESS_ALLOW_LOOPBACK", (receiver.url.removeprefix("http://"),))
    vault_make.secret(acme, value=VALUE)

    outcome = _run(
        _call(
            globex,
            {"mode": "send", "token": "{{ secrets.API_KEY }}", "url": f"{receiver.url}/in"},
        )
    )

    assert isinstance(outcome, StepFailed)
    assert outcome.code == "SECRET_MISSING"
    assert receiver.seen == []
