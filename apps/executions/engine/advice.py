"""What a person can do about a failure, by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from apps.executions.engine.on_error import classes_of
from apps.workflows.graph.document import ErrorClass

_BY_CODE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "COMPENSATION_FAILED": "Undo by hand what the message lists; the steps' outputs are kept.",
        "RETRY_BUDGET_SPENT": "Mend what the step calls, then retry: a new run has a new budget.",
        "RUN_TIMEOUT": "Raise resources.timeoutSeconds, then start the run again.",
        "SECRET_MISSING": "Set the secret in the run's environment, then retry.",
    }
)
_BY_CLASS: Final[Mapping[ErrorClass, str]] = MappingProxyType(
    {
        ErrorClass.IN_DOUBT: "Look at the other system whether the effect happened, then decide:"
        " succeeded, failed, or run it again.",
        ErrorClass.TIMEOUT: "Raise the step's timeoutSeconds or give it less to do, then retry.",
        ErrorClass.RATE_LIMIT: "Wait, or ask the other side for a higher limit, then retry.",
        ErrorClass.UNAVAILABLE: "Retry when the other side answers again.",
        ErrorClass.INVALID: "Mend the input or the step's configuration, then start a new run.",
        ErrorClass.CRASH: "See the step's log and details; give it more memory or less data.",
        ErrorClass.RETRYABLE: "Retry: the cause may have gone.",
    }
)


def advice(code: str, *, retryable: bool = False) -> str | None:
    """One sentence, or None where nothing general can be said."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    kinds = set(classes_of(code, retryable=retryable))
    return next((text for kind, text in _BY_CLASS.items() if kind in kinds), None)


def may_pass(code: str) -> bool:
    """Whether trying again may help, as far as the code tells."""
    kinds = set(classes_of(code, retryable=False))
    return not kinds.isdisjoint({ErrorClass.TIMEOUT, ErrorClass.RATE_LIMIT, ErrorClass.UNAVAILABLE})
