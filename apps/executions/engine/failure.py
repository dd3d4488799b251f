"""Why an attempt or a run failed, as it is recorded and shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.executions.engine.storable import DETAILS_LIMIT, Unstorable, clean_text, dumps
from apps.workflows.graph.declaration import Json


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt or a run failed; `code` is stable, `message` may be shown."""

    code: str
    message: str
    path: str | None = None
    attempt: int | None = None
    details: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """As it leaves by the error port and stands in `run.error`: plain JSON, cut to size."""
        value: dict[str, Json] = {"code": self.code[:64], "message": clean_text(self.message)}
        if self.path is not None:
            value["nodeId"] = self.path
        if self.attempt is not None:
            value["attempt"] = self.attempt
        if self.details:
            try:
                text = dumps(self.details, limit=DETAILS_LIMIT)
            except Unstorable:
                return value
            value["details"] = json.loads(text)
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Failure:
        """The reverse of `to_json`."""
        return cls(
            code=value["code"],
            message=value["message"],
            path=value.get("nodeId"),
            attempt=value.get("attempt"),
            details=value.get("details", {}),
        )
