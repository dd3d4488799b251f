"""An app writes its own rows only: another's are written by that app's actions."""

from __future__ import annotations

import ast

from tests.architecture import source

WRITES = {
    "create",
    "bulk_create",
    "update",
    "bulk_update",
    "delete",
    "get_or_create",
    "update_or_create",
}
# A manager, or a QuerySet that grew out of one.
MANAGERS = {"objects", "unscoped"}


def _foreign_models(tree: ast.Module, own: str) -> set[str]:
    """Names bound to models of another app."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if node.module.startswith("apps.")
        and node.module.split(".")[2:3] == ["models"]
        and node.module.split(".")[1] != own
    }


def _written(call: ast.Call) -> str | None:
    """The model at the root of `Model.objects.….create(…)`; None for any other call."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr in WRITES):
        return None
    passed_manager = False
    part: ast.expr = call.func.value
    while True:
        match part:
            case ast.Call(func=inner):
                part = inner
            case ast.Attribute(value=inner, attr=name):
                passed_manager |= name in MANAGERS
                part = inner
            case ast.Name(id=name):
                return name if passed_manager else None
            case _:
                return None


def writes_elsewhere(tree: ast.Module, own: str) -> list[int]:
    """Lines on which a module of app `own` writes another app's rows."""
    foreign = _foreign_models(tree, own)
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _written(node) in foreign
    ]


def test_no_app_writes_anothers_rows() -> None:
    found = [
        f"{source.name(path)}:{line}"
        for path in source.modules("apps")
        for line in writes_elsewhere(source.tree(path), path.relative_to(source.ROOT).parts[1])
    ]
    assert found == []


def test_the_rule_catches_a_write() -> None:
    tree = ast.parse(
        "from apps.tenancy.models import Limit\nLimit.objects.filter(used=0).update(used=1)\n"
    )
    assert writes_elsewhere(tree, "billing") == [2]
    assert writes_elsewhere(tree, "tenancy") == []
