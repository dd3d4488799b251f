"""Documents and scripts of failures that call others."""

from __future__ import annotations

from typing import Any

from tests.engine.cases import failing, statuses
from tests.engine.simulator import Script, World, echo
from tests.factories.graphs import a, to


def fallback(node: str, **match: Any) -> list[dict[str, Any]]:
    return [{"match": match, "do": "fallback", "with": {"node": node}}]


def undo(then: str | None = None, **match: Any) -> list[dict[str, Any]]:
    return [{"match": match, "do": "compensate", "with": {"then": then} if then else {}}]


def scripts(**by_path: Script) -> Script:
    """By the last part of the path; the others echo."""
    return lambda call: by_path.get(call.path.rpartition("/")[2], echo)(call)


def no(code: str = "NO", **fields: Any) -> Script:
    return failing(code, **fields)


def status(world: World, path: str) -> str:
    return statuses(world)[path]


SHOP = [
    a("order", "keyed", compensation="withdraw"),
    a("charge", "keyed", compensation="refund", retry={"maxAttempts": 2, "backoffSeconds": 0}),
    a("reserve", "keyed", onError=undo()),
    a("withdraw", "keyed"),
    a("refund", "keyed", retry={"maxAttempts": 3, "backoffSeconds": 0}),
]
LINKS = [to("order", "charge"), to("charge", "reserve")]
