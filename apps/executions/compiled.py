"""What starting a run needs of a version, worked out once per process: versions never change."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from apps.executions import needs
from apps.executions.engine.plan import Plan, PlanRefused, compile_plan
from apps.executions.errors import RunRefused
from apps.versions.models import WorkflowVersion
from apps.workflows.graph import catalogue
from apps.workflows.graph.document import Document

KEPT: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """One version as the engine will run it."""

    document: Document
    plan: Plan
    secrets: tuple[str, ...]
    """Names that its environment must hold."""


_lock = threading.Lock()
_kept: OrderedDict[tuple[uuid.UUID | None, uuid.UUID], Compiled] = OrderedDict()


def compiled_of(version: WorkflowVersion) -> Compiled:
    """Of a version that the caller may read. Raises RunRefused for what the engine does not run."""
    key = (version.tenant_id, version.pk)
    with _lock:
        held = _kept.get(key)
        if held is not None:
            _kept.move_to_end(key)
            return held
    document = version.graph
    made = Compiled(document=document, plan=_plan(document), secrets=needs.secret_names(document))
    with _lock:
        _kept[key] = made
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return made


def _plan(document: Document) -> Plan:
    try:
        return compile_plan(document, catalogue.INSTALLED)
    except PlanRefused as error:
        path = ("document", error.node_id) if error.node_id else ("document",)
        raise RunRefused(error.code, str(error), path=path) from error
