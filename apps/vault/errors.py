"""How the vault refuses."""

from __future__ import annotations

from apps.kit.errors import Conflict, ErrorCode, Refusal


class SecretMissing(Refusal):
    """A secret that is needed is not set in this environment; there is no fallback to another."""

    code = ErrorCode.SECRET_MISSING

    def __init__(self, name: str, *, environment: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(
            f"The secret {name} is not set in the environment {environment}. "
            "Set it there; secrets of other environments are never used instead.",
            path=path,
        )
        self.name = name


class SecretInUse(Conflict):
    """A connection names the secret."""

    def __init__(self, name: str, *, connection: str) -> None:
        super().__init__(
            f"The secret {name} is used by the connection {connection}. "
            "Delete the connection or give it another secret first.",
            path=("name",),
        )


class SecretUnreadable(Exception):
    """A stored secret does not open: it was changed in the database, or its key is gone."""
