"""How many examples a property is tried with: fewer where time is short, many where it is not."""

from __future__ import annotations

import os
from typing import Final

EXAMPLES: Final = "NSTARX_EXAMPLES"
"""The variable that says how many, for every property; without it each has its own number."""


def examples(usual: int) -> int:
    """What the environment says, else the usual number."""
    return int(os.environ.get(EXAMPLES) or usual)
