"""The product on a peer's workloads, through the same kind of door."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Final

import httpx

from bench import trigger
from bench.documents import BRANCHES, CHAIN, FAN, SHORT, chain, fan, side_by_side
from bench.peers.catalogue import Door
from bench.peers.protocol import timed
from bench.product import Product

KINDS: Final = ("pure", "keyed")
"""Our steps: checkpointed in groups; and each durable before the next, as the peers' are."""
_CALLERS: Final = 20
"""Of W3 over the network: as many connections as a peer's client has."""
_LOOK_SECONDS: Final = 0.0005
_MANY_LOOK_SECONDS: Final = 0.002
Case = Callable[[int], float]


class Ours:
    """Deploys what a case needs when it is first asked for."""

    def __init__(self, product: Product, *, url: str) -> None:
        self._product = product
        self._url = url
        self._workflows: dict[str, uuid.UUID] = {}
        self._callers = ThreadPoolExecutor(_CALLERS, thread_name_prefix="caller")

    def cases(self, case: str, door: Door) -> Mapping[str, Case]:
        """By kind of step; W4 and W5 have one kind."""
        match case:
            case "w1":
                return {kind: self._one(door, f"chain-{kind}") for kind in KINDS}
            case "w2":
                return {kind: self._one(door, f"fan-{kind}") for kind in KINDS}
            case "w3":
                return {kind: self._many(door, f"short-{kind}") for kind in KINDS}
            case "w4":
                return {"pure": self._first_step(door)}
            case _:
                return {"pure": self._one(door, case)}

    def _one(self, door: Door, name: str) -> Case:
        return lambda _: timed(lambda: self._run(door, self._workflow(name)))

    def _many(self, door: Door, name: str) -> Case:
        def all_of_them(runs: int) -> None:
            workflow = self._workflow(name)
            if door is Door.IN_PROCESS:
                self._product.start_many(workflow, runs)
                self._product.watch.until_all_done(look=_MANY_LOOK_SECONDS)
            else:
                list(self._callers.map(lambda _: self._run(door, workflow), range(runs)))
            self._product.watch.require_all_succeeded()

        return lambda runs: timed(lambda: all_of_them(runs))

    def _first_step(self, door: Door) -> Case:
        def measured(_: int) -> float:
            workflow = self._workflow("first")
            began = time.time()
            run_id = self._start(door, workflow)
            self._product.watch.until_done(run_id, look=trigger.LOOK_SECONDS)
            return self._product.watch.stamp_of(run_id) - began

        return measured

    def _run(self, door: Door, workflow: uuid.UUID) -> None:
        if door is Door.IN_PROCESS:
            run_id = self._start(door, workflow)
            self._product.watch.until_done(run_id, look=_LOOK_SECONDS)
        else:
            trigger.run_over_http(self._client, workflow)

    def _start(self, door: Door, workflow: uuid.UUID) -> uuid.UUID:
        if door is Door.IN_PROCESS:
            return self._product.start(workflow)
        return trigger.start_over_http(self._client, workflow)

    def _workflow(self, name: str) -> uuid.UUID:
        if name not in self._workflows:
            shape, _, kind = name.partition("-")
            document = {
                "chain": lambda: chain(kind, steps=CHAIN),
                "fan": lambda: fan(kind, width=FAN),
                "short": lambda: chain(kind, steps=SHORT),
                "first": lambda: chain("stamp", steps=1),
                "w5sleep": lambda: side_by_side("sleep", width=BRANCHES),
                "w5cpu": lambda: side_by_side("cpu", width=BRANCHES),
            }[shape]()
            self._workflows[name] = self._product.deploy(document)
        return self._workflows[name]

    @cached_property
    def _client(self) -> httpx.Client:
        client = httpx.Client(base_url=self._url, timeout=120, trust_env=False)
        client.headers["Authorization"] = f"Bearer {self._product.api_key()}"
        trigger.await_web(client)
        return client
