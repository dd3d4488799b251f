"""Going on from a finished run, and what is refused until somebody consents."""

from __future__ import annotations

import datetime as dt
import uuid

import strawberry
from strawberry.scalars import JSON

from apps.executions import actions
from apps.executions.actions import Again
from apps.executions.errors import EffectsNeedConsent, PastEffect, RunRefused
from apps.executions.graphql.types import Execution, ExecutionPayload
from apps.kit.errors import Refusal
from apps.kit.graphql.errors import UserError, register_error
from apps.kit.graphql.mutations import mutation
from apps.kit.graphql.nodes import key_of
from apps.tenancy.graphql.context import Info


@strawberry.type(name="PastEffect")
class PastEffectType:
    """An effect that has happened and would happen again."""

    path: str = strawberry.field(
        description="The step to name in confirmEffects; of an item, in it (`rows[3]/charge`)."
    )
    node_id: str = strawberry.field(description="The step itself, or one inside the container.")
    node_type: str
    effect: str = strawberry.field(description="TRANSACTIONAL, KEYED, RECONCILABLE or UNSAFE.")
    happened_at: dt.datetime = strawberry.field(description="The last time.")
    times: int
    in_doubt: bool = strawberry.field(description="Nobody knows whether it happened.")

    @classmethod
    def of(cls, effect: PastEffect) -> PastEffectType:
        """As the refusal carries it."""
        return cls(
            path=effect.path,
            node_id=effect.node_id,
            node_type=effect.node_type,
            effect=effect.effect,
            happened_at=effect.happened_at,
            times=effect.times,
            in_doubt=effect.in_doubt,
        )


@strawberry.type
class EffectsNeedConsentError(UserError):
    """Steps would have their effect again; name each in confirmEffects if that is what you want."""

    effects: list[PastEffectType]


@strawberry.type
class RunRefusedError(UserError):
    """The run cannot start like this."""

    reason: str = strawberry.field(description="A stable code, such as NOTHING_TO_RETRY.")


register_error(
    EffectsNeedConsent,
    lambda refusal, shown: EffectsNeedConsentError(
        **shown, effects=[PastEffectType.of(effect) for effect in refusal.effects]
    ),
    EffectsNeedConsentError,
)
register_error(
    RunRefused,
    lambda refusal, shown: RunRefusedError(**shown, reason=refusal.reason),
    RunRefusedError,
)


@strawberry.type
class Mutation:
    """Retry and fork: each is a new run of the same lineage."""

    @mutation()
    def retry_execution(
        self,
        info: Info,
        execution_id: strawberry.ID,
        from_checkpoint: strawberry.ID | None = None,
        version: str | None = None,
        confirm_effects: list[str] | None = None,
        idempotency_key: strawberry.ID | None = None,
    ) -> ExecutionPayload | None:
        """Run again what failed and what is behind it; `version` "draft" is the present draft."""
        key = key_of(execution_id, "Execution", path=("executionId",))
        run = actions.retry_run(
            actor=info.context.actor,
            run_id=key,
            checkpoint=None if from_checkpoint is None else _checkpoint(from_checkpoint, key),
            again=_again(version, confirm_effects, idempotency_key),
        )
        return ExecutionPayload(execution=Execution.of(run))

    @mutation()
    def fork_execution(
        self,
        info: Info,
        execution_id: strawberry.ID,
        from_path: str,
        input: JSON | None = None,
        version: str | None = None,
        confirm_effects: list[str] | None = None,
        idempotency_key: strawberry.ID | None = None,
    ) -> ExecutionPayload | None:
        """Run a step and all behind it again; `input` replaces what arrived, port by port.

        A step in a loop or a map by its iteration or item, such as `refine[3]/score`: what was
        before it is kept, and so are other items.
        """
        given: object = input
        if given is not None and not isinstance(given, dict):
            raise Refusal("The input is an object: ports and values.", path=("input",))
        run = actions.fork_run(
            actor=info.context.actor,
            run_id=key_of(execution_id, "Execution", path=("executionId",)),
            path=from_path,
            inputs=given,
            again=_again(version, confirm_effects, idempotency_key),
        )
        return ExecutionPayload(execution=Execution.of(run))


def _again(version: str | None, confirmed: list[str] | None, key: str | None) -> Again:
    return Again(version=version, confirmed=tuple(confirmed or ()), idempotency_key=key)


def _checkpoint(text: str, run_id: uuid.UUID) -> int:
    """The number of its event; 0, which no run has, for what is no checkpoint of this run."""
    run, _, seq = text.partition("/")
    known = run == str(run_id) and seq.isascii() and seq.isdecimal() and len(seq) < 10
    return int(seq) if known else 0
