"""What the import linter cannot see: names, sizes, hidden imports, foreign keys that point up."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import models

from tests.architecture import source

FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "core", "services", "selectors"}
# Django's convention for settings shared by all modes.
NAMED_BY_DJANGO = {"config/settings/base.py"}
MAX_FILE = 400
MAX_FUNCTION = 60
COLUMN = (
    "kit",
    "tenancy",
    "vault",
    "artifacts",
    "billing",
    "workflows",
    "versions",
    "security_scan",
    "executions",
    "nodes",
    "marketplace",
)


def test_no_module_is_a_drawer() -> None:
    drawers = [
        source.name(path)
        for path in source.modules()
        if path.stem in FORBIDDEN_NAMES and source.name(path) not in NAMED_BY_DJANGO
    ]
    assert drawers == []


def test_files_and_functions_are_small() -> None:
    too_long = []
    for path in source.modules("apps", "config", "bench", "tests"):
        lines = len(path.read_text().splitlines())
        if lines > MAX_FILE:
            too_long.append(f"{source.name(path)}: {lines} lines")
        for node in ast.walk(source.tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION:
                    too_long.append(f"{source.name(path)}:{node.lineno} {node.name}: {length}")
    assert too_long == []


def test_every_module_says_what_it_knows() -> None:
    silent = [
        source.name(path)
        for path in source.modules()
        if path.stat().st_size and ast.get_docstring(source.tree(path)) is None
    ]
    assert silent == []


def test_imports_stand_at_the_top() -> None:
    """But in `ready`, and in nodes, whose heavy libraries load on first execution."""
    hidden = []
    for path in source.modules():
        if path.parts[-3:-1] == ("nodes",) or "nodes" in path.parts or path.name == "apps.py":
            continue
        for function in _functions(source.tree(path)):
            hidden += [
                f"{source.name(path)}:{node.lineno}"
                for node in ast.walk(function)
                if isinstance(node, ast.Import | ast.ImportFrom)
            ]
    assert hidden == []


def test_no_app_reaches_another_by_name() -> None:
    """`get_model` would be an import the linter cannot see."""
    found = [
        f"{source.name(path)}:{node.lineno}"
        for path in source.modules("apps")
        for node in ast.walk(source.tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr == "get_model"
        and source.name(path) != "apps/tenancy/operations.py"  # a migration's historical state
    ]
    assert found == []


def _ours() -> list[type[models.Model]]:
    return [m for m in apps.get_models() if m.__module__.startswith("apps.")]


@pytest.mark.parametrize("model", _ours(), ids=lambda m: m._meta.label)
def test_foreign_keys_point_down(model: type[models.Model]) -> None:
    here = COLUMN.index(model._meta.app_label)
    for field in model._meta.get_fields():
        target = getattr(field, "related_model", None)
        if not (field.concrete and isinstance(target, type) and target in _ours()):
            continue
        assert COLUMN.index(target._meta.app_label) <= here, f"{field} points up"


def _functions(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
