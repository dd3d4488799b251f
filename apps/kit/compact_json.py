"""JSON text without a blank, by a writer that is made once: `json` makes one for every call."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any, Final


def _writer() -> Callable[[object], str]:
    plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    make: Any = getattr(encoder, "c_make_encoder", None)
    if make is None:  # pragma: no cover - an interpreter without the accelerator
        return plain.encode
    # Without a memory of what surrounds a value, a circle is a RecursionError.
    options = (None, plain.default, encoder.encode_basestring, None, ":", ",", False, False, False)
    write = make(*options)
    return lambda value: "".join(write(value, 0))


compact_json: Final = _writer()
"""Raises TypeError, ValueError (a number that JSON has none for) or RecursionError."""
