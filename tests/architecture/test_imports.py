"""The import contracts, as a test, so that a failing build names the arrow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture import source

PURE = ("apps.executions.engine", "apps.workflows.graph", "apps.security_scan.scanner")


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


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_load_without_a_framework(package: str) -> None:
    """Each module of the package, in a process of its own."""
    script = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module({package!r})\n"
        "for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(found.name)\n"
        "loaded = {'django', 'strawberry', 'dramatiq', 'psycopg', 'redis'} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=source.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
