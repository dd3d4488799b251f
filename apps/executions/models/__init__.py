"""The rows of executions as Django sees them; only the engine's SQL functions write them."""

from apps.executions.models.defaults import RunDefaults
from apps.executions.models.maps import MapChunk, MapItem, MapNews
from apps.executions.models.pins import Pin
from apps.executions.models.questions import Question, QuestionKind
from apps.executions.models.queue import (
    Ask,
    InboxMessage,
    KeyHolder,
    KeyWait,
    Lane,
    OpenChild,
    OutboxEntry,
    OwedHandler,
    Timer,
    Worker,
    WorkflowGate,
    WorkItem,
)
from apps.executions.models.results import MOST_RESULTS, CachedResult
from apps.executions.models.runs import (
    AWAITED,
    EnvironmentName,
    LogLine,
    NodeState,
    ParentKind,
    Run,
    RunEvent,
    RunQuerySet,
    TriggerKind,
)

__all__ = [
    "AWAITED",
    "MOST_RESULTS",
    "Ask",
    "CachedResult",
    "EnvironmentName",
    "InboxMessage",
    "KeyHolder",
    "KeyWait",
    "Lane",
    "LogLine",
    "MapChunk",
    "MapItem",
    "MapNews",
    "NodeState",
    "OpenChild",
    "OutboxEntry",
    "OwedHandler",
    "ParentKind",
    "Pin",
    "Question",
    "QuestionKind",
    "Run",
    "RunDefaults",
    "RunEvent",
    "RunQuerySet",
    "Timer",
    "TriggerKind",
    "WorkItem",
    "Worker",
    "WorkflowGate",
]
