"""Rules about the workflow as a whole: its parameters, variables, schedules and time zones."""

import json
import keyword
import re
from collections.abc import Iterator
from functools import cache
from zoneinfo import available_timezones

from apps.workflows.graph import parameters
from apps.workflows.graph.issues import Issue
from apps.workflows.graph.rules.drawing import Drawing
from apps.workflows.graph.shape import Parameter, Schedule

MAX_SCHEMAS = 65_536
"""Checking a schema costs a thousand times what reading it does."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_NAMES = {
    name: number
    for names, first in (
        ("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 1),
        ("SUN MON TUE WED THU FRI SAT", 0),
    )
    for number, name in enumerate(names.split(), start=first)
}
_CRON_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([1-9]\d?))?")


def check(drawing: Drawing) -> Iterator[Issue]:
    """All rules of this file."""
    configuration = drawing.document.configuration
    seen: set[str] = set()
    size = 0
    for number, parameter in enumerate(configuration.parameters):
        path = ("configuration", "parameters", str(number))
        if parameter.name in seen:
            message = f"Two parameters are called `{parameter.name}`; rename or remove one."
            yield Issue(code="PARAMETER_DUPLICATE", message=message, path=path)
        seen.add(parameter.name)
        if keyword.iskeyword(parameter.name):
            message = f"`{parameter.name}` is a word of the expression language; rename it."
            yield Issue(code="PARAMETER_NAME_RESERVED", message=message, path=(*path, "name"))
        size += len(json.dumps(parameter.schema))
        if size > MAX_SCHEMAS:
            message = f"The schemas of all parameters together have at most {MAX_SCHEMAS} bytes."
            yield Issue(code="PARAMETER_SCHEMA_INVALID", message=message, path=path)
            break
        yield from _parameter(parameter, path)
    for name in configuration.variables:
        if keyword.iskeyword(name) or not _VARIABLE.fullmatch(name):
            message = (
                f"`{name}` is no name for a variable: letters, digits and _, at most 64, "
                "and no word of the expression language."
            )
            path = ("configuration", "variables", name)
            yield Issue(code="VARIABLE_NAME_INVALID", message=message, path=path)
    for number, schedule in enumerate(configuration.schedules):
        yield from _schedule(schedule, ("configuration", "schedules", str(number)))


def _parameter(parameter: Parameter, path: tuple[str, ...]) -> Iterator[Issue]:
    if problem := parameters.schema_problem(parameter.schema):
        message = f"The schema of parameter `{parameter.name}` cannot be used: {problem}."
        yield Issue(code="PARAMETER_SCHEMA_INVALID", message=message, path=(*path, "schema"))
        return
    problem = parameters.value_problem(parameter.schema, parameter.default)
    if parameter.default is not None and problem:
        message = f"The default of parameter `{parameter.name}` does not fit its schema: {problem}."
        yield Issue(code="PARAMETER_DEFAULT_INVALID", message=message, path=(*path, "default"))


def _schedule(schedule: Schedule, path: tuple[str, ...]) -> Iterator[Issue]:
    if not is_cron(schedule.cron):
        message = (
            f"`{schedule.cron}` is no schedule: write minute, hour, day, month and weekday, "
            "for example `0 6 * * MON-FRI`."
        )
        yield Issue(code="SCHEDULE_INVALID", message=message, path=(*path, "cron"))
    if schedule.timezone not in _timezones():
        message = f"There is no time zone `{schedule.timezone}`; write one such as Europe/Berlin."
        yield Issue(code="TIMEZONE_UNKNOWN", message=message, path=(*path, "timezone"))


@cache
def _timezones() -> frozenset[str]:
    """Reading the time zone database takes milliseconds; it does not change under us."""
    return frozenset(available_timezones())


def is_cron(text: str) -> bool:
    """Whether the text is five cron fields within their ranges."""
    fields = text.split()
    return len(fields) == len(_CRON_RANGES) and all(
        _is_cron_part(part, low, high)
        for field, (low, high) in zip(fields, _CRON_RANGES, strict=True)
        for part in field.split(",")
    )


def _is_cron_part(part: str, low: int, high: int) -> bool:
    match = _CRON_PART.fullmatch(part)
    if match is None:
        return False
    ends = [_cron_number(end) for end in match.group(1, 2) if end is not None]
    return all(low <= end <= high for end in ends) and ends == sorted(ends)


def _cron_number(text: str) -> int:
    """-1 is in no range."""
    return int(text) if text.isdecimal() else _CRON_NAMES.get(text.upper(), -1)
