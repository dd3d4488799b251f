"""Runs that start runs, for a storm: children, those that stand in or handle, retries, caches."""

from __future__ import annotations

import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from apps.executions.actions import retry_run, start_run
from apps.executions.models import ParentKind
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from apps.workflows.graph.callees import SUBWORKFLOW
from tests.chaos import items
from tests.chaos.asking import ask
from tests.chaos.cells import line
from tests.chaos.items import effects_of, said
from tests.chaos.mix import CANCELED, FAILED, Shape
from tests.chaos.sink import Sink
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

OUTAGE: Final = {"failures": 99, "code": "HTTP_503"}
"""What a new child may not have, so that the step is tried again."""
ONCE: Final = {"first": True}
"""A step that fails in the first run of its lineage, and in no other."""
_BELOW: Final = (
    "SELECT parent_id::text, parent_kind, id::text, workflow_id, state, error ->> 'code' FROM run"
    " WHERE parent_id IS NOT NULL"
)
_GIVEN_UP: Final = "SELECT run_id::text FROM map_item WHERE error ->> 'code' = 'WORKER_LOST'"
_HIT: Final = "SELECT count(*) FROM run_event WHERE body ->> 'origin' = 'cached'"
STEP, INSTEAD, HANDLER, ITEM = map(
    str, (ParentKind.STEP, ParentKind.FALLBACK, ParentKind.HANDLER, ParentKind.ITEM)
)
ITEMS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Kin(Shape):
    """A run of a stored workflow; `below` is what it must have started: kind and state of each."""

    workflow: uuid.UUID
    below: tuple[tuple[str, str], ...] = ()
    below_items: tuple[tuple[str, str], ...] = ()
    """The same, of each run that is an item of its map."""

    def retried(self) -> Kin:
        """The run that goes on where one of these failed."""
        return replace(self, name="retry", poke="", ends=frozenset({"SUCCEEDED"}), called=None,
                       kept=("a",))  # fmt: skip


class Families:
    """The workflows of one tenant that call each other, and what must come of their runs."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.effects: dict[uuid.UUID, set[str]] = {}
        """What a run of each workflow must have done when it has succeeded."""
        child = self._drawn(line(a("work", "keyed"), said("end", say={"seconds": 0.2})))
        broken = self._drawn(line(a("work", "keyed"), said("bad", say=OUTAGE)))
        instead = self._drawn(line(a("work", "keyed"), said("end")))
        handler = self._drawn(line(a("tell", "keyed")))
        parent = self._drawn(calling(child))
        again = {"maxAttempts": 2, "backoffSeconds": 0.1}
        rule = [{"do": "fallback", "with": {"workflow": str(instead)}}]
        self.shapes: Mapping[str, Kin] = {
            "parent": self._kin("parent", calling(child), [(STEP, "SUCCEEDED")]),
            "grandparent": self._kin("grandparent", calling(parent), [(STEP, "SUCCEEDED")]),
            "asks again": self._kin(
                "asks again", calling(broken, retry=again, port="error"), [(STEP, "FAILED")] * 2
            ),
            "stands in": self._kin(
                "stands in",
                line(a("a", "keyed"), said("bad", say=OUTAGE, onError=rule), a("z", "keyed")),
                [(INSTEAD, "SUCCEEDED")],
            ),
            "handled": self._kin(
                "handled",
                line(a("a", "keyed"), said("bad", say=OUTAGE),
                     errorHandler={"workflow": str(handler)}),
                [(HANDLER, "SUCCEEDED")],
                ends=FAILED,
                called=frozenset({"a"}),
            ),
            "retried": self._kin(
                "retried",
                line(a("a", "keyed"), said("bad", say=ONCE), a("z", "keyed")),
                ends=FAILED,
                poke="retry",
                called=frozenset({"a"}),
            ),
            "cached": self._kin("cached", caching()),
            "items call": self._kin(
                "items call",
                items.calling(str(child), items=ITEMS, chunk=2),
                [(ITEM, "SUCCEEDED")] * ITEMS,
                below_items=((STEP, "SUCCEEDED"),),
            ),
            "canceled": self._kin("canceled", calling(child), ends=CANCELED, poke="cancel"),
        }  # fmt: skip

    def draw(self, chance: random.Random) -> Kin:
        """One of them."""
        return self.shapes[chance.choice(list(self.shapes))]

    def unsound(self, runs: Mapping[str, tuple[Tenant, Shape]], url: str, sink: Sink,
                lost: Collection[str]) -> list[str]:  # fmt: skip
        """What is wrong below the runs, and with what they share."""
        found: list[str] = []
        below: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        inside: defaultdict[str, list[str]] = defaultdict(list)
        for parent, kind, run_id, workflow, state, _ in ask(url, _BELOW):
            below[parent].append((kind, state))
            # What an item has done is its map's.
            if kind == ITEM:
                inside[parent].append(run_id)
            elif state == "SUCCEEDED" and (never := self.effects[workflow] - sink.done(run_id)):
                found.append(f"LOST: {kind} {run_id} never did {never}")
        # Of items that cost three workers somebody else judges; not all have become runs.
        lost = {*lost, *(run_id for (run_id,) in ask(url, _GIVEN_UP))}
        for run_id, (_, shape) in runs.items():
            if not isinstance(shape, Kin) or shape.poke == "cancel" or run_id in lost:
                continue
            wanted = {run_id: shape.below}
            wanted |= {one: shape.below_items for one in inside[run_id] if one not in lost}
            found += [
                f"{shape.name} {one} has below it {below[one]}"
                for one, owed in wanted.items()
                if Counter(below[one]) != Counter(owed)
            ]
        ((hits,),) = ask(url, _HIT)
        if not hits and any(shape.name == "cached" for _, shape in runs.values()):
            found.append("no step took what another gave")
        if ask(url, "SELECT FROM open_child LIMIT 1"):
            found.append("a child stays open although its step has been answered")
        return found

    def told(self, url: str) -> str:
        """How much of it there was."""
        kinds = Counter(kind for _, kind, *_ in ask(url, _BELOW))
        ((hits,),) = ask(url, _HIT)
        return f"started by other runs: {dict(kinds)}; {hits} steps took what another gave"

    def start(self, shape: Kin) -> uuid.UUID:
        """As a person does."""
        return self._as_owner(
            lambda: start_run(actor=self.tenant.owner, workflow_id=shape.workflow).pk
        )

    def retry(self, source: uuid.UUID) -> uuid.UUID:
        """As a person does, once: a reply that was lost is asked for again."""
        return self._as_owner(lambda: retry_run(actor=self.tenant.owner, run_id=source).pk)

    def _as_owner(self, act: Callable[[], uuid.UUID]) -> uuid.UUID:
        with scope.tenant(self.tenant.id, actor=self.tenant.owner):
            return act()

    def _kin(self, name: str, document: dict[str, Any],
             below: Collection[tuple[str, str]] = (), **fields: Any) -> Kin:  # fmt: skip
        workflow = self._drawn(document)
        return Kin(name=name, document=document, workflow=workflow, below=tuple(below), **fields)

    def _drawn(self, document: dict[str, Any]) -> uuid.UUID:
        owner = self.tenant.owner
        workflow = self._as_owner(lambda: create_workflow(actor=owner, document=document).pk)
        self.effects[workflow] = effects_of(document)
        return workflow


def calling(callee: uuid.UUID, *, port: str = "result", **fields: Any) -> dict[str, Any]:
    """`z` comes when the callee has left by that port."""
    if port == "error":
        fields["onError"] = "route"
    configuration = {"workflow": str(callee)}
    sub = {"id": "sub", "type": SUBWORKFLOW, "configuration": configuration, **fields}
    nodes = [a("a", "keyed"), sub, a("z", "keyed")]
    return raw(nodes, [to("a", "z.all"), to(f"sub.{port}", "z.all")])


def caching() -> dict[str, Any]:
    """Everybody takes what the first gave."""
    same = {"id": "c", "type": "input.constant", "configuration": {"value": 7}}
    return raw([same | {"cache": {"ttlSeconds": 600}}, a("z", "keyed")], [to("c", "z")])
