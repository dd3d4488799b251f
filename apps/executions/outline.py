"""A long run in parts: how each step stands, in one light look, and the attempts of some steps.

Histories have no bound, a page has. The database picks the last word on each step and leaves out
what the steps carried; what is shown at length is read for the steps on the page alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db.models import (
    BigIntegerField,
    F,
    Func,
    JSONField,
    Max,
    Min,
    QuerySet,
    Window,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from apps.executions.engine.codec import decode
from apps.executions.engine.storable import instant
from apps.executions.models import Run, RunEvent
from apps.executions.timeline import Attempt, attempts_of

STEPS_LIMIT: Final = 25_000
"""Steps that one look takes in: iterations count each. What is left out is said."""
_CARRIED: Final = "{outputs,values,payload,due,conditions}"
_LIGHT: Final = Func(
    F("body"),
    template=f"((%(expressions)s - '{_CARRIED}'::text[])"
    " #- '{opening,items}' #- '{error,details}')",
    output_field=JSONField(),
)
_CHUNKS: Final = ("chunk.dispatched", "chunk.completed")
_ABSENT: Final[Mapping[str, Any]] = {"outputs": {}, "values": {}}
_BEGUN: Final = Cast(KT("body__startedAt"), BigIntegerField())


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The latest attempt of each step, in the order of the document, without what it carried."""

    latest: tuple[Attempt, ...]
    since: dt.datetime | None
    """When the first step began."""
    retries: int
    is_cut: bool
    """There are more steps than `STEPS_LIMIT`."""


def outline(run: Run, document: Mapping[str, Any]) -> Outline:
    """Every step as it stands: one row of the database for each."""
    rows = list(
        _steps(run)
        .annotate(
            light=_LIGHT,
            begun=_first_begin(),
            first=Window(Min(_BEGUN), partition_by=[F("path")]),
            most=Window(Max("attempt"), partition_by=[F("path")]),
        )
        .order_by("path", "-seq")
        .distinct("path")
        .values_list("path", "attempt", "type", "at", "light", "begun", "first", "most")[
            : STEPS_LIMIT + 1
        ]
    )
    seen = rows[:STEPS_LIMIT]
    begun = {(row[0], row[1]): row[5] for row in seen if row[5] is not None}
    # What was taken over began in another run.
    own = (row[6] for row in seen if row[2] != "step.reused")
    first = min((begin for begin in own if begin is not None), default=None)
    return Outline(
        latest=_lines(document, (row[:5] for row in seen), run=run, begun=begun),
        since=None if first is None else instant(first),
        retries=sum(max((row[7] or 1) - 1, 0) for row in seen if row[2] != "step.reused"),
        is_cut=len(rows) > STEPS_LIMIT,
    )


def attempts_at(
    run: Run, document: Mapping[str, Any], paths: Collection[str], *, is_light: bool = False
) -> tuple[Attempt, ...]:
    """Every attempt of these steps; those that history does not mention are not among them."""
    columns = ("path", "attempt", "type", "at", "text", "begun", "seq")
    said = (
        _steps(run)
        .filter(path__in=list(paths))
        .annotate(text=_LIGHT if is_light else F("body"), begun=_first_begin())
    )
    # Of what an attempt says again and again the last word is enough; chunks count each.
    once = said.exclude(type__in=_CHUNKS).order_by("path", "attempt", "type", "-seq")
    rows = list(once.distinct("path", "attempt", "type").values_list(*columns))
    if not is_light and any(row[2] == "step.opened" for row in rows):
        rows += said.filter(type__in=_CHUNKS).values_list(*columns)
    rows.sort(key=lambda row: int(row[6]))
    begun = {(row[0], row[1]): row[5] for row in rows if row[5] is not None}
    known = {row[0] for row in rows}
    lines = _lines(document, (row[:5] for row in rows), run=run, begun=begun)
    return tuple(one for one in lines if one.path in known)


def _steps(run: Run) -> QuerySet[RunEvent]:
    """What history says of steps; what was given to one before it began is no word on it."""
    rows: QuerySet[RunEvent] = RunEvent.objects.filter(run_id=run.pk, path__isnull=False)
    return rows.exclude(type="step.given")


def _first_begin() -> Window:
    return Window(Min(_BEGUN), partition_by=[F("path"), F("attempt")])


def _lines(
    document: Mapping[str, Any],
    rows: Iterable[tuple[Any, ...]],
    *,
    run: Run,
    begun: Mapping[tuple[str | None, int | None], int],
) -> tuple[Attempt, ...]:
    history = (
        (at, decode(type_, path=path, attempt=attempt, body=_filled(type_, body)))
        for path, attempt, type_, at, body in rows
    )
    return tuple(_begun(one, begun) for one in attempts_of(document, history, run=run.status))


def _filled(type_: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the decoders expect, where the database left it out."""
    given = {**_ABSENT, **(body or {})}
    if type_ == "step.opened":
        given["opening"] = {"items": None, **given["opening"]}
    return given


def _begun(one: Attempt, begun: Mapping[tuple[str | None, int | None], int]) -> Attempt:
    first = begun.get((one.path, one.attempt))
    if first is None or one.started_at is None:
        return one
    return replace(one, started_at=min(one.started_at, instant(first)))
