"""Documents of every schema version that ever was: they still read, validate and hash the same.

A sample is never edited. A new schema version gets a folder of its own, and its hashes here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from apps.workflows.graph import canonical, schema
from apps.workflows.graph.document import to_json
from apps.workflows.graph.issues import Severity
from apps.workflows.graph.normal import read
from apps.workflows.graph.shape import SCHEMA_VERSION
from apps.workflows.graph.validate import validate
from tests.factories.workflow_nodes import catalogue

SAMPLES = Path(__file__).with_name("samples")
# The digest of behavior; when one changes, every cached and installed workflow changes its name.
BEHAVIOR = {
    "v1/complete.json": "sha256:3ebde66ad78c1d0090ead9861381e000726eae8a2f5629c6aa9f925a4e6bb519",
    "v1/recovery.json": "sha256:5de7cc78e6904caf16df09d894f68cacc69cd7bc7e13864930207f60074859b5",
}


@pytest.mark.parametrize("name", BEHAVIOR)
def test_an_old_sample_still_reads_runs_and_hashes_the_same(name: str) -> None:
    raw = (SAMPLES / name).read_text()
    document = read(raw, catalogue())
    errors = [
        one for one in validate(document, catalogue()).issues if one.severity is Severity.ERROR
    ]
    assert errors == []
    assert canonical.content_hash(document) == BEHAVIOR[name]


def test_every_sample_is_pinned_and_every_version_has_one() -> None:
    found = {path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.json")}
    assert found == set(BEHAVIOR)
    assert {name.split("/")[0] for name in found} == {
        f"v{number}" for number in range(1, SCHEMA_VERSION + 1)
    }


def test_the_samples_hold_every_field_of_their_version() -> None:
    written = ""
    for path in (SAMPLES / f"v{SCHEMA_VERSION}").glob("*.json"):
        raw = json.loads(path.read_text())
        assert list(Draft202012Validator(schema.document_schema()).iter_errors(raw)) == []
        written += json.dumps(to_json(read(raw, catalogue())))
    shapes = schema.document_schema()["$defs"]
    for name in ("Node", "Connection", "Configuration", "Retry", "Cache", "Resources", "Schedule"):
        fields = {
            field
            for field, spec in shapes[name]["properties"].items()
            if not (field == "schedule" or spec.get("readOnly"))
        }
        missing = {field for field in fields if f'"{field}":' not in written}
        assert missing == set(), name
