"""Busy ports are avoided, or named when the operator insists on one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from config.supervisor import ports
from config.supervisor.failure import CannotStart


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_busy_port_is_avoided(busy: int) -> None:
    chosen = ports.choose(busy)

    assert chosen != busy
    assert ports.is_free(chosen)


def test_a_busy_port_that_was_asked_for_is_named(busy: int) -> None:
    with pytest.raises(CannotStart, match=rf"Port {busy} for the web is busy.*set WEB to another"):
        ports.demand(busy, what="the web", variable="WEB")


def test_a_port_out_of_range_is_named() -> None:
    with pytest.raises(CannotStart, match="WEB=70000 is not a port"):
        ports.demand(70_000, what="the web", variable="WEB")


def test_a_free_port_is_taken_as_asked() -> None:
    free = ports.any_free()

    with ports.demand(free, what="the web", variable="WEB") as held:
        assert held.getsockname()[1] == free


def test_who_holds_a_port_has_it_at_once() -> None:
    with ports.hold() as first:
        wanted = first.getsockname()[1]
        with ports.hold(wanted) as second:
            assert second.getsockname()[1] != wanted
