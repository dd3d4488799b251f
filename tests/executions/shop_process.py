"""A real worker process with the product's runner, for the shop's steps.

usage: python -m tests.executions.shop_process, told by a line of JSON on stdin; prints "ready".
"""

from __future__ import annotations

import json
import os
import sys
import uuid

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")
django.setup()

from apps.executions.engine.slice_ports import Claim  # noqa: E402 - after setup
from apps.executions.runner.local import LocalRunner  # noqa: E402
from apps.executions.worker.loop import EngineLoop  # noqa: E402
from apps.executions.worker.settings import Hooks, LoopSettings  # noqa: E402
from apps.workflows.graph.document import Document, parse  # noqa: E402
from tests.executions.shop_nodes import SHOP  # noqa: E402


def main() -> None:
    told = json.loads(sys.stdin.readline())
    documents = {uuid.UUID(key): parse(value) for key, value in told["documents"].items()}

    def document_of(claim: Claim) -> Document:
        return documents[claim.version_id]

    loop = EngineLoop(
        LoopSettings(conninfo=os.environ["WORKER_CONNINFO"], pools=["io"], **told["settings"]),
        runner=LocalRunner(),
        documents=document_of,
        catalogue=SHOP,
        hooks=Hooks(),
    )
    loop.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    loop.stop(seconds=5)


if __name__ == "__main__":
    main()
