"""Tests that need a kernel which confines; on others the refusal is what is tested."""

from __future__ import annotations

import pytest

from apps.executions.runner.process import lockdown

PROBLEM = lockdown.problem()
needs_walls = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
