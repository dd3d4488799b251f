"""How executions refuses: each refusal has a stable code and says how to mend it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from apps.kit.errors import Conflict, ErrorCode, Refusal


class RunRefused(Refusal):
    """A run that cannot start; `reason` is the stable code of executions beside the API's code."""

    def __init__(self, reason: str, message: str, *, path: tuple[str, ...] = ()) -> None:
        """`reason` such as ERROR_HANDLER_NOT_SUPPORTED; `message` names the mend."""
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


@dataclass(frozen=True, kw_only=True)
class PastEffect:
    """An effect that would happen again. `path`: the step of the top level, or of the item."""

    path: str
    node_id: str
    node_type: str
    effect: str
    """TRANSACTIONAL, KEYED, RECONCILABLE or UNSAFE."""
    happened_at: dt.datetime
    """The last time."""
    times: int
    in_doubt: bool
    """Nobody knows whether it happened."""


class EffectsNeedConsent(Refusal):
    """Steps would run again whose effects have happened; nothing was written."""

    code = ErrorCode.EFFECTS_NEED_CONSENT

    def __init__(self, effects: Sequence[PastEffect]) -> None:
        """All that would happen again, also what the caller did confirm."""
        named = ", ".join(dict.fromkeys(effect.path for effect in effects))
        super().__init__(
            f"These steps have had their effect and would have it again: {named}. "
            "Name each of them in confirmEffects if that is what you want.",
            path=("confirmEffects",),
        )
        self.effects = tuple(effects)


class ConsentMissing(Refusal):
    """A node that acts on the world would be tested without consent; nothing was written."""

    code = ErrorCode.EFFECTS_NEED_CONSENT
    reason = "TEST_HAS_EFFECT"

    def __init__(self, node_id: str, *, effect: str) -> None:
        """`effect` as the node's type declares it."""
        super().__init__(
            f"{node_id[:100]} acts on the world ({effect}), also in a test. Name it in "
            "confirmEffects if that is what you want.",
            path=("confirmEffects",),
        )


class SignalsFull(Refusal):
    """Too many signals wait to be taken."""

    code = ErrorCode.QUOTA_EXCEEDED

    def __init__(self, *, limit: int) -> None:
        """`limit` of one run."""
        super().__init__(
            f"{limit:,} signals of this run wait for a step to take them; send more when it has.",
            path=("name",),
        )


class ExecutionEnded(Conflict):
    """The run has ended, or is ending: nothing reaches it any more."""

    code = ErrorCode.EXECUTION_ENDED

    def __init__(self, *, state: str) -> None:
        """`state` as the run was found."""
        super().__init__(
            f"This run is {state.lower().replace('_', ' ')}; start a new one or retry it.",
            path=("executionId",),
        )


class NothingToResolve(Conflict):
    """The step waits for nobody's word: it never did, or somebody was faster."""

    def __init__(self, path: str) -> None:
        """`path` of the step."""
        super().__init__(
            f"{path[:100]} does not wait for a decision (any more); look at the run again.",
            path=("nodeRunId",),
        )
