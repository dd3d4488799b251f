"""The engine's README leads through the files: those it names are there, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path

ENGINE = Path("apps/executions/engine")
README = (ENGINE / "README.md").read_text()
NAMED = frozenset(re.findall(r"`([^`\s]+)`", README))


def test_every_module_of_the_engine_is_in_the_table() -> None:
    modules = {path.name for path in ENGINE.glob("*.py")} - {"__init__.py"}
    assert modules - NAMED == set()


def test_every_file_it_names_is_there() -> None:
    files = {path.name for top in ("apps", "tests") for path in Path(top).rglob("*.py")}
    named = {name.rpartition("/")[2] for name in NAMED if name.endswith(".py")}
    assert named - files == set()


def test_every_sql_function_it_names_is_there() -> None:
    written = "\n".join(path.read_text() for path in Path("apps/executions/sql").rglob("*.sql"))
    made = re.findall(r"(?:FUNCTION|PROCEDURE) (\w+)_\d+\(", written)
    named = {name for name in NAMED if re.fullmatch(r"(engine|executions)_\w+", name)}
    assert named
    assert named - set(made) == set()
