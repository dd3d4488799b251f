"""What a map node answers when it begins: its items, where they are, how they are worked on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

MAX_ITEMS: Final = 1_000_000
MAX_CHUNK: Final = 1_000
CHUNK_SIZE: Final = 250
MAX_OPEN: Final = 32
"""Chunks of one map that exist as work at once."""
MAX_SLOTS: Final = 16
"""Items that one chunk works on at once."""
LINES: Final = "application/x-ndjson"
"""Media type of items and results: one JSON value a line, in the order of the index."""


class Policy(StrEnum):
    """What becomes of a map when an item fails."""

    FAIL_FAST = "failFast"
    CONTINUE = "continue"
    COLLECT = "collect"


@dataclass(frozen=True, kw_only=True, slots=True)
class MapOpening:
    """A map that begins; `items` is a list, or a reference to lines.

    `tolerated` is how many items may fail before the map fails; None for all of them.
    """

    total: int
    items: Any
    chunk_size: int = CHUNK_SIZE
    concurrency: int = 8
    policy: Policy = Policy.FAIL_FAST
    tolerated: int | None = 0
    parks: bool = False
    """What is in its body may wait: each item is a run of its own. The engine's to say."""

    @property
    def chunks(self) -> int:
        """How many slices there are."""
        return -(-self.total // self.chunk_size)

    @property
    def most_open(self) -> int:
        """How many slices are handed out at once."""
        return max(1, min(MAX_OPEN, self.concurrency, self.chunks))

    @property
    def slots(self) -> int:
        """How many items one slice works on at once."""
        return min(MAX_SLOTS, self.chunk_size, math.ceil(self.concurrency / self.most_open))

    def span(self, chunk: int) -> tuple[int, int]:
        """The first index of a slice, and the one after its last."""
        low = chunk * self.chunk_size
        return low, min(low + self.chunk_size, self.total)

    def bears(self, failed: int) -> bool:
        """Whether the map goes on after so many failures."""
        return self.tolerated is None or failed <= self.tolerated

    def to_json(self) -> dict[str, Any]:
        """As history keeps it."""
        return {
            "total": self.total,
            "items": self.items,
            "chunkSize": self.chunk_size,
            "concurrency": self.concurrency,
            "policy": self.policy.value,
            "tolerated": self.tolerated,
            **({"parks": True} if self.parks else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MapOpening:
        """The reverse of `to_json`."""
        return cls(
            total=value["total"],
            items=value["items"],
            chunk_size=value["chunkSize"],
            concurrency=value["concurrency"],
            policy=Policy(value["policy"]),
            tolerated=value["tolerated"],
            parks=value.get("parks", False),
        )
