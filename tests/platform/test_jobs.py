"""Periodic jobs: a declaration that no process imports would never run."""

from __future__ import annotations

import ast

from apps.tenancy import periodic
from config.env import ROOT


def _declared_in_sources() -> set[str]:
    found = set()
    for path in (ROOT / "apps").glob("*/jobs.py"):
        module = f"apps.{path.parent.name}.jobs"
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                "periodic.every" in ast.unparse(decorator) for decorator in node.decorator_list
            ):
                found.add(f"{module}.{node.name}")
    return found


def test_every_periodic_job_is_known_to_the_process_that_starts_them() -> None:
    assert _declared_in_sources() == {job.name for job in periodic.declared()}
    assert "apps.tenancy.jobs.seal_audit_chains" in _declared_in_sources()
