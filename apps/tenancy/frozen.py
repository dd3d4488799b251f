"""Questions that are asked thousands of times a minute: the query is compiled once, then filled.

Building and compiling a queryset costs several times what PostgreSQL needs to answer it. The SQL
is the queryset's own, belt one included; only the values change.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from django.db import connections, models

from apps.tenancy import scope
from apps.tenancy.errors import OutsideScope

M = TypeVar("M", bound=models.Model)
Value: TypeAlias = uuid.UUID | str
_TENANT: Final = "the tenant in force"


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a value goes."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compiled:
    sql: str
    template: tuple[Any, ...]
    compiler: Any
    converters: Mapping[int, Any]
    names: tuple[str, ...]

    def filled(self, values: Mapping[str, Value]) -> list[Any]:
        """The parameters, in the order of the SQL."""
        return [values[one.name] if isinstance(one, _Slot) else one for one in self.template]


class Frozen(Generic[M]):
    """A queryset of one model that depends on a few values, each named here with its type.

    `build` may only compare them: whatever it computed from a value would be computed once, and a
    value that does not reach the SQL is an error. Related rows (`select_related`) are not followed.
    """

    def __init__(
        self, build: Callable[..., models.QuerySet[Any, Any]], **values: type[Value]
    ) -> None:
        self._build = build
        self._types = values
        self._compiled: _Compiled | None = None

    def rows(self, **values: Value) -> list[tuple[Any, ...]]:
        """What `values_list` would give."""
        return self._asked(self._ready(), values)

    def first(self, **values: Value) -> M | None:
        """The first instance; what the queryset leaves out is loaded when it is asked for."""
        ready = self._ready()
        found = self._asked(ready, values)[:1]
        model: type[M] = ready.compiler.query.model
        return next((model.from_db("default", ready.names, row) for row in found), None)

    def _asked(self, ready: _Compiled, values: Mapping[str, Value]) -> list[tuple[Any, ...]]:
        filled = ready.filled({**values, _TENANT: _tenant()})
        with connections["default"].cursor() as cursor:
            cursor.execute(ready.sql, filled)
            rows = cursor.fetchall()
        if not ready.converters:
            return list(rows)
        return [tuple(row) for row in ready.compiler.apply_converters(rows, ready.converters)]

    def _ready(self) -> _Compiled:
        if self._compiled is None:
            self._compiled = self._compile()
        return self._compiled

    def _compile(self) -> _Compiled:
        # Values that occur nowhere else show where in the parameters each one ends up.
        marks: dict[str, Value] = {
            name: uuid.uuid4() if kind is uuid.UUID else uuid.uuid4().hex
            for name, kind in self._types.items()
        }
        places = {mark: name for name, mark in marks.items()} | {_tenant(): _TENANT}
        query = self._build(**marks).query
        compiler = query.get_compiler(using="default")
        sql, parameters = compiler.as_sql()
        template = tuple(
            _Slot(places[one]) if isinstance(one, uuid.UUID | str) and one in places else one
            for one in parameters
        )
        lost = {*self._types, _TENANT} - {one.name for one in template if isinstance(one, _Slot)}
        if lost:
            raise RuntimeError(f"a frozen question does not compare {sorted(lost)}")
        chosen = [column for column, *_ in compiler.select]
        return _Compiled(
            sql=sql,
            template=template,
            compiler=compiler,
            converters=compiler.get_converters(chosen),
            names=tuple(getattr(column, "target", column).attname for column in chosen)
            if compiler.klass_info
            else (),
        )


def _tenant() -> uuid.UUID:
    """Frozen for one tenant's questions: a platform scope would need another SQL."""
    if scope.current().is_platform:
        raise OutsideScope("A frozen question is asked in the scope of a tenant")
    return scope.current_tenant_id()
