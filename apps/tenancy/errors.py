"""How tenancy refuses."""

from __future__ import annotations

from apps.kit.errors import Refusal


class OutsideScope(RuntimeError):
    """A tenant's rows were touched where no door has set a scope: always a defect of ours."""


class LastOwner(Refusal):
    """An organization keeps at least one owner."""

    def __init__(self) -> None:
        super().__init__(
            "This is the organization's last owner. Make somebody else an owner first.",
            path=("userId",),
        )
