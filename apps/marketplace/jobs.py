"""The platform jobs of the marketplace; each derives its work from the rows."""

from __future__ import annotations

import datetime as dt

import django_rq
from rq.exceptions import DuplicateJobError
from rq.job import JobStatus

from apps.marketplace import search_index
from apps.marketplace.actions import fold_statistics
from apps.tenancy import periodic, scope
from apps.tenancy.actors import Actor

FOLDING = ("marketplace-statistics", "marketplace-statistics-again")
"""The ids of the job that folds when it is rung for: one that waits, one behind it."""


@periodic.every(dt.timedelta(minutes=1))
def refresh_statistics() -> None:
    """Fold first successful runs into the counts that everybody sees."""
    with scope.platform(actor=Actor.system(None, "marketplace statistics")):
        fold_statistics()


def refresh_statistics_soon() -> None:
    """Fold now, once for all who ask while it waits; the periodic job makes good what is lost.

    A job that runs already may have read before the asker's rows were committed: then another
    waits behind it.
    """
    queue = django_rq.get_queue("default")
    for name in FOLDING:
        try:
            queue.enqueue(refresh_statistics, job_id=name, unique=True, result_ttl=0, failure_ttl=1)
        except DuplicateJobError:
            waiting = queue.fetch_job(name)
            if waiting is not None and waiting.get_status() == JobStatus.STARTED:
                continue
        return


@periodic.every(dt.timedelta(hours=1))
def refresh_words() -> None:
    """Make the words of spelling suggestions agree with the listings."""
    with scope.platform(actor=Actor.system(None, "marketplace search")):
        search_index.recount_words()
