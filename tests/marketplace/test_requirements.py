"""What a document needs and may do, and what an installer may change in it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from apps.marketplace import compatibility, packaging
from apps.marketplace.overrides import InvalidOverride, apply_overrides
from apps.marketplace.requirements import Requirements, read_requirements
from apps.marketplace.terms import Risk
from tests.security_scan.declared import catalogue
from tests.security_scan.documents import document, node

CATALOGUE = catalogue()
TARGET = {"name": "target", "schema": {"type": "string"}, "default": "label"}
LIMIT = {"name": "limit", "schema": {"type": "integer", "minimum": 1}, "required": True}
KEY = {"name": "key", "schema": {"type": "string"}, "secret": True}


def requirements(*nodes: dict[str, Any], **configuration: Any) -> Requirements:
    return read_requirements(document(*nodes, **configuration), CATALOGUE, platform=">=0.1")


def keys(*nodes: dict[str, Any]) -> list[str]:
    return [permission.key for permission in requirements(*nodes).permissions]


def test_node_types_are_named_once_by_major() -> None:
    twice = requirements(
        node("code.python", id="a", code="x"), node("code.python", id="b", code="y")
    )
    assert [(one.type, one.version_range) for one in twice.node_types] == [("code.python", "^1")]


def test_a_disabled_node_needs_nothing() -> None:
    off = node("llm.complete", prompt="x") | {"disabled": True}
    assert requirements(off) == Requirements(platform=">=0.1", parameters={
        "type": "object", "properties": {}, "required": [], "additionalProperties": False,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("url", "key", "risk"),
    [
        ("https://api.example/x", "egress:api.example", Risk.MEDIUM),
        ("https://api.example/{{ nodes.a.value }}", "egress:api.example", Risk.MEDIUM),
        ("{{ parameters.address }}", "egress:parameters.address", Risk.MEDIUM),
        ("https://{{ variables.host }}/x", "egress:variables.host", Risk.MEDIUM),
        ("{{ nodes.a.value }}", "egress:*", Risk.HIGH),
    ],
)
def test_where_data_may_go_is_a_permission(url: str, key: str, risk: Risk) -> None:
    (permission,) = requirements(node("integration.http", url=url)).permissions
    assert (permission.key, permission.risk) == (key, risk)


def test_fixed_hosts_and_code_are_permissions() -> None:
    assert keys(
        node("llm.complete", id="a", prompt="x"), node("code.python", id="b", code="x")
    ) == ["code:python", "egress:api.model.example"]


def test_a_secret_is_a_slot_and_a_permission() -> None:
    found = requirements(
        node(
            "integration.http",
            url="https://api.example",
            headers={"Authorization": "Bearer {{ secrets.API_KEY }}"},
        )
    )
    assert [(one.slot, one.connector_type) for one in found.slots] == [("API_KEY", "secret")]
    assert "secret:API_KEY" in [one.key for one in found.permissions]


def test_parameters_are_one_schema_with_defaults_but_no_secret() -> None:
    shown = requirements(parameters=[TARGET, LIMIT, KEY | {"default": "hidden"}]).parameters
    assert shown["properties"] == {
        "target": {"type": "string", "default": "label"},
        "limit": {"type": "integer", "minimum": 1},
        "key": {"type": "string", "writeOnly": True},
    }
    assert shown["required"] == ["limit"]


def test_requirements_survive_storage() -> None:
    found = requirements(
        node("integration.http", url="{{ parameters.target }}", headers={"X": "{{ secrets.K }}"}),
        parameters=[TARGET],
    )
    assert Requirements.from_json(found.to_json()) == found


def test_an_override_becomes_the_default_and_the_original_stays() -> None:
    original = document(parameters=[TARGET])
    changed = apply_overrides(original, parameters={"target": "price"}, name="Mine")
    assert changed["configuration"]["parameters"][0]["default"] == "price"
    assert changed["name"] == "Mine"
    assert original["configuration"]["parameters"][0]["default"] == "label"


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        ({"nobody": 1}, ("parameters", "nobody"), "has no parameter"),
        ({"limit": 0}, ("parameters", "limit"), "minimum"),
        ({"target": 3}, ("parameters", "target"), "type"),
        ({"key": "plain"}, ("parameters", "key"), "secrets.NAME"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(
    given: dict[str, Any], path: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidOverride, match=words) as refused:
        apply_overrides(document(parameters=[TARGET, LIMIT, KEY]), parameters=given)
    assert refused.value.path == path


def test_a_secret_parameter_takes_a_reference() -> None:
    changed = apply_overrides(
        document(parameters=[KEY]), parameters={"key": "{{ secrets.MY_KEY }}"}
    )
    assert changed["configuration"]["parameters"][0]["default"] == "{{ secrets.MY_KEY }}"


def test_an_unknown_resource_is_refused() -> None:
    with pytest.raises(InvalidOverride):
        apply_overrides(document(), resources={"cores": 3})


def test_a_slot_renames_the_reference_and_nothing_else() -> None:
    call = node(
        "integration.http",
        url="https://api.example",
        headers={"A": "Bearer {{ secrets.KEY }}", "B": "{{secrets.KEY_2}}", "C": "secrets.KEY"},
    )
    changed = apply_overrides(document(call), secrets={"KEY": "OURS"})
    assert changed["nodes"][0]["configuration"]["headers"] == {
        "A": "Bearer {{ secrets.OURS }}",
        "B": "{{secrets.KEY_2}}",
        "C": "secrets.KEY",
    }


def test_the_digest_covers_document_version_and_requirements() -> None:
    base: dict[str, Any] = {
        "document": document(),
        "publisher": "acme",
        "slug": "cars",
        "version": "1.0.0",
        "requirements": {},
    }
    digest = packaging.digest_of(**base)
    assert digest == packaging.digest_of(**base)
    others: list[dict[str, Any]] = [
        {"document": document(node("code.python", code="x"))},
        {"version": "1.0.1"},
        {"publisher": "globex"},
        {"requirements": {"permissions": []}},
    ]
    assert digest not in {packaging.digest_of(**{**base, **other}) for other in others}


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Cars ETL with quarantine", "cars-etl-with-quarantine"), ("Über – Größe!", "uber-groe"),
     ("数据", "workflow"), ("x" * 99, "x" * 60)],
)  # fmt: skip
def test_slugs(name: str, slug: str) -> None:
    assert packaging.slug_of(name) == slug


def test_the_platforms_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == compatibility.PLATFORM_VERSION
