"""The import contracts, as a test, so that a failing build names the arrow."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator

from tests.architecture import source

EDGES = {"tasks", "jobs", "reactions", "admin", "views", "urls", "store", "live"}
GRAPHQL_EDGES = {"mutations", "queries", "subscriptions"}
PURE = next(
    contract["source_modules"]
    for contract in tomllib.loads((source.ROOT / "pyproject.toml").read_text())["tool"][
        "importlinter"
    ]["contracts"]
    if contract["id"] == "pure"
)


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as m; m()"],
        cwd=source.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_pure_packages_load_without_a_framework() -> None:
    """Each module of each package, in one process: the first that loads a framework is named."""
    script = (
        "import importlib, pkgutil, sys\n"
        "for name in sys.argv[1:]:\n"
        "    package = importlib.import_module(name)\n"
        "    parts = getattr(package, '__path__', [])\n"
        "    for found in pkgutil.walk_packages(parts, name + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "    loaded = {'django', 'strawberry', 'dramatiq', 'psycopg', 'redis'} & set(sys.modules)\n"
        "    if loaded:\n"
        "        sys.exit(f'{name} loaded {loaded}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *PURE],
        cwd=source.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_neighbors_edges_are_its_own() -> None:
    """What an app shows its neighbors is its actions, models, types, events and policies."""
    reached = []
    for path in source.modules("apps"):
        own = path.relative_to(source.ROOT).parts[1]
        for line, imported in _imported(source.tree(path)):
            parts = imported.split(".")
            if parts[0] != "apps" or len(parts) < 3 or parts[1] in {own, "kit"}:
                continue
            is_edge = parts[2] in EDGES
            is_graphql_edge = parts[2] == "graphql" and bool(GRAPHQL_EDGES & set(parts[3:4]))
            if is_edge or is_graphql_edge:
                reached.append(f"{source.name(path)}:{line} {imported}")
    assert reached == []


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=str(module), level=0):
                for alias in node.names:
                    yield node.lineno, f"{module}.{alias.name}"
            case _:
                pass
