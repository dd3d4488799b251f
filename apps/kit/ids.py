"""Ids: UUID version 7 (RFC 9562), so that primary keys grow with time and indexes stay warm."""

from __future__ import annotations

import os
import time
import uuid


def uuid7(at_ms: int | None = None) -> uuid.UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds (`at_ms`, default now), then 74 random bits."""
    stamp = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    random = int.from_bytes(os.urandom(10), "big")
    value = (stamp & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
    return uuid.UUID(int=value)
