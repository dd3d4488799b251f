"""Joins that need only some of their branches: what nobody needs any more once they have them."""

from __future__ import annotations

from apps.executions.engine.graph import StepGraph
from apps.executions.engine.plan import CONTAINER, Step


def taken_by(graph: StepGraph, join: Step) -> int:
    """How many values have arrived."""
    return sum(graph.taken[link.index] for link in join.incoming)


def spared_by(graph: StepGraph, join: Step) -> list[int]:
    """Steps that have not settled and lead only to steps that wait for them no longer."""
    candidates: set[int] = set()
    pending = [join]
    while pending:
        for link in pending.pop().incoming:
            source = link.source
            if source == CONTAINER or source in candidates:
                continue
            if not graph.records[source].status.is_settled:
                candidates.add(source)
                pending.append(graph.steps[source])
    spared: set[int] = set()
    # Positions are topological: who follows a step has been looked at before it.
    for index in sorted(candidates, reverse=True):
        step = graph.steps[index]
        targets = (link.target for link in step.outgoing)
        if not step.exits and all(not graph.undecided[one] or one in spared for one in targets):
            spared.add(index)
    return sorted(spared)
