"""What thinks needs no framework, and every line and branch of it is walked by tests that think."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.architecture.source import ROOT
from tests.examples import EXAMPLES

PURE = ("apps/executions/engine", "apps/workflows/graph")
WALKED_BY = ("tests/engine", "tests/workflows")
NEEDS_ROWS = ("test_actions", "test_concurrency", "test_graphql")
"""Of those: tests of people's actions, not of thinking."""

_IMPORT_ALL = """
import importlib, pathlib, sys
for name in ("django", "psycopg", "redis", "dramatiq"):
    sys.modules[name] = None
for package in sys.argv[1:]:
    for path in sorted(pathlib.Path(package).rglob("*.py")):
        parts = path.with_suffix("").parts
        importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
"""


def test_thinking_imports_no_framework() -> None:
    subprocess.run([sys.executable, "-c", _IMPORT_ALL, *PURE], cwd=ROOT, check=True, timeout=60)


def test_every_branch_of_the_pure_packages_is_walked(tmp_path: Path) -> None:
    report = tmp_path / "coverage.json"
    environment = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider"),
            *(f"--cov={package}" for package in PURE),
            *("--cov-branch", f"--cov-report=json:{report}", "-x", *WALKED_BY),
            *(f"--ignore=tests/workflows/{name}.py" for name in NEEDS_ROWS),
        ],
        check=False,
        cwd=ROOT,
        env={**environment, "COVERAGE_FILE": str(tmp_path / "data"), EXAMPLES: "20"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    files = json.loads(report.read_text())["files"]
    assert len(files) > 30
    missed = {
        name: (found["missing_lines"], found["missing_branches"])
        for name, found in files.items()
        if found["missing_lines"] or found["missing_branches"]
    }
    assert missed == {}
