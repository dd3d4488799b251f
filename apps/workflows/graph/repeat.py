"""What a container's handler answers when its body shall run (once more)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Repeat:
    """Open the next iteration: values by inner output port; a port that is absent is not taken."""

    outputs: Mapping[str, Any]
