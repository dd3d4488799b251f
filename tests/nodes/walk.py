"""Runs a document step by step, in order, in this process: the runner without the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from apps.executions.engine.ports import StepDone, StepOutcome
from apps.nodes import library
from apps.workflows.graph import catalogue, parameters
from apps.workflows.graph.shape import Document
from apps.workflows.graph.validate import read_and_validate
from tests.nodes.conftest import Bench
from tests.nodes.doubles import step_call

EXAMPLES = Path(library.__file__).with_name("examples")


@dataclass
class Walked:
    """What every node gave, by its id; a failed or skipped node has no outputs."""

    outputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, StepOutcome] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def load(name: str) -> Document:
    """An example document, valid."""
    raw = json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    document, report = read_and_validate(raw, catalogue.INSTALLED)
    assert document is not None, report.issues
    assert not report.issues, report.issues
    return document


def walk(document: Document, bench: Bench, **given: Any) -> Walked:
    """Execute every node whose required connections were taken; stops nothing at a failure."""
    values, issues = parameters.resolve(document.configuration.parameters, given)
    assert not issues, issues
    walked = Walked()
    nodes = {node.id: node for node in document.nodes}
    before: dict[str, set[str]] = {node.id: set() for node in document.nodes}
    for link in document.connections:
        before[link.target].add(link.source)
    for node_id in TopologicalSorter(before).static_order():
        node = nodes[node_id]
        incoming = [link for link in document.connections if link.target == node_id]
        inputs = {
            link.target_port: walked.outputs[link.source][link.source_port]
            for link in incoming
            if link.source_port in walked.outputs.get(link.source, {})
        }
        if len(inputs) < len({link.target_port for link in incoming}):
            walked.skipped.append(node_id)
            continue
        node_type = catalogue.get(node.type, node.type_version)
        assert node_type is not None
        outcome = bench.run(
            step_call(
                node_type,
                node=node,
                inputs=inputs,
                parameters=values,
                upstream=walked.outputs,
                outgoing=tuple(link for link in document.connections if link.source == node_id),
            )
        )
        walked.outcomes[node_id] = outcome
        if isinstance(outcome, StepDone):
            walked.outputs[node_id] = outcome.outputs
    return walked
