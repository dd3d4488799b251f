"""Node types for the runner's tests; each does one thing wrong, or right.

The manual page every declaration needs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    Isolation,
    NodeContext,
    NodeError,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    Resources,
    field,
    node,
)


class Parameters(NodeParameters):
    mode: str = field("ok", title="What to do")
    number: int = field(1, title="A number", ge=0)
    token: str | None = field(None, title="A secret")
    url: str = field("http://127.0.0.1:1/", title="Where to")
    script: str = field("", title="Code")


def _ok(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    context.log.info("working", number=parameters.number)
    context.metric("number", parameters.number)
    context.progress(1, 2)
    return {"value": {"number": parameters.number, **dict(inputs)}}


_LOADED_BY = os.getpid()
_calls: list[int] = []


def _loaded(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    _calls.append(1)
    return {"value": {"by": _LOADED_BY, "here": os.getpid(), "calls": len(_calls)}}


def _refuse(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise NodeError("NO_THANKS", "not today", retryable=True, retry_after=7)


def _crash(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    raise ValueError("inner detail")


def _hang(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    time.sleep(60)
    return {}


def _memory(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    hoard: list[Any] = []
    while True:
        hoard.append(bytearray(20 << 20))


def _grow(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Hold 16 MiB more than the process ever has."""
    hoard: list[Any] = []
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + (16 << 10)
    while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < most:
        hoard.append(bytearray(b"x") * (4 << 20))
    return {"value": None}


def _spin(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    while True:
        pass


def _segfault(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    ctypes.string_at(0)
    return {}


def _stubborn(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    return _spin(parameters, inputs, context)


def _killed(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    """Spends most of a second, then dies by another's hand."""
    until = time.process_time() + 0.85
    while time.process_time() < until:
        pass
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _exit(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    os._exit(7)


def _environment(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return {"value": {"names": sorted(os.environ), "django": "django" in sys.modules}}


def _artifact(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    stored = context.artifacts.put(b"hello", media_type="text/plain")
    with context.artifacts.open(stored) as stream:
        return {"value": stream.read().decode(), "table": stored}


def _send(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    secret = context.secret(parameters.token or "")
    answer = context.http.request("POST", parameters.url, headers={"X-Key": secret})
    body = answer.content.decode()
    context.log.info("sent", secret=secret, answer=body)
    return {"value": {"status": answer.status, "body": body}}


def _write(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    context.write("key", {"a": 1})
    return {"value": None}


def _walls(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    def works(act: Callable[[], object]) -> bool:
        try:
            act()
        except OSError:
            return False
        return True

    return {
        "value": {
            "reads": [path for path in inputs["data"] if works(Path(path).read_bytes)],
            "writes": [path for path in inputs["data"] if works(Path(path).touch)],
            "own": works(lambda: (context.work_directory / "x").write_text("x")),
            "connects": works(lambda: socket.create_connection(("127.0.0.1", 1), timeout=1))
            or works(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
            "kills": works(lambda: os.kill(parameters.number, 0)),
            "forks": works(lambda: subprocess.run(["true"], check=False)),
        }
    }


_ACTS: dict[str, Callable[[Parameters, Inputs, NodeContext], Outputs]] = {
    "ok": _ok,
    "loaded": _loaded,
    "refuse": _refuse,
    "crash": _crash,
    "hang": _hang,
    "memory": _memory,
    "grow": _grow,
    "spin": _spin,
    "exit": _exit,
    "segfault": _segfault,
    "stubborn": _stubborn,
    "killed": _killed,
    "environment": _environment,
    "artifact": _artifact,
    "send": _send,
    "write": _write,
    "walls": _walls,
    "large": lambda parameters, inputs, context: {"value": {"text": "x" * 100_000}},
    "huge": lambda parameters, inputs, context: {"value": "x" * (17 << 20)},
    "nan": lambda parameters, inputs, context: {"value": float("nan")},
    "object": lambda parameters, inputs, context: {"value": object()},
    "stray": lambda parameters, inputs, context: {"nowhere": 1},
    "steal": lambda parameters, inputs, context: {"value": str(context.secret("OTHER"))},
    "script": lambda parameters, inputs, context: {
        "value": context.script(parameters.script, inputs=dict(inputs))
    },
}


def _act(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _ACTS[parameters.mode](parameters, inputs, context)


_PORTS: dict[str, Any] = {
    "inputs": {"data": PortSpec(type=Port.JSON, required=False)},
    "outputs": {"value": Port.JSON, "table": Port.TABLE},
}


@node(
    "sample.inline",
    version=1,
    title="Inline",
    effect=Effect.KEYED,
    example=Example(),
    secrets=("token",),
    egress_parameters=("url",),
    code={"script": "python"},
    **_PORTS,
)
def inline(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters, inputs, context)


@node(
    "sample.process",
    version=1,
    title="Process",
    effect=Effect.PURE,
    example=Example(),
    isolation=Isolation.PROCESS,
    secrets=("token",),
    egress_parameters=("url",),
    code={"script": "python"},
    resources=Resources(memory="100Mi"),
    **_PORTS,
)
def process(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters, inputs, context)


async def _busy() -> None:
    """A tenth of a second of work, in two parts."""
    for _ in range(2):
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        await asyncio.sleep(0)


@node(
    "sample.coroutine",
    version=1,
    title="Coroutine",
    effect=Effect.PURE,
    example=Example(),
    **_PORTS,
)
async def coroutine(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    if parameters.mode == "hang":
        await asyncio.sleep(60)
    if parameters.mode == "busy":
        await asyncio.gather(_busy(), _busy(), asyncio.sleep(0.3))
        return {"value": None}
    return _act(parameters, inputs, context)


@node(
    "sample.transactional",
    version=1,
    title="Transactional",
    effect=Effect.TRANSACTIONAL,
    example=Example(),
    **_PORTS,
)
def transactional(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters, inputs, context)


@node("sample.unsafe", version=1, title="Unsafe", effect=Effect.UNSAFE, example=Example(), **_PORTS)
def unsafe(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters, inputs, context)


@node(
    "sample.sandbox",
    version=1,
    title="Sandbox",
    effect=Effect.PURE,
    example=Example(),
    isolation=Isolation.SANDBOX,
    secrets=("token",),
    egress_parameters=("url",),
    code={"script": "python"},
    resources=Resources(memory="100Mi"),
    **_PORTS,
)
def sandbox(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs:
    return _act(parameters, inputs, context)
