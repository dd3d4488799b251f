"""The whole product, killed without warning while it works: no process of it survives."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from config.supervisor import kernel
from tests.journeys.main_job import documents, product
from tests.journeys.main_job.api import Client
from tests.journeys.main_job.journey import payload
from tests.journeys.main_job.publishing import CREATE
from tests.journeys.main_job.running import EXECUTE, outcome

PATIENCE_SECONDS = 30.0


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _names(pids: list[int]) -> dict[int, str]:
    return {
        pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for pid in pids
        if _alive(pid)
    }


@pytest.mark.usefixtures("own_servers")
@pytest.mark.parametrize("victims", ["supervisor", "both"])
def test_sigkill_leaves_no_process(victims: str) -> None:
    with product.running(environment={}, quiet=True) as running:
        # given a product with its step processes and sandboxes warm
        with Client.of(running, running.acme) as client:
            made = client.ask(CREATE, document=documents.load(documents.CARS))
            workflow = payload(made, "createWorkflow")["workflow"]["id"]
            started = client.ask(EXECUTE, id=workflow, parameters=None, key=None)
            execution = payload(started, "executeWorkflow")["execution"]["id"]
            while outcome(client, execution)["status"] in {"QUEUED", "RUNNING"}:
                time.sleep(0.1)
        guard = running.process_id
        supervisor = kernel.children(guard)[0]
        everybody = [guard, *kernel.descendants(guard)]
        assert len(everybody) > 10

        if victims == "both":
            os.kill(supervisor, signal.SIGSTOP)  # so that neither sees the other's end
            os.kill(guard, signal.SIGKILL)
        os.kill(supervisor, signal.SIGKILL)

        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(map(_alive, everybody)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _names(everybody) == {}
