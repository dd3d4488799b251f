"""Creating, saving, committing, comparing and running workflows on pages."""

from __future__ import annotations

import json
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.executions.actions import pin_output
from apps.executions.models import Run, RunEvent
from apps.executions.views import watching
from apps.tenancy import scope
from apps.versions.models import Deployment, WorkflowVersion
from apps.workflows.models import Workflow
from tests.factories.tenancy import Tenant
from tests.pages.conftest import DOCUMENT, Furnished, happened
from tests.pages.reading import at, hidden, rows

pytestmark = pytest.mark.django_db


def test_a_document_becomes_a_workflow(owner: Client, acme: Tenant) -> None:
    answer = owner.post(at("workflows:create", "acme"), {"text": json.dumps(DOCUMENT)})
    [made] = rows(acme, Workflow)
    assert answer["Location"] == at("workflows:detail", "acme", made.pk)


def test_a_file_wins_over_the_text(owner: Client, acme: Tenant) -> None:
    file = SimpleUploadedFile("w.json", json.dumps({**DOCUMENT, "name": "From file"}).encode())
    owner.post(at("workflows:create", "acme"), {"text": "{}", "file": file})
    assert [one.name for one in rows(acme, Workflow)] == ["From file"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Paste a document"),
        ("{not json", "This is not JSON"),
        ('{"name": "x", "nodes": [{"type": "no.such"}]}', "no.such"),
        ('{"nodes": [], "surprise": 1}', "surprise"),
    ],
)
def test_a_wrong_document_is_explained_and_kept(
    owner: Client, acme: Tenant, text: str, said: str
) -> None:
    answer = owner.post(at("workflows:create", "acme"), {"text": text})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert rows(acme, Workflow) == []


def test_a_draft_is_saved_from_the_revision_that_was_shown(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    path = at("workflows:draft", "acme", furnished.workflow)
    shown = owner.get(path).content.decode()
    revision = int(hidden(shown, "revision"))
    text = json.dumps({**DOCUMENT, "name": "Renamed"})
    assert owner.post(path, {"text": text, "revision": revision}).status_code == 302
    [saved] = rows(acme, Workflow, pk=furnished.workflow)
    assert (saved.name, saved.draft_revision) == ("Renamed", revision + 1)


def test_a_stale_save_overwrites_nothing_and_keeps_what_was_typed(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    text = json.dumps({**DOCUMENT, "name": "Mine"})
    answer = owner.post(
        at("workflows:draft", "acme", furnished.workflow), {"text": text, "revision": 1}
    )
    html = answer.content.decode()
    assert answer.status_code == 422
    assert "somebody saved in between" in html
    assert "Mine" in html
    [kept] = rows(acme, Workflow, pk=furnished.workflow)
    assert kept.name != "Mine"


def test_a_copy_and_the_archive(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    owner.post(at("workflows:clone", "acme", furnished.workflow))
    owner.post(at("workflows:archive", "acme", furnished.workflow))
    assert any(one.name.endswith("(copy)") for one in rows(acme, Workflow))
    [put_away] = rows(acme, Workflow, pk=furnished.workflow)
    assert put_away.status == "ARCHIVED"
    owner.post(at("workflows:restore", "acme", furnished.workflow))
    [back] = rows(acme, Workflow, pk=furnished.workflow)
    assert back.status == "DRAFT"


def test_nothing_new_cannot_be_committed(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    before = len(rows(acme, WorkflowVersion))
    answer = owner.post(at("versions:commit", "acme", furnished.workflow), {"message": "Again"})
    assert answer.status_code == 422
    assert "Nothing has changed" in answer.content.decode()
    assert len(rows(acme, WorkflowVersion)) == before


def test_a_version_is_deployed(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    place = acme.environments["PRODUCTION"].pk
    owner.post(
        at("versions:deploy", "acme", furnished.workflow),
        {"deployed": str(furnished.version), "environment": str(place)},
    )
    [standing] = rows(acme, Deployment, workflow_id=furnished.workflow)
    assert (standing.version_id, standing.environment_id) == (furnished.version, place)


def test_a_difference_names_the_step_and_both_values(owner: Client, furnished: Furnished) -> None:
    html = owner.get(at("versions:diff", "acme", furnished.second)).content.decode()
    assert "configuration.text" in html
    assert "Hi" in html
    assert "Bye" in html


def test_a_version_becomes_the_draft_again(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    [now_] = rows(acme, Workflow, pk=furnished.workflow)
    path = at("versions:restore", "acme", furnished.version)
    assert owner.post(path, {"revision": now_.draft_revision - 1}).status_code == 409
    assert owner.post(path, {"revision": now_.draft_revision}).status_code == 302
    [restored] = rows(acme, Workflow, pk=furnished.workflow)
    assert restored.draft_document["nodes"][0]["configuration"] == {"text": "Hi"}


def test_two_clicks_start_one_run(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    path = at("executions:start", "acme", furnished.workflow)
    form = {
        "idempotency_key": hidden(owner.get(path).content.decode(), "idempotency_key"),
        "environment": "DEVELOPMENT",
        "parameter-times": "3",
    }
    first, second = owner.post(path, form), owner.post(path, form)
    assert first["Location"] == second["Location"]
    assert len(rows(acme, Run)) == 2  # this one, and the furnished one


def test_the_draft_is_tested_with_what_is_pinned(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    path = at("executions:start", "acme", furnished.workflow)
    draft = owner.get(at("workflows:draft", "acme", furnished.workflow)).content.decode()
    assert f'href="{path}"' in draft
    assert "Test with pinned data" not in owner.get(path).content.decode()

    with scope.tenant(acme.id, actor=acme.owner):
        pin_output(
            actor=acme.owner,
            workflow_id=furnished.workflow,
            node_id="say",
            outputs={"text": "pinned"},
        )
    html = owner.get(path).content.decode()
    assert at("executions:test", "acme", furnished.workflow, "say") in html
    assert "Test with pinned data" in html
    production = at("executions:start", "acme", furnished.workflow, environment="PRODUCTION")
    assert "Test with pinned data" not in owner.get(production).content.decode()

    form = {"idempotency_key": hidden(html, "idempotency_key"), "parameter-times": "3"}
    tested = owner.post(path, {**form, "pinned": "1"})["Location"].rstrip("/").rpartition("/")[2]
    html = owner.get(path).content.decode()
    form["idempotency_key"] = hidden(html, "idempotency_key")
    plain = owner.post(path, form)["Location"].rstrip("/").rpartition("/")[2]
    given = rows(acme, RunEvent, type="step.given")
    assert {str(one.run_id) for one in given} == {tested}
    assert [one.body["outputs"] for one in given] == [{"text": "pinned"}]
    assert plain != tested


def test_a_wrong_parameter_starts_nothing(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    answer = owner.post(
        at("executions:start", "acme", furnished.workflow),
        {"idempotency_key": str(uuid.uuid4()), "parameter-times": "0"},
    )
    assert answer.status_code == 422
    assert "greater than or equal to 1" in answer.content.decode()
    assert len(rows(acme, Run)) == 1


def test_production_without_a_version_says_what_to_do(owner: Client, furnished: Furnished) -> None:
    path = at("executions:start", "acme", furnished.workflow, environment="PRODUCTION")
    assert "Deploy one first" in owner.get(path).content.decode()


def test_a_run_shows_its_steps_results_and_failures(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    body = {"startedAt": 1_790_000_000_000, "usage": {"wallMs": 1500}}
    happened(
        acme,
        furnished.run,
        ("run.started", None, None, None),
        ("step.completed", "say", 1, {**body, "outputs": {"text": "<i>done</i>"}}),
        (
            "step.attempt_failed",
            "again",
            1,
            {**body, "error": {"code": "NODE_BROKEN", "message": "It broke."}, "retryAt": 1},
        ),
    )
    html = owner.get(at("executions:live", "acme", furnished.run)).content.decode()
    assert "1.5 s" in html
    assert "NODE_BROKEN" in html
    assert "&lt;i&gt;done" in html
    assert "hx-get" in html
    assert f'data-run="{furnished.run}"' in html
    page = owner.get(at("executions:run", "acme", furnished.run)).content.decode()
    assert "nstarx/watch.js" in page


def test_a_long_timeline_comes_in_pages_and_names_its_iterations(
    owner: Client, acme: Tenant, furnished: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SHOWN_STEPS", 2)
    done = {"startedAt": 1_790_000_000_000, "outputs": {}}
    opened = {"startedAt": 1_790_000_000_000, "values": {}}
    events: list[tuple[str, str | None, int | None, object]] = [("run.started", None, None, None)]
    for index in range(3):
        events.append(("step.iterated", "refine", 1, {**opened, "index": index}))
        events.append(("step.completed", f"refine[{index}]/say", 1, done))
    happened(acme, furnished.run, *events)
    where = at("executions:live", "acme", furnished.run)
    pages = [owner.get(f"{where}?rows={page}").content.decode() for page in (1, 2, 99)]
    found = [[f"refine[{index}]" in page for index in range(3)] for page in pages]
    assert [any(column) for column in zip(*found, strict=True)] == [True, True, True]
    assert all(sum(row) < 3 for row in found)
    assert "?rows=2" in pages[0]
    assert "1 of" in pages[0]
    assert owner.get(f"{where}?rows=x").status_code == 200


def test_a_run_is_asked_to_stop(owner: Client, furnished: Furnished) -> None:
    answer = owner.post(at("executions:cancel", "acme", furnished.run), follow=True)
    assert "Asked to stop" in answer.content.decode()


def test_a_draft_saved_with_mistakes_says_what_is_wrong(
    owner: Client, furnished: Furnished
) -> None:
    path = at("workflows:draft", "acme", furnished.workflow)
    text = json.dumps({**DOCUMENT, "nodes": [{"id": "say", "type": "test.tekst"}]})
    owner.post(path, {"text": text, "revision": "2"})
    html = owner.get(path).content.decode()
    assert "What is wrong with the document" in html
    assert "<code>test.tekst</code>" in html


def test_every_type_of_step_has_its_manual(owner: Client, acme: Tenant) -> None:
    html = owner.get(at("workflows:steps", "acme")).content.decode()
    assert 'id="test.text"' in html
