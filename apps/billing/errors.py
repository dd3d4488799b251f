"""How billing refuses."""

from __future__ import annotations

from apps.kit.errors import NotFound


class PlanUnknown(NotFound):
    """No plan has this key."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(
            f"There is no such plan. Choose one of {', '.join(known)}.", path=("plan",)
        )
