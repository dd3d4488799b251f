"""Kubernetes quantities as plain numbers."""

from __future__ import annotations

import re

_UNITS = {
    "": 1,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]i?)?")


def cores(quantity: str) -> float:
    """`500m` or `1.5` as a number of cores; raises ValueError for what is none."""
    text = quantity.removesuffix("m")
    try:
        return float(text) / (1000 if text != quantity else 1)
    except ValueError:
        raise ValueError(f"{quantity!r} is no quantity of CPU such as 500m or 2.") from None


def byte_count(quantity: str) -> int:
    """`512Mi` as bytes; raises ValueError for what is no quantity."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is no quantity of memory such as 512Mi.")
    return int(float(match[1]) * _UNITS[match[2] or ""])
