"""What steps compute: known to the product's steps, the floor, the ideals and the peers alike."""

from __future__ import annotations

QUICK = 10
"""fib of it is a few microseconds."""
LONG = 31
"""fib of it is a tenth of a second or two."""


def fibonacci(n: int) -> int:
    """The naive way."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
