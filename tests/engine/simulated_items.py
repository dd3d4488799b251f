"""Items that are runs in the simulator's world: worlds of their own, looked after by a chunk."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apps.executions.engine.codec import encode
from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.mapping import Chunk, MapProgress
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.seeds import ItemGiven
from apps.executions.engine.slice_ports import Inbox, LeaseLost, Left
from apps.executions.engine.state import RunStatus
from tests.engine.doubles import Cut

if TYPE_CHECKING:
    from tests.engine.simulator import World

Place = tuple[str, int, int]
"""Path of the map, index, attempt."""


@dataclass
class ItemWorlds:
    """The runs of items, and what was told to them: what a database knows of both."""

    make: Callable[[int | None], World]
    """A world that dies at that point, if it does."""
    chance: random.Random
    runs: dict[Place, World] = field(default_factory=dict)
    told: dict[Place, str] = field(default_factory=dict)
    most: int = 0
    """How many were open at once."""

    def tend(self, above: World, chunk: Chunk) -> None:
        """One turn of a chunk: it looks, says what is to be said, and comes home or sleeps."""
        state = above.folded()
        index = state.step(chunk.path).index
        progress = state.records[index].mapping
        assert progress is not None
        mine = [(chunk.path, at, chunk.attempt) for at in range(chunk.low, chunk.high)]
        todo = [place for place in mine if not self._is_begun(above, place)]
        running = [place for place in mine if self._is_open(place)]
        is_over = state.is_stopping or index not in state.mapping or progress.is_over
        word = "cancel" if is_over else "pause" if state.is_paused else "resume"
        for place in running:
            self._tell(place, word)
        if word == "resume":
            for place in todo[: progress.opening.slots - len(running)]:
                self._begin(above, place, progress)
        for place in [one for one in mine if self._is_open(one)]:
            self._move(above, place)
        self.most = max(self.most, sum(map(self._is_open, self.runs)))
        left = [place for place in mine if not self._is_begun(above, place)]
        if not any(map(self._is_open, mine)) and (is_over or not left):
            above.maps.end(chunk, above.say, stopped=bool(left))

    def _is_begun(self, above: World, place: Place) -> bool:
        path, index, attempt = place
        known = above.maps.items.get((path, index))
        return place in self.runs or (known is not None and (known[1] or known[0] == attempt))

    def _is_open(self, place: Place) -> bool:
        run = self.runs.get(place)
        return run is not None and not run.folded().status.is_terminal

    def _begin(self, above: World, place: Place, progress: MapProgress) -> None:
        path, index, attempt = place
        seed = ItemGiven(
            path=path,
            attempt=attempt,
            run_id="above",
            head=len(above.rows),
            index=index,
            item=progress.opening.items[index],
            scope=f"{path}[{index}]/",
        )
        world = self.runs[place] = self.make(self.chance.choice([None, self.chance.randint(1, 8)]))
        world.rows.append(encode(seed))
        above.maps.runs[place] += 1

    def _tell(self, place: Place, word: str) -> None:
        if self.told.get(place, "resume") == word:
            return
        self.told[place] = word
        is_cancel = word == "cancel"
        pause = None if is_cancel else PauseRequest(is_wanted=word == "pause")
        cancel = CancelRequest() if is_cancel else None
        self.runs[place].mail.append(Inbox(cancel=cancel, pause=pause))

    def _move(self, above: World, place: Place) -> None:
        """One turn of an item's run; its end is what becomes of the item, at the same instant."""
        world = self.runs[place]
        try:
            outcome = world.slice()
        except (Cut, LeaseLost):
            world.cut_at = None
            self.told[place] = ""  # Whatever it had read is to be said again.
            return
        state = world.folded()
        if outcome.left is Left.PARKED and (due_at := state.due_at(after=None)) is not None:
            world.now = max(world.now, due_at)
        if state.status.is_terminal:
            path, index, attempt = place
            good = state.status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL)
            above.maps.items[path, index] = (attempt, good)
