"""How answers travel: the media type a caller asks for, and the status that goes with it."""

from __future__ import annotations

import pytest

from apps.tenancy.actors import Permission
from apps.workflows.models import Workflow
from tests.factories import tenancy as make
from tests.graphql.calls import Caller, caller, codes
from tests.graphql.probes import DOCUMENT
from tests.pages.reading import rows

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
TENANT = "{ tenant { slug } }"
CREATE = f"mutation {{ createWorkflow(document: {DOCUMENT}) {{ errors {{ code }} }} }}"
# Never executed: does not parse, is not valid, lacks a variable, names no operation there is.
NOT_EXECUTED = {
    "does not parse": {"query": "{ tenant {"},
    "is not valid": {"query": "{ nonsense }"},
    "lacks a variable": {"query": "query($id: ID!) { workflow(id: $id) { id } }"},
    "names no operation": {"query": TENANT, "operationName": "Other"},
    "writes twice": {"query": CREATE.replace("{ createWorkflow", "{ a: createWorkflow", 1)[:-1]
                     + f" b: createWorkflow(document: {DOCUMENT}) {{ errors {{ code }} }} }}"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (f"{JSON}; charset=utf-8", JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}; charset=utf-8", RESPONSE),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE),
        (f"{JSON}, {RESPONSE};q=0.5", JSON),
        ("text/html, */*;q=0.1", JSON),
    ],
)
def test_the_caller_chooses_the_type(acme: make.Tenant, accepted: str | None, sent: str) -> None:
    program = caller(acme, **({} if accepted is None else {"Accept": accepted}))
    response = program.post({"query": TENANT})

    assert response.status_code == 200
    assert response["Content-Type"].partition(";")[0] == sent
    assert response.json()["data"] == {"tenant": {"slug": "acme"}}


def test_who_accepts_neither_gets_neither(acme: make.Tenant) -> None:
    for refused in ("text/html", f"{JSON};q=0, {RESPONSE};q=0"):
        response = caller(acme, Accept=refused).post({"query": CREATE})
        assert response.status_code == 406
    assert rows(acme, Workflow) == []


@pytest.mark.parametrize("body", NOT_EXECUTED.values(), ids=NOT_EXECUTED.keys())
def test_what_was_not_executed_has_no_data_and_says_400(
    acme: make.Tenant, body: dict[str, str]
) -> None:
    response = caller(acme, Accept=RESPONSE).post(body)

    assert response.status_code == 400
    assert response["Content-Type"].startswith(RESPONSE)
    answer = response.json()
    assert "data" not in answer
    assert codes(answer)
    assert rows(acme, Workflow) == []


# The envelope itself is at fault when it names an operation that is not there: 400 in both types.
@pytest.mark.parametrize("name", sorted(NOT_EXECUTED.keys() - {"names no operation"}))
def test_as_json_a_well_formed_request_says_200(acme: make.Tenant, name: str) -> None:
    response = caller(acme, Accept=JSON).post(NOT_EXECUTED[name])

    assert (response.status_code, response["Content-Type"]) == (200, JSON)
    assert response.json()["data"] is None


def test_what_was_executed_says_200_whatever_its_fields_say(acme: make.Tenant) -> None:
    narrow = caller(acme, Permission.WORKFLOWS_READ, Accept=RESPONSE)
    response = narrow.post({"query": "{ auditLog { nodes { action } } }"})

    assert response.status_code == 200
    assert codes(response.json()) == ["FORBIDDEN"]
    assert response.json()["data"] is None


@pytest.mark.parametrize("accepted", [JSON, RESPONSE])
def test_a_body_that_is_no_json_is_400_and_a_stranger_401(acme: make.Tenant, accepted: str) -> None:
    spoiled = caller(acme, Accept=accepted).post("{")
    stranger = Caller(None, Accept=accepted).post({"query": TENANT})

    assert (spoiled.status_code, stranger.status_code) == (400, 401)
    for response in (spoiled, stranger):
        assert response["Content-Type"].startswith(accepted)
        assert ("data" in response.json()) == (accepted == JSON)
