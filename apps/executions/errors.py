"""How executions refuses: each refusal has a stable code and says how to mend it."""

from __future__ import annotations

from collections.abc import Sequence

from apps.kit.errors import ErrorCode, Refusal


class RunRefused(Refusal):
    """A run that cannot start; `reason` is the stable code of executions beside the API's code."""

    def __init__(self, reason: str, message: str, *, path: tuple[str, ...] = ()) -> None:
        """`reason` such as COMPENSATION_NOT_SUPPORTED; `message` names the mend."""
        super().__init__(message, path=path)
        self.reason = reason


class SecretMissing(Refusal):
    """The environment lacks secrets that the workflow's nodes need."""

    code = ErrorCode.SECRET_MISSING

    def __init__(self, names: Sequence[str], *, environment: str) -> None:
        """`names` of the missing secrets, in document order."""
        listed = ", ".join(names)
        super().__init__(
            f"Set the secret(s) {listed} in the {environment} environment, then start again.",
            path=("parameters",),
        )
        self.names = tuple(names)
