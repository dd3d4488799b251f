"""Maps in the simulator's world: chunks that wait, items that are recorded once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from apps.executions.engine.map_rows import read_chunk, result_body
from apps.executions.engine.mapping import Chunk, ChunkCompleted, ChunkResult, MapProgress
from apps.executions.engine.ports import StepDone, StepOutcome, Usage
from apps.executions.engine.slice_ports import Change
from apps.workflows.graph.mapping import Policy

Say = Callable[[ChunkResult], None]


@dataclass
class MapBench:
    """What outlives workers: open chunks, items by path and index, how often each ran."""

    fails: Callable[[str, int, int], bool] = lambda _path, _index, _attempt: False
    """Whether an item fails: path, index, attempt of the map."""
    chunks: list[Chunk] = field(default_factory=list)
    items: dict[tuple[str, int], tuple[int, bool]] = field(default_factory=dict)
    runs: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    most_open: int = 0
    parks: bool = False
    """Items are runs of their own: a chunk that is called back is woken, and comes when they do."""
    woken: int = 0
    undone: list[tuple[str, int]] = field(default_factory=list)
    stuck: frozenset[int] = frozenset()
    """Items that cannot be undone."""
    is_strict: bool = True
    """A compensation that fails forbids to go on."""

    def take(self, change: Change, say: Say) -> None:
        """What an append hands out and calls back, in its transaction."""
        self.chunks += change.chunks
        self.most_open = max(self.most_open, len(self.chunks))
        called = [one for one in self.chunks if change.recall or one.path in change.recalls]
        self.woken += bool(called) and self.parks
        for chunk in () if self.parks else called:
            self.end(chunk, say, stopped=True)

    def work(self, chunk: Chunk, say: Say, *, fails_fast: bool) -> None:
        """A worker does the items that are not recorded yet."""
        for index in range(chunk.low, chunk.high):
            known = self.items.get((chunk.path, index))
            if known is not None and (known[1] or known[0] == chunk.attempt):
                continue
            self.runs[chunk.path, index, chunk.attempt] += 1
            good = not self.fails(chunk.path, index, chunk.attempt)
            self.items[chunk.path, index] = (chunk.attempt, good)
            if fails_fast and not good:
                self.end(chunk, say, stopped=True)
                return
        self.end(chunk, say, stopped=False)

    def undo(self, chunk: Chunk, say: Say) -> None:
        """A worker undoes what the items did, the last first."""
        missed = []
        for index in reversed(range(chunk.low, chunk.high)):
            if index in self.stuck:
                missed.append(f"{chunk.path}[{index}]/one")
            elif (chunk.path, index) in self.items:
                self.undone.append((chunk.path, index))
        self.chunks.remove(chunk)
        event = ChunkCompleted(
            path=chunk.path,
            attempt=chunk.attempt,
            chunk=chunk.chunk,
            done=0,
            failed=0,
            attempts=1,
            undoes=True,
            missed=tuple(missed),
            misses=len(missed),
            is_cut=bool(missed) and self.is_strict,
        )
        say(read_chunk(json.loads(result_body(event))))

    def end(self, chunk: Chunk, say: Say, *, stopped: bool) -> None:
        """The item goes and the counts come, through their JSON."""
        self.chunks.remove(chunk)
        found = [self.items.get((chunk.path, index)) for index in range(chunk.low, chunk.high)]
        failed = [place for place, one in enumerate(found) if one is not None and not one[1]]
        event = ChunkCompleted(
            path=chunk.path,
            attempt=chunk.attempt,
            chunk=chunk.chunk,
            done=sum(one is not None and one[1] for one in found),
            failed=len(failed),
            attempts=len(found),
            stopped=stopped,
            failure={"index": chunk.low + failed[0], "code": "NO", "message": "no"}
            if failed
            else None,
            usage=Usage(cpu_seconds=0.5),
        )
        say(read_chunk(json.loads(result_body(event))))

    def gathered(self, path: str, progress: MapProgress) -> StepOutcome:
        """The results, in order."""
        total = progress.opening.total
        results = [index for index in range(total) if self.items[path, index][1]]
        return StepDone(outputs={"value": list(results)})


def fails_fast(progress: MapProgress | None) -> bool:
    """Whether the first failure ends the map."""
    return progress is not None and progress.opening.policy is Policy.FAIL_FAST
