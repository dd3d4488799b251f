"""Items by their index, out of an object of lines: opened once per process, read in pieces."""

from __future__ import annotations

import json
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, BinaryIO, Final
from uuid import UUID

from apps.executions.worker.maps.objects import Objects
from apps.workflows.graph.context import ArtifactRef

KEPT: Final = 4


class ItemsGone(Exception):
    """The object that holds the items cannot be read (any more)."""


class _Closed(Exception):
    """Another object took its place since it was looked up."""


class Lines:
    """One open object, and where each of its lines begins."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._starts = array("Q", _starts(stream))

    def read(self, low: int, high: int) -> list[Any]:
        """The values from `low` to before `high`; fewer where the lines end. Raises _Closed."""
        with self._lock:
            if self._stream.closed:
                raise _Closed
            found = []
            for start in self._starts[low:high]:
                self._stream.seek(start)
                found.append(json.loads(self._stream.readline()))
            return found

    def close(self) -> None:
        """Nobody reads any more."""
        with self._lock:
            self._stream.close()


class ItemSource:
    """The objects that chunks of this process read from; the least recently used is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[UUID, str], Lines] = OrderedDict()

    def read(self, items: Any, *, tenant_id: UUID, objects: Objects, span: range) -> list[Any]:
        """Items of a slice. Raises ItemsGone."""
        if isinstance(items, list):
            return items[span.start : span.stop]
        reference = ArtifactRef.from_json(items)
        while True:
            try:
                values = self._lines(reference, tenant_id, objects).read(span.start, span.stop)
                break
            except _Closed:
                continue
            except ValueError as error:
                raise ItemsGone(f"The items cannot be read: {error}.") from error
        if len(values) != len(span):
            raise ItemsGone("There are fewer items than there were; start a new run.")
        return values

    def close(self) -> None:
        """At the end of the process."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _lines(self, reference: ArtifactRef, tenant_id: UUID, objects: Objects) -> Lines:
        key = (tenant_id, reference.digest)
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
            try:
                made = self._open[key] = Lines(objects.open(reference))
            except (LookupError, ValueError) as error:
                message = "The items do not exist any more; run the step before again."
                raise ItemsGone(message) from error
            while len(self._open) > KEPT:
                self._open.popitem(last=False)[1].close()
            return made


def _starts(stream: BinaryIO) -> Iterator[int]:
    at = 0
    for line in stream:
        if line.strip():
            yield at
        at += len(line)
