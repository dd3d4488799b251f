"""The end of a map: what became of its items, in the order of the index, as the step's outputs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Final, cast

from apps.executions.engine.mapping import MapProgress
from apps.executions.engine.ports import (
    StepDone,
    StepFailed,
    StepOutcome,
    StepStopped,
    StopReason,
    Usage,
)
from apps.executions.store.maps import ItemRow
from apps.executions.worker.maps.objects import Objects
from apps.kit.errors import Refusal
from apps.workflows.graph.mapping import LINES, Policy

PAGE: Final = 1_000
RESULTS_INLINE: Final = 24 * 1024
FAILED_INLINE: Final = 6 * 1024
IN_MEMORY: Final = 1 << 20

Read = Callable[[int, int], Sequence[ItemRow]]
"""Items from an index to before another."""


def gather(
    progress: MapProgress, read: Read, *, objects: Objects, is_stopping: Callable[[], bool]
) -> StepOutcome:
    """Reads page by page; what is large becomes an object of lines, never a list in memory."""
    opening = progress.opening
    with _Values(RESULTS_INLINE) as results, _Values(FAILED_INLINE) as failed:
        done = 0
        for row in _rows(read, opening.total):
            if is_stopping():
                return StepStopped(reason=StopReason.CANCELED)
            if row.state == "done":
                done += 1
                results.add(row.output)
                continue
            failed.add({"index": row.idx, **(row.error or {})})
            if opening.policy is not Policy.COLLECT:
                results.add(None)
        try:
            outputs: dict[str, Any] = {
                "results": results.value(objects),
                "summary": {
                    "total": opening.total,
                    "done": done,
                    "failed": opening.total - done,
                },
            }
            if failed.count:
                outputs["failed"] = failed.value(objects)
        except Refusal as refusal:
            return StepFailed(code=str(refusal.code), message=refusal.message)
        stored = results.stored + failed.stored
        return StepDone(outputs=outputs, usage=Usage(bytes_out=stored))


def _rows(read: Read, total: int) -> Iterator[ItemRow]:
    for low in range(0, total, PAGE):
        yield from read(low, min(low + PAGE, total))


class _Values:
    """JSON values, one a line: in memory, then in a file, at the end inline or stored."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self.count = 0
        self.stored = 0
        self._bytes = 0

    def __enter__(self) -> _Values:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, value: Any) -> None:
        """One more."""
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._file.write(line)
        self._bytes += len(line)
        self.count += 1

    def value(self, objects: Objects) -> Any:
        """A list, or a reference to lines. Raises Refusal when the quota is used up."""
        self._file.seek(0)
        if self._bytes <= self._limit:
            return [json.loads(line) for line in self._file]
        reference = objects.put(cast("BinaryIO", self._file), media_type=LINES)
        self.stored = reference.bytes
        return {**reference.to_json(), "schema": {"rows": self.count}}
