"""Values that every step makes anew: frozen for the type checker, cheap to make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def fact(cls: type[T]) -> type[T]:
    """A dataclass whose fields nobody assigns: mypy sees to it.

    At run time a frozen one pays a call per field for it, several hundred for one step.
    """
    return dataclass(kw_only=True, slots=True, unsafe_hash=True)(cls)
