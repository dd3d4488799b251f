"""The list of steps that wait for a person: a row from the question to the answer."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db.models import Q

from apps.executions.actions.finding import found
from apps.executions.engine.wait_events import ANSWER
from apps.executions.events import StepAsks
from apps.executions.models import InboxMessage, Question

MESSAGE_SHOWN: Final = 1_000


def list_question(event: StepAsks) -> None:
    """A person is asked; an answer that came before the question was heard leaves no row."""
    close_questions(run_id=event.run_id, path=event.path)
    answers = InboxMessage.objects.filter(run_id=event.run_id, kind=ANSWER, body__path=event.path)
    of_this = Q(body__kind=event.wait.kind) | Q(body__kind__isnull=True)  # Release 5 names no kind.
    if answers.filter(of_this).exists():
        return
    failure: Any = event.wait.payload["failure"]
    Question.objects.create(
        run_id=event.run_id,
        workflow_id=found(event.run_id).workflow_id,
        path=event.path,
        attempt=event.attempt,
        kind=event.wait.kind.value,
        code=failure["code"],
        message=failure["message"][:MESSAGE_SHOWN],
        due_at=event.wait.until,
    )


def close_questions(*, run_id: uuid.UUID, path: str | None, attempt: int | None = None) -> None:
    """Nobody is asked any more, about one step (until that attempt) or the run. Repeatable."""
    rows = Question.objects.filter(run_id=run_id)
    if path is not None:
        rows = rows.filter(path=path)
    if attempt is not None:
        rows = rows.filter(attempt__lte=attempt)
    rows.delete()
