"""An HTTP answer as a node gets it, in the worker and in a step's own process."""

from __future__ import annotations

import json as jsons
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.workflows.graph.context import NodeError


@dataclass(frozen=True)
class Answer:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body as JSON; NodeError HTTP_NOT_JSON when it is none."""
        try:
            return jsons.loads(self.content)
        except (ValueError, RecursionError):
            raise NodeError("HTTP_NOT_JSON", "The answer is not JSON.") from None
