"""The step cache: a pure step with `cache.ttlSeconds` takes what an equal one gave before.

Equal are steps of one tenant, type and version whose configuration (expressions evaluated), inputs,
environment and versions of secrets are the same; `cache.key`, an expression, stands for the inputs
where it is given. A cache that does not answer, and an entry that is not what the ports say, is a
miss: the step runs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from apps.executions.engine.ports import StepCall, StepDone, Usage
from apps.executions.engine.seeds import Origin
from apps.executions.runner import configuration, outputs
from apps.executions.runner.doors import ObjectStore, ResultCache
from apps.executions.runner.prepared import Prepared
from apps.executions.sandbox import Sandbox
from apps.workflows.graph import templates
from apps.workflows.graph.context import NodeError
from apps.workflows.graph.expressions import ExpressionInvalid

logger = logging.getLogger(__name__)

RELEASE: Final = 1
"""Raised when what a type gives changes without a new version of the type."""


class Entry:
    """The place of one attempt in the cache: what is there, and what shall be."""

    def __init__(self, cache: ResultCache, call: StepCall, *, seconds: int) -> None:
        self._cache = cache
        self._call = call
        self._seconds = seconds
        self._digest: bytes | None = None
        self._is_hit = False

    def look(self, ready: Prepared, digest: bytes) -> dict[str, Any] | None:
        """The outputs of an equal step, as the ports declare them."""
        try:
            found = self._cache.find(digest, secrets=ready.secrets)
            if found is None:
                return None
            self._digest = found.digest
            if found.outputs is None:
                return None
            checked = outputs.checked_outputs(self._call, ready, found.outputs)
        except NodeError as error:
            logger.warning("a cached result is not usable: %s", error.code)
            return None
        self._is_hit = True
        return checked

    def settled(self, done: StepDone) -> StepDone:
        """The outcome as history tells it; a new one is kept."""
        if self._is_hit:
            return replace(done, origin=Origin.CACHED, usage=Usage(wall_ms=done.usage.wall_ms))
        if self._digest is not None:
            self._cache.keep(
                self._digest,
                done.outputs,
                node_type=self._call.node_type.type,
                seconds=self._seconds,
            )
        return done


def digest_of(
    call: StepCall,
    ready: Prepared,
    parameters: Mapping[str, Any],
    *,
    sandbox: Sandbox,
    objects: ObjectStore,
) -> bytes:
    """Of all that a pure step is made from, but the versions of its secrets."""
    given: Any = call.inputs
    cache = call.node.cache
    if cache is not None and cache.key is not None:
        given = _key_of(call, cache.key, sandbox=sandbox, objects=objects)
    facts = [
        RELEASE,
        call.node_type.type,
        call.node_type.version,
        parameters,
        given,
        call.environment,
        sorted(ready.outputs),
    ]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _key_of(call: StepCall, text: str, *, sandbox: Sandbox, objects: ObjectStore) -> Any:
    try:
        content = templates.read(text)
    except ExpressionInvalid as error:
        raise NodeError(error.code, f"`cache.key`: {error.message}") from None
    if not isinstance(content, templates.Template):
        return text
    values = configuration.evaluate(
        content.expressions,
        scope=configuration.scope_of(call, content.expressions, objects=objects),
        sandbox=sandbox,
        paths=["cache.key"] * len(content.expressions),
    )
    return content.render(list(values))
