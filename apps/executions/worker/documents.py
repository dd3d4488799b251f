"""Where a worker finds the frozen document of a claimed run."""

from __future__ import annotations

import psycopg
from django.db import InterfaceError, OperationalError, connection

from apps.executions.engine.plan import PlanRefused
from apps.executions.engine.slice_ports import Claim
from apps.tenancy import scope
from apps.versions.models import WorkflowVersion
from apps.workflows.graph.document import Document


def document_of(claim: Claim) -> Document:
    """The run's version, read in its tenant's scope.

    Raises PlanRefused when it is gone, psycopg.OperationalError when the database does not answer.
    """
    try:
        with scope.tenant(claim.tenant_id):
            found = WorkflowVersion.objects.filter(pk=claim.version_id)
            version: WorkflowVersion | None = found.first()
    except (OperationalError, InterfaceError) as error:
        raise psycopg.OperationalError(str(error)) from error
    finally:
        connection.close()  # A slice's thread must not keep one: it has its own.
    if version is None:
        message = "The version of this run is gone; start a new run of a version that exists."
        raise PlanRefused("VERSION_GONE", message)
    return version.graph
