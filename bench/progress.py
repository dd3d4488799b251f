"""Lines that come and go beside the tables."""

from __future__ import annotations

import sys


def note(line: str) -> None:
    """Progress, apart from the table."""
    sys.stderr.write(f"\r\033[K{line}")
    sys.stderr.flush()
