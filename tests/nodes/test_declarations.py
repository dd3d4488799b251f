"""What every node type of the library keeps: its example works, and its declaration is true."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from apps.nodes import library
from apps.workflows.graph import catalogue
from apps.workflows.graph.declaration import NodeType, declared_in
from apps.workflows.graph.interface import interface_of
from tests.nodes.conftest import Bench, Receiver
from tests.nodes.doubles import step_call
from tests.nodes.examples import covers, readable, run_example

HEAVY = ("polars", "sklearn", "duckdb", "onnxruntime", "numpy", "pyarrow", "onnx", "skl2onnx")


def _own() -> list[NodeType]:
    library.load()
    return [one for one in catalogue.all_types() if one.handler.startswith("apps.nodes.")]


EVERY = pytest.mark.parametrize("node_type", _own(), ids=lambda one: one.type)


@EVERY
def test_the_example_works_as_it_says(
    node_type: NodeType, node_bench: Bench, receiver: Receiver
) -> None:
    outcome = run_example(node_type, node_bench, receiver)

    found = {port: readable(value, node_bench) for port, value in outcome.outputs.items()}
    assert covers(found, dict(node_type.example.outputs)), found
    ports = interface_of(step_call(node_type).node, node_type).outputs
    assert found.keys() <= ports.keys()
    missing = {
        name for name, port in ports.items() if port.required and not port.inner
    } - found.keys()
    assert not missing, "a port that may stay untaken is declared required=False"


@EVERY
def test_the_manual_is_a_page(node_type: NodeType) -> None:
    title, _, text = node_type.manual.partition("\n\n")

    assert title.endswith("."), title
    assert len(text) > 80


@EVERY
def test_the_schema_is_served_unmodified_and_takes_the_example(node_type: NodeType) -> None:
    schema = node_type.configuration_schema()

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(dict(node_type.example.parameters))), schema)
    assert schema["additionalProperties"] is False
    # A field whose title is that of its enumeration is served as a mere reference to it.
    fields = schema.get("properties", {}).values()
    assert all("title" in one or "$ref" in one for one in fields)


@EVERY
def test_the_file_holds_one_type_and_has_its_name(node_type: NodeType) -> None:
    module = importlib.import_module(node_type.handler.partition(":")[0])

    assert declared_in(module) == (node_type,)
    family, _, name = node_type.type.partition(".")
    assert module.__name__ == f"apps.nodes.{family}.{name}{'_' if name == 'if' else ''}"


@EVERY
def test_what_uses_an_extra_runs_in_a_process_of_its_own(node_type: NodeType) -> None:
    assert (node_type.extra is not None) is (node_type.isolation.value == "process")


def test_reading_the_catalogue_loads_no_library() -> None:
    script = (
        "import sys\n"
        "from apps.nodes import library\n"
        "from apps.workflows.graph import catalogue\n"
        "assert not library.load() and len(catalogue.all_types()) >= 14\n"
        "[one.configuration_schema() for one in catalogue.all_types()]\n"
        f"print([name for name in {(*HEAVY, 'django')!r} if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )

    assert ran.stdout.strip() == "[]", ran.stderr


def test_starting_the_application_loads_no_library() -> None:
    script = (
        "import sys, django\n"
        "django.setup()\n"
        "from apps.workflows.graph import catalogue\n"
        "assert catalogue.get('ml.train') is not None\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )

    assert ran.stdout.strip().endswith("[]"), ran.stderr[-2000:]


def test_the_library_is_as_large_as_the_readme_says() -> None:
    text = Path(library.__file__).with_name("README.md").read_text(encoding="utf-8")

    assert all(f"`{one.type}`" in text for one in _own())
