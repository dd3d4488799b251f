"""What a container's handler is told and answers when its body shall run (once more)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Iteration:
    """The run of the body that has just ended: its number from 0, and the item it had."""

    index: int
    item: Any


@dataclass(frozen=True)
class Repeat:
    """Open the next iteration: values by inner output port; a port that is absent is not taken."""

    outputs: Mapping[str, Any]
