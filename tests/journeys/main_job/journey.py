"""What the chapters of the journey share: the product, its callers, and what was made so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.journeys.main_job.api import Client
from tests.journeys.main_job.ledger import Ledger
from tests.journeys.main_job.product import Product
from tests.journeys.main_job.sink import Sink

T = TypeVar("T")
PATIENCE_SECONDS = 90.0


@dataclass
class Journey:
    """One run of the main job."""

    product: Product
    ledger: Ledger
    sink: Sink
    acme: Client
    globex: Client
    staff: Client
    # by name of the workflow: ids in the API's form
    workflows: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    listings: dict[str, str] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)
    executions: dict[str, str] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def begin(cls, product: Product, ledger: Ledger, sink: Sink) -> Iterator[Journey]:
        """With three callers: a key of Acme, a key of Globex, staff signed in."""
        with (
            Client.of(product, product.acme) as acme,
            Client.of(product, product.globex) as globex,
            Client.staff(product) as staff,
        ):
            yield cls(
                product=product, ledger=ledger, sink=sink, acme=acme, globex=globex, staff=staff
            )


def payload(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The payload of a mutation, an empty one when it is null."""
    found: dict[str, Any] = data.get(name) or {}
    return found


def refusals(data: dict[str, Any], name: str) -> list[str]:
    """The codes of a mutation's errors."""
    return [error["code"] for error in payload(data, name).get("errors", [])]


def until(
    question: Callable[[], T], *, good: Callable[[T], bool], seconds: float = PATIENCE_SECONDS
) -> T:
    """Ask again until the answer is good or patience ends; the last answer."""
    deadline = time.monotonic() + seconds
    answer = question()
    while not good(answer) and time.monotonic() < deadline:
        time.sleep(0.2)
        answer = question()
    return answer
