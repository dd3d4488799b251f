"""Keyset pages: nothing lost, nothing twice, cursors that cannot be carried elsewhere."""

from __future__ import annotations

import pytest

from apps.kit.errors import Refusal
from apps.kit.pages import Window, paginate
from apps.tenancy import scope
from apps.tenancy.models import Environment
from tests.factories import tenancy as make

ORDER = ("kind", "-name", "id")


@pytest.fixture
def rows(acme: make.Tenant) -> list[Environment]:
    with scope.tenant(acme.id):
        for number in range(10):
            Environment.objects.create(kind="STAGING", name=f"s{number}", is_default=False)
        return list(Environment.objects.order_by(*ORDER))


def test_walking_forwards_meets_every_row_once(acme: make.Tenant, rows: list[Environment]) -> None:
    seen: list[Environment] = []
    after: str | None = None
    with scope.tenant(acme.id):
        while True:
            page = paginate(
                Environment.objects.all(), order=ORDER, window=Window(first=4, after=after)
            )
            seen += page.items
            if not page.has_next:
                break
            after = page.cursors[-1]
    assert seen == rows


def test_walking_backwards_gives_pages_in_order(acme: make.Tenant, rows: list[Environment]) -> None:
    with scope.tenant(acme.id):
        last = paginate(Environment.objects.all(), order=ORDER, window=Window(last=5))
        before = paginate(
            Environment.objects.all(),
            order=ORDER,
            window=Window(last=5, before=last.cursors[0]),
        )
    assert [*before.items, *last.items] == rows[3:]
    assert before.has_previous
    assert before.has_next


def test_a_cursor_of_another_question_is_refused(
    acme: make.Tenant, rows: list[Environment]
) -> None:
    with scope.tenant(acme.id):
        page = paginate(
            Environment.objects.all(), order=ORDER, window=Window(first=2), key="a filter"
        )
        with pytest.raises(Refusal, match="cursor"):
            paginate(
                Environment.objects.all(),
                order=ORDER,
                window=Window(first=2, after=page.cursors[0]),
                key="another filter",
            )


@pytest.mark.parametrize(
    "window",
    [
        Window(first=0),
        Window(first=101),
        Window(first=5, last=5),
        Window(last=5, after="x"),
        Window(first=5, before="x"),
        Window(first=5, after="not a cursor"),
    ],
)
def test_bad_windows_are_refused(acme: make.Tenant, window: Window) -> None:
    with scope.tenant(acme.id), pytest.raises(Refusal):
        paginate(Environment.objects.all(), order=ORDER, window=window)
