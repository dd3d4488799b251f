"""What a declaration says, and which declarations are refused at import."""

from __future__ import annotations

import types
from typing import Any

import pytest
from pydantic import ValidationError

from apps.workflows.graph import catalogue as catalogue_module
from apps.workflows.graph import declaration
from apps.workflows.graph.catalogue import Catalogue, DuplicateNodeType
from apps.workflows.graph.declaration import (
    ArtifactRef,
    Category,
    Effect,
    Example,
    NodeError,
    NodeParameters,
    Port,
    PortSpec,
    declared_in,
    node,
    node_type_of,
    secret_name,
)
from tests.factories import workflow_nodes
from tests.factories.workflow_nodes import Nothing, TrainParameters


def good(parameters: Nothing, inputs: Any, context: Any) -> Any:
    """What a handler looks like."""


def declare(function: Any = good, **changed: Any) -> Any:
    stated: dict[str, Any] = {
        "type": "test.good",
        "version": 1,
        "title": "Good",
        "effect": Effect.PURE,
        "example": Example(),
    }
    stated.update(changed)
    return node_type_of(node(stated.pop("type"), **stated)(function))


def test_the_manual_is_the_docstring_of_the_module() -> None:
    assert node_type_of(workflow_nodes.source).manual.startswith("Node types for tests")


def test_the_function_stays_what_it_was() -> None:
    assert workflow_nodes.source(Nothing(), {}, None) == {"table": [], "report": {}}  # type: ignore[arg-type]


def test_a_declaration_names_its_handler_and_knows_whether_it_is_async() -> None:
    sent = node_type_of(workflow_nodes.send)
    assert sent.handler == "tests.factories.workflow_nodes:send"
    assert sent.asynchronous
    assert not node_type_of(workflow_nodes.source).asynchronous


def test_a_reconcilable_node_names_who_to_ask() -> None:
    booked = node_type_of(workflow_nodes.book)
    assert booked.finder == booked.parameter_migration == "tests.factories.workflow_nodes:happened"


def test_an_unknown_family_is_an_integration() -> None:
    assert declare().category is Category.INTEGRATION
    assert declare(type="data.good").category is Category.PROCESSING


def test_dynamic_ports_are_templates() -> None:
    merged = node_type_of(workflow_nodes.merge)
    assert merged.dynamic_input is merged.inputs["more"]
    assert merged.dynamic_output is merged.outputs["extra"]
    assert node_type_of(workflow_nodes.source).dynamic_input is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"type": "Good"}, "family.name"),
        ({"version": 0}, "starts at 1"),
        ({"inputs": {"Table": Port.TABLE}}, "lower-case letter"),
        ({"outputs": {"error": Port.JSON}}, "every node's already"),
        ({"outputs": {"else": Port.JSON}}, "word of the expression language"),
        (
            {
                "inputs": {
                    "one": PortSpec(type=Port.ANY, dynamic=True),
                    "two": PortSpec(type=Port.ANY, dynamic=True),
                }
            },
            "at most one dynamic",
        ),
        ({"secrets": ("token",)}, "'token'"),
        ({"code": {"source": "python"}}, "'source'"),
        ({"inputs": {"a": PortSpec(type=Port.ANY, configured_by="b")}}, "'b'"),
        ({"effect": Effect.RECONCILABLE}, "find="),
        ({"find": good}, "find="),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(
    changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        declare(**changed)


def test_a_module_without_docstring_has_no_manual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "__doc__", None)
    with pytest.raises(ValueError, match="docstring"):
        declare()


def test_a_handler_takes_three_arguments_the_first_typed() -> None:
    with pytest.raises(ValueError, match="takes"):
        declare(happened)
    with pytest.raises(ValueError, match="NodeParameters"):
        declare(untyped)


def happened(key: str) -> bool:
    """Too few arguments."""
    return bool(key)


def untyped(parameters: int, inputs: Any, context: Any) -> Any:
    """The first argument is no parameters model."""


def test_a_nested_function_cannot_be_imported_by_name() -> None:
    def inner(parameters: Nothing, inputs: Any, context: Any) -> Any:
        """Nobody finds me."""

    with pytest.raises(ValueError, match="module level"):
        declare(inner)


def test_parameters_are_strict_and_closed() -> None:
    assert TrainParameters.read({"target": "x", "trees": 3}).trees == 3
    for wrong in ({"target": "x", "trees": "3"}, {"target": "x", "wrong": 1}, {}):
        with pytest.raises(ValidationError):
            TrainParameters.read(wrong)


def test_the_json_schema_of_parameters_is_served_as_it_is() -> None:
    schema = node_type_of(workflow_nodes.train).configuration_schema()
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["target"]
    assert schema["properties"]["trees"] == {
        "default": 100,
        "maximum": 1000,
        "minimum": 1,
        "title": "Trees",
        "type": "integer",
    }


@pytest.mark.parametrize("schema", [None, {"columns": ["a"]}])
def test_an_artifact_reference_reads_back_equal(schema: dict[str, Any] | None) -> None:
    reference = ArtifactRef(digest="sha256:0", media_type="text/csv", bytes=3, schema=schema)
    assert ArtifactRef.is_reference(reference.to_json())
    assert ArtifactRef.from_json(reference.to_json()) == reference
    assert ArtifactRef.is_reference(types.MappingProxyType(reference.to_json()))
    assert not any(map(ArtifactRef.is_reference, ({"digest": 1}, [1], "$artifact", None)))


def test_a_node_error_carries_all_it_knows() -> None:
    error = NodeError("HTTP_503", "Try later.", retryable=True, retry_after=2.5)
    assert (error.code, error.message, error.retryable) == ("HTTP_503", "Try later.", True)
    assert error.details == {}
    assert error.retry_after == 2.5


def test_a_secret_is_named_by_its_reference_or_its_name() -> None:
    assert secret_name(" {{ secrets.TOKEN }} ") == secret_name("TOKEN") == "TOKEN"


def test_any_fits_everything_and_the_others_themselves() -> None:
    assert Port.ANY.accepts(Port.TABLE)
    assert Port.TABLE.accepts(Port.ANY)
    assert Port.TABLE.accepts(Port.TABLE)
    assert not Port.TABLE.accepts(Port.MODEL)


def test_the_catalogue_finds_majors_and_the_newest() -> None:
    known = workflow_nodes.catalogue()
    assert known.versions("test.train") == (1, 2)
    newest, old = known.get("test.train"), known.get("test.train", "1")
    assert newest is not None
    assert newest.version == 2
    assert old is not None
    assert old.version == 1
    for version in ("3", "x", ""):
        assert known.get("test.train", version) is None
    assert known.get("test.none") is None
    assert [one.type for one in known][:2] == ["test.book", "test.each"]


def test_a_misspelt_type_is_recognized() -> None:
    assert workflow_nodes.catalogue().closest("test.trian") == "test.train"
    assert workflow_nodes.catalogue().closest("zzz") is None
    assert workflow_nodes.catalogue().closest("test.train" * 9) is None


def test_the_same_type_twice_is_nothing_another_is_refused() -> None:
    known = workflow_nodes.catalogue()
    source = node_type_of(workflow_nodes.source)
    assert known.register(source) is source
    with pytest.raises(DuplicateNodeType, match="declared by both"):
        known.register(declare(type="test.source"))


def test_a_module_is_registered_with_all_it_declares() -> None:
    known = Catalogue()
    found = catalogue_module.register_package(workflow_nodes, into=known)
    assert {one.key for one in found} == {one.key for one in known}
    assert catalogue_module.register_package(declaration, into=known) == ()


def test_the_installation_registers_and_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_module, "INSTALLED", Catalogue())
    source = node_type_of(workflow_nodes.source)
    assert catalogue_module.register(source) is source
    assert catalogue_module.get("test.source") is source
    assert catalogue_module.all_types() == (source,)


def test_types_of_another_module_are_not_declared_here() -> None:
    here = types.ModuleType("somewhere")
    here.source = workflow_nodes.source  # type: ignore[attr-defined]
    assert declared_in(here) == ()


def test_a_missing_extra_is_known_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_module, "_extras", dict(catalogue_module._extras))
    assert catalogue_module.missing_extra(node_type_of(workflow_nodes.source)) is None
    merged = node_type_of(workflow_nodes.merge)
    assert catalogue_module.missing_extra(merged) == "unheard-of"
    catalogue_module.declare_extra("unheard-of", modules=("json",))
    assert catalogue_module.extra_modules("unheard-of") == ("json",)
    assert catalogue_module.extra_modules(None) == ()
    assert catalogue_module.missing_extra(merged) is None
    catalogue_module.declare_extra("unheard-of", modules=("json", "no_such_module"))
    assert catalogue_module.missing_extra(merged) == "unheard-of"


class Entry:
    """An entry point as importlib.metadata gives it."""

    def __init__(self, name: str, found: Any) -> None:
        self.name = name
        self._found = found

    def load(self) -> Any:
        """The package, or what its import raised."""
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def test_a_broken_package_of_strangers_stops_nobody() -> None:
    known = Catalogue()
    entries: Any = [Entry("bad", ImportError("no such thing")), Entry("good", workflow_nodes)]
    failures = catalogue_module.load_entry_points(into=known, found=lambda: entries)
    assert [(one.entry_point, one.reason) for one in failures] == [
        ("bad", "ImportError: no such thing")
    ]
    assert known.get("test.source") is not None


def test_no_entry_points_no_failures() -> None:
    assert catalogue_module.load_entry_points(into=Catalogue()) == ()


def test_parameters_are_frozen() -> None:
    class Own(NodeParameters):
        """One field."""

        a: int = 1

    with pytest.raises(ValidationError):
        Own().a = 2  # type: ignore[misc]
