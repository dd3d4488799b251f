"""The documents of the journey and what is expected of them."""

from __future__ import annotations

import json
from typing import Any

from tests.journeys.main_job.product import ROOT

EXAMPLES = ROOT / "apps" / "nodes" / "examples"
CARS = "cars_etl"
CANCER = "breast_cancer"
MALICIOUS = "evil"
EFFECTS = "effects"
PUBLISHED = (CARS, CANCER)

TOKEN_FORM = "ghp_"
MALICIOUS_FINDINGS = [
    ("code.dynamic-execution", "HIGH", "compute"),
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

OVERRIDES: dict[str, dict[str, Any]] = {
    CARS: {"file_name": "globex-cars"},
    CANCER: {"trees": 80},
}
QUERIES = (
    ("quarantine", CARS),
    ("quaran", CARS),
    ("breast cancer", CANCER),
    ("brest cancr", CANCER),
)
DELIVERIES = 8
CALLER_SECRET = "CALLER_TOKEN"
CALLER: dict[str, Any] = {
    "name": "Caller",
    "type": "dataPipeline",
    "nodes": [
        {
            "id": "call",
            "type": "output.webhook",
            "configuration": {
                "url": "https://hooks.example.com/in",
                "token": f"{{{{ secrets.{CALLER_SECRET} }}}}",
            },
        }
    ],
    "connections": [],
}
WAITING: dict[str, Any] = {
    "name": "For a machine nobody has",
    "type": "ml",
    "nodes": [
        {
            "id": "wait",
            "type": "input.constant",
            "configuration": {"value": 1},
            "resources": {"pool": "gpu"},
        }
    ],
    "connections": [],
}


def load(name: str) -> dict[str, Any]:
    """A document of the repository."""
    document: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return document
