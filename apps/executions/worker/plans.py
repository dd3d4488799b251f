"""Compiled plans by version: immutable, so loaded once per process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from apps.executions.engine.plan import Plan, PlanRefused, compile_plan
from apps.executions.engine.slice_ports import Claim
from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.graph.document import Document, DocumentInvalid

PLANS_KEPT: Final = 256
DocumentSource = Callable[[Claim], Document]
"""The frozen document of the claimed run's version.

May raise DocumentInvalid, PlanRefused, and psycopg.OperationalError, after which it is asked again.
"""


class Plans:
    """The least recently used go when there are too many."""

    def __init__(self, documents: DocumentSource, catalogue: Catalogue) -> None:
        self._documents = documents
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._plans: OrderedDict[tuple[UUID, UUID], Plan] = OrderedDict()

    def of(self, claim: Claim) -> Plan:
        """The plan of a run's version. Raises PlanRefused, and LeaseLost without a database."""
        key = claim.tenant_id, claim.version_id
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key]
        try:
            plan = compile_plan(self._documents(claim), self._catalogue)
        except DocumentInvalid as error:
            raise PlanRefused("DOCUMENT_INVALID", str(error)) from error
        with self._lock:
            self._plans[key] = plan
            while len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)
        return plan
