"""The rules of `onError`: which failures, what becomes of the step, and how they are written."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import Field, PlainSerializer

from apps.workflows.graph.fields import DAY, JSON, Code, Identifier, WorkflowName


class ErrorAction(StrEnum):
    """What becomes of a step whose retries are spent."""

    FAIL = "fail"
    CONTINUE = "continue"
    ROUTE = "route"
    FALLBACK = "fallback"
    COMPENSATE = "compensate"
    ESCALATE = "escalate"


class ErrorClass(StrEnum):
    """What kind of failure it was; a failure may be of several."""

    RETRYABLE = "retryable"
    PERMANENT = "permanent"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rateLimit"
    UNAVAILABLE = "unavailable"
    INVALID = "invalid"
    CRASH = "crash"
    IN_DOUBT = "inDoubt"


@dataclass(frozen=True, kw_only=True)
class ErrorMatch:
    """Which failures a rule is for: one of the codes AND one of the classes.

    `*` in a code stands for any characters; a list that is empty asks for nothing.
    """

    __pydantic_config__ = JSON
    codes: tuple[Code, ...] = ()
    classes: tuple[ErrorClass, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ErrorArguments:
    """What an action needs.

    Who takes over (fallback: `node` or `workflow`), what begins the alternative path (compensate:
    `then`), how long people have (escalate: `timeoutSeconds`).
    """

    __pydantic_config__ = JSON
    node: Identifier | None = None
    workflow: WorkflowName | None = None
    then: Identifier | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=366 * DAY)] | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorRule:
    """The first rule that matches decides."""

    __pydantic_config__ = JSON
    match: ErrorMatch = field(default_factory=ErrorMatch)
    do: ErrorAction
    arguments: Annotated[ErrorArguments, Field(alias="with")] = field(
        default_factory=ErrorArguments
    )


SHORT_ACTIONS = (ErrorAction.FAIL, ErrorAction.CONTINUE, ErrorAction.ROUTE)
"""What `onError` may say in one word."""


def _rules_json(rules: "tuple[ErrorRule, ...]") -> object:
    match rules:
        case (ErrorRule() as only,) if only == ErrorRule(do=only.do) and only.do in SHORT_ACTIONS:
            return only.do.value
    return [_rule_json(rule) for rule in rules]


def _rule_json(rule: ErrorRule) -> dict[str, object]:
    given = rule.arguments
    pairs = (
        ("node", given.node),
        ("workflow", given.workflow),
        ("then", given.then),
        ("timeoutSeconds", given.timeout_seconds),
    )
    arguments = {name: value for name, value in pairs if value is not None}
    match: dict[str, object] = {"codes": list(rule.match.codes)} if rule.match.codes else {}
    if rule.match.classes:
        match["classes"] = [one.value for one in rule.match.classes]
    return {"match": match, "do": rule.do.value, **({"with": arguments} if arguments else {})}


ErrorRules: TypeAlias = Annotated[
    tuple[ErrorRule, ...],
    Field(max_length=20),
    PlainSerializer(_rules_json),
]
