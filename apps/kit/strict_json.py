"""JSON as PostgreSQL can store it: no NaN, no NUL, no half surrogates."""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

from apps.kit.errors import Refusal

_UNSTORABLE: Final = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")


def read_object(raw: bytes, *, otherwise: str) -> dict[str, object]:
    """The object in a request's body. Raises Refusal; `otherwise` says what is to be sent."""
    try:
        found: object = json.loads(raw, parse_constant=_no_constant)
        if _UNSTORABLE.search(raw):
            text = json.dumps(found, ensure_ascii=False)
            text.encode()
            if "\\u0000" in text:
                raise Refusal("Text may not contain the character NUL.")
    except (ValueError, RecursionError):
        raise Refusal("The body is not JSON that can be read.") from None
    if not isinstance(found, dict):
        raise Refusal(otherwise)
    return found


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise json.JSONDecodeError(message, name, 0)
