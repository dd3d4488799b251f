"""What a step may wait for: a node's handler returns one of these instead of outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, get_args

from apps.workflows.graph.mapping import MapOpening

TIMEOUT_PORT: Final = "timeout"
"""Where a step leaves whose time was over, if something is connected to it."""
SIGNAL_PORT: Final = "payload"
"""Where what a signal brought leaves."""


class WaitKind(StrEnum):
    """What ends a wait, beside its own time."""

    TIMER = "TIMER"  # nothing else
    SIGNAL = "SIGNAL"  # a signal of its name
    APPROVAL = "APPROVAL"  # people decide
    CHILD = "CHILD"  # another run ends
    ESCALATION = "ESCALATION"  # a person says how a failure goes on
    DOUBT = "DOUBT"  # a person says whether an effect happened

    @property
    def is_asked(self) -> bool:
        """Somebody must be told that the step waits, or no answer comes."""
        return self not in (WaitKind.TIMER, WaitKind.SIGNAL)


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A step that goes on later and holds nothing meanwhile.

    `seconds` (from the attempt's start) or `until` bounds it; neither: as long as the run. When
    that time comes the step succeeds with `due`, or fails with WAIT_TIMEOUT where that is None
    or leaves by the port `timeout` that nothing is connected to. `name` and `key` say which
    signal is meant; `payload` is for whoever answers. All of it together fits 32 KiB.
    """

    kind: WaitKind
    seconds: float | None = None
    until: datetime | None = None
    name: str = ""
    key: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    due: Mapping[str, Any] | None = None


def outlasts(returned: object) -> bool:
    """Whether a handler that is declared to return this may leave its step open behind it."""
    return not {Wait, MapOpening}.isdisjoint((returned, *get_args(returned)))
