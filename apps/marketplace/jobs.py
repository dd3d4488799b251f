"""The periodic platform jobs of the marketplace; each derives its work from the rows."""

from __future__ import annotations

import datetime as dt

from apps.marketplace import search_index
from apps.marketplace.actions import fold_statistics
from apps.tenancy import periodic, scope
from apps.tenancy.actors import Actor


@periodic.every(dt.timedelta(minutes=1))
def refresh_statistics() -> None:
    """Fold first successful runs into the counts that everybody sees."""
    with scope.platform(actor=Actor.system(None, "marketplace statistics")):
        fold_statistics()


@periodic.every(dt.timedelta(hours=1))
def refresh_words() -> None:
    """Make the words of spelling suggestions agree with the listings."""
    with scope.platform(actor=Actor.system(None, "marketplace search")):
        search_index.recount_words()
