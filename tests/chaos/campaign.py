"""What the long commands do, one row of the table after the other."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeAlias

from apps.kit.ids import uuid7
from config.supervisor.backends import Backends
from tests.chaos import house, mix, nursery, sink, sizes
from tests.chaos.asking import ask
from tests.chaos.cells import Cell, Story, every_cell
from tests.chaos.checks import CHECKS, connected
from tests.chaos.families import Families
from tests.chaos.matrix import Matrix
from tests.chaos.mix import Shape
from tests.chaos.monkeys import (
    Crew,
    Monkey,
    killer,
    postgres_monkey,
    redis_monkey,
    stopper,
)
from tests.chaos.mutants import Mutant, applied
from tests.chaos.storm import KINDS, Storm, emptied, taught
from tests.chaos.strikes import Action, Blow
from tests.chaos.table import Table, spread
from tests.factories import tenancy
from tests.factories.tenancy import Tenant

Weather: TypeAlias = Callable[[Crew], Sequence[Monkey]]
CROWD = 500
SEEN_SECONDS = 2.0
"""By when others have what a dead worker held, if its parent saw it die."""
DEAD_TUPLES = 50_000
TABLE_BYTES = 200 << 20
GROWTH = 1.5
"""What a worker may grow to, beside its size after some rounds."""
SETTLED_ROUNDS = 3

# Caught by real processes, too: the cell that leads to the fault.
_SEEN_BY = {
    Mutant.NO_FENCE: Cell(
        blows=(Blow(point="append.begun", action=Action.STOP, nth=2),),
        story=Story.EFFECTS,
        fenced=True,
    ),
    Mutant.TASKS_LATER: Cell(
        blows=(Blow(point="append.committed", action=Action.KILL, nth=2),), story=Story.TASKS
    ),
    Mutant.UNKNOWN_WORKERS_SPARED: Cell(
        blows=(Blow(point="step.begun", action=Action.KILL, nth=2),),
        story=Story.EFFECTS,
        forgotten=True,
    ),
}


class Campaign:
    """One sink and one nursery for everything; `verdict` when all has been said."""

    def __init__(self, servers: Backends, *, seed: str, scale: float, only: str) -> None:
        self.servers = servers
        self.seed = seed
        self.scale = scale
        self.only = only
        self.table = Table()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.table.say(f"seed {self.seed}; a lease is {nursery.LEASE:g} s, recovery is due in"
                       f" {nursery.LEASE + 2:g} s")  # fmt: skip
        self.receiver = self._stack.enter_context(sink.opened())
        self.workers = self._stack.enter_context(nursery.opened(self.receiver))
        self.tenants = [tenancy.tenant(f"storm-{number}") for number in range(3)]
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def verdict(self) -> int:
        """The exit code."""
        self.table.say(f"{len(self.table.violations)} violations")
        return 1 if self.table.violations else 0

    # --- cells

    def matrix(self) -> None:
        """Every cell, or those that were named."""
        cells = [cell for cell in every_cell() if self.only in cell.name]
        played = Matrix(tenancy.tenant("matrix"), self.receiver, self.workers)
        for case in played.play(cells):
            self.table.row(
                case.cell.name,
                runs=len(case.runs),
                kills=sum(blow.action is Action.KILL for blow in case.cell.blows),
                fenced=case.fenced,
                recoveries=[case.recovered_after] if case.recovered_after else [],
                violations=case.violations,
            )

    def mutants(self) -> None:
        """Each must be caught: by its check, and by a cell where a cell leads to it."""
        for mutant in Mutant:
            if self.only not in mutant:
                continue
            with applied(mutant), connected() as connection:
                caught = list(CHECKS[mutant](tenancy.tenant(f"check-{mutant}"), connection))
            cell = _SEEN_BY.get(mutant)
            seen = self._seen(mutant, cell) if cell else "-"
            missed = [] if caught and seen else [f"{mutant} lives"]
            self.table.row(f"mutant {mutant}", runs=1, violations=missed)
            self.table.say(f"    check: {caught}; cell: {seen}")

    def _seen(self, mutant: Mutant, cell: Cell) -> str:
        """What real processes violate under the mutant."""
        with emptied(self.servers), applied(mutant):
            tenant = tenancy.tenant(f"cell-{mutant}")
            played = Matrix(tenant, self.receiver, self.workers, seconds=15.0, mutant=mutant)
            return "; ".join(one[:120] for case in played.play([cell]) for one in case.violations)

    # --- storms

    def storms(self) -> None:
        """Every kind of weather."""
        seed, servers = self.seed, self.servers
        self.blow("calm", 300)
        self.blow("kills", 800, lambda crew: [killer(crew, seed)])
        self.blow(
            "kills that are seen",
            200,
            lambda crew: [killer(crew, seed)],
            seen=True,
            due=SEEN_SECONDS,
        )
        self.blow(
            "maps, kills, stops",
            60,
            lambda crew: [killer(crew, seed), stopper(crew, seed)],
            draw=_mapped,
        )
        self.blow(
            "maps whose items are runs, or are undone, kills, stops",
            30,
            lambda crew: [killer(crew, seed), stopper(crew, seed)],
            draw=_items,
        )
        self.relatives("children, retries, caches, kills, stops", 150)
        self.blow("kills, stops", 500, lambda crew: [killer(crew, seed), stopper(crew, seed)])
        self.blow("5 % replies lost, clocks wrong", 300, lost=0.05, skew=_skew)
        down = max(5.0, 30 * self.scale)
        self.blow(
            "Redis gone and emptied, kills",
            300,
            lambda crew: [killer(crew, seed), redis_monkey(crew, servers, down=down)],
            bell=True,
        )
        self.blow(
            "PostgreSQL restarted, kills",
            400,
            lambda crew: [killer(crew, seed), postgres_monkey(crew, servers, seed)],
        )
        self.blow("10 MB values, kills", 20, lambda crew: [killer(crew, seed, every=3)], draw=_huge)
        self.blow("poison beside others", 100, draw=_poisoned)
        self.crowd()

    def blow(
        self,
        name: str,
        runs: int,
        monkeys_of: Weather = lambda _crew: [],
        *,
        draw: Callable[[random.Random], Shape] = mix.drawn,
        tenants: Sequence[Tenant] = (),
        finally_say: Callable[[Storm], str] | None = None,
        families: Families | None = None,
        least: int = 20,
        **told: Any,
    ) -> None:
        """One storm, if it is wanted."""
        if self.only not in name:
            return
        with emptied(self.servers):
            storm = Storm(
                name=name,
                seed=self.seed,
                tenants=tenants or self.tenants,
                servers=self.servers,
                families=families,
            )
            storm.blow(
                self.table,
                self.workers,
                runs=max(least, round(runs * self.scale)),
                draw=draw,
                monkeys_of=monkeys_of,
                **told,
            )
            if finally_say is not None:
                self.table.say(f"    {finally_say(storm)}")

    def relatives(self, name: str, runs: int) -> None:
        """Stored workflows that start each other, stand in, handle and are tried again."""
        if self.only not in name:
            return
        tenant = tenancy.tenant("relatives")
        families = Families(tenant)
        chance = random.Random(f"{self.seed} {name}")
        # Each kind at least once, however small the storm.
        kin = [*families.shapes.values(), *(families.draw(chance) for _ in range(KINDS))]
        self.blow(
            name,
            runs,
            lambda crew: [killer(crew, self.seed), stopper(crew, self.seed)],
            tenants=[tenant],
            families=families,
            shapes={uuid7(): shape for shape in kin},
            finally_say=lambda storm: families.told(storm.url),
        )

    def crowd(self) -> None:
        """A tenant with many runs beside many tenants with one."""
        if self.only not in "crowd":
            return
        size = max(10, round(CROWD * self.scale))
        big = tenancy.tenant("crowd-big")
        small = [tenancy.tenant(f"crowd-{number}") for number in range(size)]

        def latencies(storm: Storm) -> str:
            query = (
                "SELECT extract(epoch FROM started_at - created_at)::float8 FROM run"
                " WHERE started_at IS NOT NULL AND (tenant_id = %s) = %s"
            )
            of = [[row[0] for row in ask(storm.url, query, [big.id, is_big])]
                  for is_big in (False, True)]  # fmt: skip
            return (
                f"the first step after p50/p95/max: {spread(of[0])} for {size} tenants of one run,"
                f" {spread(of[1])} for the tenant of {size}"
            )

        self.blow(
            "crowd",
            2 * CROWD,
            tenants=[*([big] * size), *small],
            draw=lambda chance: mix.shape("diamond", chance),
            finally_say=latencies,
        )

    def sizes(self) -> None:
        """The storms whose size is written down."""
        sizes.play(self)

    # --- soak

    def soak(self, *, minutes: float) -> None:
        """Storm after storm; one worker lives through all of them and must not grow."""
        until = time.monotonic() + minutes * 60
        # The elder knows only what was known as it was born.
        shapes = taught(self.workers, mix.drawn, random.Random(self.seed), count=KINDS)
        # With the product's lease: on a busy machine a short one may end although nobody died.
        elder = self.workers.born(("io", "cpu"), settings={})
        sizes: list[int] = []
        number = 0
        while time.monotonic() < until and not self.table.violations:
            number += 1
            self.seed = f"{self.seed} {number}"
            weather = _WEATHER[number % len(_WEATHER)]
            self.blow(f"soak {number}", 300, lambda crew: weather(self, crew), shapes=shapes)  # noqa: B023
            if elder.died:
                self.table.violations.append(f"the worker that lives through all: {elder.said}")
                self.table.say(self.table.violations[-1])
                self.table.say(self.workers.log_of(elder))
                break
            sizes.append(_resident(elder.pid))
            self._weigh(sizes)

    def _weigh(self, sizes: Sequence[int]) -> None:
        url = house.everything(self.servers)
        ((dead, size),) = ask(
            url,
            "SELECT n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables"
            " WHERE relname = 'work_item'",
        )
        self.table.say(
            f"    a worker that lives on: {sizes[-1] >> 20} MB; work_item: {dead} dead tuples,"
            f" {size >> 10} kB"
        )
        settled = sizes[SETTLED_ROUNDS:]
        if settled and settled[-1] > GROWTH * settled[0]:
            self.table.violations.append(f"a worker grew from {settled[0]} to {settled[-1]} bytes")
        if dead > DEAD_TUPLES or size > TABLE_BYTES:
            self.table.violations.append(f"work_item: {dead} dead tuples, {size} bytes")


_WEATHER: tuple[Callable[[Campaign, Crew], Sequence[Monkey]], ...] = (
    lambda self, crew: [killer(crew, self.seed)],
    lambda self, crew: [killer(crew, self.seed), stopper(crew, self.seed)],
    lambda self, crew: [postgres_monkey(crew, self.servers, self.seed)],
)


def _skew(number: int) -> float:
    return (600.0, -600.0, 0.0)[number % 3]


def _huge(chance: random.Random) -> Shape:
    return mix.shape("huge", chance)


def _mapped(chance: random.Random) -> Shape:
    return mix.shape("mapped", chance)


def _items(chance: random.Random) -> Shape:
    return mix.shape(chance.choice(["items", "nested", *mix.UNDONE]), chance)


def _poisoned(chance: random.Random) -> Shape:
    return mix.poison(chance) if chance.random() < 0.05 else mix.drawn(chance)


def _resident(pid: int) -> int:
    """Bytes of a process that are in memory; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0
    return pages * 4096
