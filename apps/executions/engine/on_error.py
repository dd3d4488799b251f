"""What becomes of a step whose attempts are spent: the ordered rules of its `onError`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from apps.executions.engine.history import Handling
from apps.workflows.graph.document import ErrorAction, ErrorClass, ErrorRule, Node

CODES_BY_CLASS: Final[Mapping[ErrorClass, tuple[str, ...]]] = MappingProxyType(
    {
        ErrorClass.TIMEOUT: ("*TIMEOUT", "HTTP_408", "HTTP_504"),
        ErrorClass.RATE_LIMIT: ("*RATE_LIMITED", "*QUOTA_EXCEEDED", "HTTP_429"),
        ErrorClass.UNAVAILABLE: ("HTTP_5??", "HTTP_FAILED", "WORKER_BUSY"),
        ErrorClass.INVALID: (
            "*_INVALID",
            "*_MISSING",
            "*_EXPECTED",
            "*_MISMATCH",
            "*_TOO_LARGE",
            "HTTP_400",
            "HTTP_422",
        ),
        ErrorClass.CRASH: (
            "NODE_CRASHED",
            "PROCESS_DIED",
            "MEMORY_EXCEEDED",
            "CPU_EXCEEDED",
            "LIMIT_EXCEEDED",
            "WORKER_LOST",
        ),
        ErrorClass.IN_DOUBT: ("EFFECT_IN_DOUBT",),
    }
)
"""Which codes are of a class; RETRYABLE and PERMANENT are what the node said."""

_HANDLINGS: Final = MappingProxyType({action: Handling(action.value) for action in ErrorAction})


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One line of `onError`: for which failures, and what to do about them."""

    codes: tuple[str, ...] = ()
    classes: frozenset[ErrorClass] = frozenset()
    handling: Handling
    target: str | None = None
    """Id of the node that is called."""
    workflow: str | None = None
    """Or of the workflow that stands in."""
    seconds: int | None = None
    """How long people have to answer."""

    def matches(self, code: str, *, retryable: bool) -> bool:
        """One of the codes (none: any) and one of the classes (none: any)."""
        if self.codes and not any(fnmatchcase(code, pattern) for pattern in self.codes):
            return False
        return not self.classes or not self.classes.isdisjoint(
            classes_of(code, retryable=retryable)
        )


NO_RULE: Final = Rule(handling=Handling.FAIL)


def classes_of(code: str, *, retryable: bool) -> Iterator[ErrorClass]:
    """What kinds of failure a code stands for; the node says whether trying again may help."""
    yield ErrorClass.RETRYABLE if retryable else ErrorClass.PERMANENT
    for kind, patterns in CODES_BY_CLASS.items():
        if any(fnmatchcase(code, pattern) for pattern in patterns):
            yield kind


def rules_of(node: Node, *, disabled: Collection[str]) -> tuple[Rule, ...]:
    """The rules of a node; one that would call a disabled node is not there."""
    return tuple(_rule(rule) for rule in node.on_error if rule.arguments.node not in disabled)


def called_by(node: Node) -> Iterator[str]:
    """Ids of the nodes that run as copies when this one calls them."""
    if node.compensation is not None:
        yield node.compensation
    for rule in node.on_error:
        if rule.do is ErrorAction.FALLBACK and rule.arguments.node is not None:
            yield rule.arguments.node


def paths_of(node: Node) -> Iterator[str]:
    """Ids of the nodes that begin an alternative path when this one has failed."""
    for rule in node.on_error:
        if rule.do is ErrorAction.COMPENSATE and rule.arguments.then is not None:
            yield rule.arguments.then


def _rule(rule: ErrorRule) -> Rule:
    given = rule.arguments
    return Rule(
        codes=rule.match.codes,
        classes=frozenset(rule.match.classes),
        handling=_HANDLINGS[rule.do],
        target=given.then if rule.do is ErrorAction.COMPENSATE else given.node,
        workflow=given.workflow,
        seconds=given.timeout_seconds,
    )
