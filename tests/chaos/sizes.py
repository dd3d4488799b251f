"""The storms whose size is written down: what ten minutes have no room for, a soak begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.chaos import mix
from tests.chaos.items import said
from tests.chaos.mix import Shape
from tests.chaos.monkeys import killer, postgres_monkey, redis_monkey, stopper
from tests.factories.graphs import raw, to

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign

RUNS: Final = 2_000
ITEMS: Final = 100_000
GONE_SECONDS: Final = 120.0
LASTING: Final = GONE_SECONDS + 30
"""So long runs are started: Redis is gone, then emptied some times."""
SELDOM: Final = 2.0


def play(campaign: Campaign) -> None:
    """All of them, or those that were named; `scale` makes them smaller."""
    seed, servers, scale = campaign.seed, campaign.servers, campaign.scale
    campaign.blow(
        "sizes: mixed runs, kills, stops",
        RUNS,
        lambda crew: [killer(crew, seed), stopper(crew, seed)],
    )
    campaign.blow(
        "sizes: Redis gone for two minutes, then emptied, kills",
        RUNS // 2,
        lambda crew: [
            killer(crew, seed),
            redis_monkey(crew, servers, down=GONE_SECONDS * scale),
        ],
        bell=True,
        lasting=LASTING * scale,
    )
    campaign.blow(
        "sizes: PostgreSQL restarted, kills",
        RUNS // 2,
        lambda crew: [killer(crew, seed), postgres_monkey(crew, servers, seed)],
        lasting=LASTING * scale / 2,
    )
    campaign.blow(
        "sizes: a map of very many items, kills",
        1,
        lambda crew: [killer(crew, seed, every=SELDOM)],
        draw=lambda _chance: mapped(max(100, round(ITEMS * scale))),
        least=1,
    )


def mapped(count: int) -> Shape:
    """One map of the product over a list that is stored as an object."""
    settings: dict[str, Any] = {"max_concurrency": 32, "on_item_error": "collect"}
    nodes = [
        {"id": "numbers", "type": "chaos.numbers", "configuration": {"count": count}},
        {"id": "rows", "type": "control.map", "configuration": settings},
        said("one", "keyed", parentId="rows"),
        said("last", "keyed"),
    ]
    links = [
        to("numbers", "rows.items"),
        to("rows.item", "one"),
        to("one", "rows.result"),
        to("rows.results", "last"),
    ]
    called = frozenset({"last", *(f"rows[{at}]/one" for at in range(count))})
    return Shape(name="many items", document=raw(nodes, links), ends=mix.SUCCEEDED, called=called)
