"""What the two workflows must come to: counts, a table, a model that agrees with scikit-learn."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.journeys.main_job import documents
from tests.journeys.main_job.api import Client
from tests.journeys.main_job.ledger import Ledger

PARQUET_MAGIC = b"PAR1"
# An ONNX file is a protobuf whose first field is the IR version, a varint.
ONNX_FIRST_FIELD = 0x08


def outputs(seen: dict[str, Any]) -> dict[str, Any]:
    """What each step put out, by node."""
    return {run["nodeId"]: run["outputPreview"] for run in seen["nodeRuns"]["nodes"]}


def cars(ledger: Ledger, client: Client, slug: str, seen: dict[str, Any]) -> None:
    """406 rows: 392 valid, 14 in quarantine, 36 groups in a Parquet file of the asked name."""
    out = outputs(seen)
    report = out["check"]["report"]
    counts = (report["rows"], report["valid"], report["invalid"])
    ledger.equal("  406 rows: 392 valid, 14 in quarantine", counts, (406, 392, 14))
    stored = seen["result"]["quarantine"]["receipt"]
    ledger.equal("  the quarantine file has 14 rows", stored["rows"], 14)
    receipt = seen["result"]["store"]["receipt"]
    wanted = documents.OVERRIDES[documents.CARS]["file_name"] + ".parquet"
    ledger.equal("  the override of the install took effect", receipt["name"], wanted)
    ledger.equal("  SQL grouped them by origin and year", receipt["rows"], 36)
    ledger.fact("406 → 392 + 14 rows")
    content = _download(ledger, client, slug, receipt["digest"])
    ledger.equal("  and is Parquet", content[:4], PARQUET_MAGIC)


def cancer(ledger: Ledger, client: Client, slug: str, seen: dict[str, Any]) -> None:
    """F1 over five folds of at least 0.95, and an ONNX file that labels like scikit-learn."""
    out = outputs(seen)
    ledger.equal("  569 rows are valid", out["check"]["report"]["valid"], 569)
    metrics = out["train"]["metrics"]
    ledger.expect("  F1 over 5 folds is at least 0.95", metrics["f1"] >= 0.95, metrics["f1"])
    ledger.equal("  the override of the install took effect", seen["parameters"].get("trees"), 80)
    ledger.fact(f"F1 {metrics['f1']:.3f}")
    agreement = metrics["onnx_agreement"]
    ledger.equal("  the ONNX model labels every row like scikit-learn", agreement, 1.0)
    held_out = out["evaluate"]["metrics"]
    ledger.expect("  held-out rows agree", held_out["f1"] >= 0.9, f"F1 {held_out['f1']:.3f}")
    digest = out["evaluate"]["passed"]["$artifact"]
    content = _download(ledger, client, slug, digest)
    ledger.equal("  and is ONNX", content[:1], bytes([ONNX_FIRST_FIELD]))
    predicted = seen["result"]["predict"]["table"]["schema"]["rows"]
    ledger.equal("  it predicted the 142 rows held out", predicted, 142)


def _download(ledger: Ledger, client: Client, slug: str, digest: str) -> bytes:
    answer = client.page(f"/t/{slug}/artifacts/{digest}")
    seen = "sha256:" + hashlib.sha256(answer.content).hexdigest()
    ledger.expect(
        "  its file downloads under its digest", seen == digest, f"{len(answer.content)} B"
    )
    return answer.content
