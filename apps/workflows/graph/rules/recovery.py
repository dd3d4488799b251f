"""Rules about what happens when a step fails: who is called, by whom, and with what."""

from collections.abc import Iterator

from apps.workflows.graph import order
from apps.workflows.graph.error_rules import ErrorAction, ErrorRule
from apps.workflows.graph.issues import Issue, Severity
from apps.workflows.graph.rules.drawing import Drawing
from apps.workflows.graph.shape import Node

Problem = tuple[str, ...]
"""Message, code, then the field."""


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    for node in drawing.nodes.values():
        yield from _references(drawing, node)
    handler = drawing.document.configuration.error_handler
    if isinstance(handler, str) and handler not in drawing.nodes:
        message = (
            f"The error handler `{handler}` is no node of this workflow; name one, or a workflow"
            " by {workflow: …}, or remove it."
        )
        path = ("configuration", "errorHandler")
        yield Issue(code="NODE_REFERENCE_UNKNOWN", message=message, path=path)
    yield from _reserved(drawing)
    yield from _circles(drawing)


def _references(drawing: Drawing, node: Node) -> Iterator[Issue]:
    if node.compensation == node.id:
        message = f"`{node.id}` cannot undo itself; name another node or remove `compensation`."
        yield drawing.node_issue(node, "COMPENSATION_OF_ITSELF", message, "compensation")
    elif node.compensation is not None and node.compensation not in drawing.nodes:
        message = f"The compensation `{node.compensation}` is no node of this workflow."
        yield drawing.node_issue(node, "NODE_REFERENCE_UNKNOWN", message, "compensation")
    for number, rule in enumerate(node.on_error):
        for problem, code, *field in _rule_problems(drawing, node, rule):
            yield drawing.node_issue(node, code, problem, "onError", str(number), *field)
    undoes = any(rule.do is ErrorAction.COMPENSATE for rule in node.on_error)
    if undoes and not any(one.compensation for one in drawing.nodes.values()):
        message = "No node declares a `compensation`: there would be nothing to undo."
        warning = Severity.WARNING
        yield drawing.node_issue(
            node, "NOTHING_TO_COMPENSATE", message, "onError", severity=warning
        )


def _rule_problems(drawing: Drawing, node: Node, rule: ErrorRule) -> Iterator[Problem]:
    arguments = {"node": rule.arguments.node, "then": rule.arguments.then}
    for name, named in arguments.items():
        if named == node.id:
            message = f"`{node.id}` cannot take over from itself; name another node."
            yield message, "ERROR_RULE_INVALID", "with", name
        elif named is not None and named not in drawing.nodes:
            message = f"`{named}` is no node of this workflow; name one that is."
            yield message, "NODE_REFERENCE_UNKNOWN", "with", name
    yield from _argument_problems(rule)
    then = drawing.nodes.get(rule.arguments.then or "")
    if then is not None and then.parent_id is not None:
        message = f"The alternative path begins outside containers; move `{then.id}` out."
        yield message, "ERROR_RULE_INVALID", "with", "then"


def _argument_problems(rule: ErrorRule) -> Iterator[Problem]:
    given = rule.arguments
    if rule.do is ErrorAction.FALLBACK and (given.node is None) == (given.workflow is None):
        message = (
            "A fallback needs who takes over: add either `with: {node: …}` or"
            " `with: {workflow: …}`."
        )
        yield message, "ERROR_RULE_INVALID", "with"
    belongs = {
        "node": rule.do is ErrorAction.FALLBACK or given.node is None,
        "workflow": rule.do is ErrorAction.FALLBACK or given.workflow is None,
        "then": rule.do is ErrorAction.COMPENSATE or given.then is None,
        "timeoutSeconds": rule.do is ErrorAction.ESCALATE or given.timeout_seconds is None,
    }
    for name, fits in belongs.items():
        if not fits:
            message = f"`{name}` means nothing to `{rule.do}`; remove it."
            yield message, "ERROR_RULE_INVALID", "with", name


def _reserved(drawing: Drawing) -> Iterator[Issue]:
    """A node on call runs as a copy, beside whoever calls it, with what it is given there."""
    begins = {rule.arguments.then for node in drawing.nodes.values() for rule in node.on_error}
    told: set[str] = set()
    for caller, named, field in _calls(drawing):
        reserved = drawing.nodes[named]
        if reserved.parent_id != caller.parent_id:
            message = f"`{named}` must stand beside `{caller.id}`: in the same container."
            yield drawing.node_issue(caller, "RESERVED_NODE_ELSEWHERE", message, field)
        wired = drawing.incoming.get(named) or drawing.outgoing.get(named)
        if wired and named not in begins and named not in told:
            told.add(named)
            message = (
                f"`{named}` runs when `{caller.id}` calls it and gets its inputs there. "
                "Remove its connections."
            )
            yield drawing.node_issue(reserved, "RESERVED_NODE_CONNECTED", message)


def _calls(drawing: Drawing) -> Iterator[tuple[Node, str, str]]:
    """Who calls whom, by which field."""
    for node in drawing.nodes.values():
        named = {node.compensation: "compensation"}
        named |= {rule.arguments.node: "onError" for rule in node.on_error}
        for target, field in named.items():
            if target in drawing.nodes and target is not None and target != node.id:
                yield node, target, field


def _circles(drawing: Drawing) -> Iterator[Issue]:
    for node_id in order.endless_fallbacks(drawing.document):
        message = f"The fallbacks of `{node_id}` call each other in a circle; break it."
        yield drawing.node_issue(drawing.nodes[node_id], "FALLBACK_CIRCLE", message, "onError")
