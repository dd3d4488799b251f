"""Which artifacts runs refer to: in their history, their input and result, and cached results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from apps.executions.models import CachedResult, Run, RunEvent
from apps.tenancy import scope

_REFERENCE: Final = re.compile(r'"\$artifact": "(sha256:[0-9a-f]{64})"')
AT_ONCE: Final = 500


def artifacts_in_history() -> Iterator[str]:
    """Every digest that the tenant in force has in a run, read in parts."""
    with scope.transaction():
        for row in Run.objects.values_list("parameters", "variables", "result").iterator(AT_ONCE):
            yield from _digests(row)
        bodies = RunEvent.objects.filter(type="step.completed").values_list("body", flat=True)
        for body in bodies.iterator(AT_ONCE):
            yield from _digests(body)
        for kept in CachedResult.objects.values_list("outputs", flat=True).iterator(AT_ONCE):
            yield from _digests(kept)


def _digests(value: Any) -> Iterator[str]:
    yield from _REFERENCE.findall(json.dumps(value))
