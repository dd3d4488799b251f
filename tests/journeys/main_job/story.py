"""The chapters in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.journeys.main_job import (
    installing,
    killing,
    limits,
    product,
    publishing,
    refusing,
    running,
    trails,
)
from tests.journeys.main_job.api import ApiError
from tests.journeys.main_job.journey import Journey
from tests.journeys.main_job.ledger import ExpectationMissed, Ledger
from tests.journeys.main_job.sink import Sink

Chapter = tuple[str, Callable[[Journey], None]]

CHAPTERS: tuple[Chapter, ...] = (
    ("Acme draws two workflows", publishing.draw),
    ("Acme publishes, the scan judges", publishing.publish),
    ("Staff approve", publishing.approve),
    ("Globex searches", installing.search),
    ("Globex installs", installing.install),
    ("Globex runs, live", running.run),
    ("A worker is killed in the middle of a run", killing.kill),
    ("Bad input is refused by name", refusing.refuse),
    ("What is missing or used up is refused", limits.withhold),
    ("Usage and audit", trails.ledgers),
    ("Nobody sees another's rows", trails.isolation),
    ("Downloads are counted", trails.downloads),
)


def tell(*, quiet: bool = False, chapters: Sequence[Chapter] = CHAPTERS) -> Ledger:
    """The main job from start to stop; what was expected and seen."""
    ledger = Ledger(quiet=quiet)
    with Sink(slowness_seconds=0.05).serving() as sink:
        environment = {"NSTARX_EGRESS_ALLOW": f"127.0.0.1:{sink.port}"}
        with product.running(environment=environment, quiet=quiet) as started:
            try:
                with Journey.begin(started, ledger, sink) as journey:
                    for title, chapter in chapters:
                        with ledger.chapter(title):
                            chapter(journey)
            except ExpectationMissed:
                pass  # it is in the ledger
            except ApiError as error:
                ledger.expect("The API answers without errors", False, error)
    return ledger
