"""What a newcomer finds on the shelf: two of the repository's workflows, published for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from apps.marketplace.actions import publish_release
from apps.marketplace.models import Listing, Release
from apps.marketplace.sources import Source
from apps.marketplace.submission import Submission
from apps.marketplace.terms import Category
from apps.security_scan import actions as scans
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.versions.actions import decide_approval

SHELF: Final = {
    "cars_etl.json": (Category.DATA_PIPELINE, "Bad rows aside, clean rows summed up."),
    "breast_cancer.json": (Category.MACHINE_LEARNING, "From measurements to a judged ONNX model."),
}


def fill(samples: Path, *, publisher: Actor, staff: Actor) -> None:
    """Publish, scan and approve what is not on the shelf yet."""
    for name, (category, tagline) in SHELF.items():
        document = json.loads((samples / name).read_text())
        with scope.enter(scope.Scope.of(publisher)), scope.transaction():
            is_there = Listing.objects.filter(name=document["name"]).exists()
        if not is_there:
            _publish(document, category=category, tagline=tagline, by=publisher, staff=staff)


def _publish(
    document: dict[str, Any], *, category: Category, tagline: str, by: Actor, staff: Actor
) -> None:
    metadata = document["metadata"]
    submission = Submission(
        name=document["name"],
        tagline=tagline,
        description=document["description"],
        category=category,
        version="1.0.0",
        changelog="First release.",
        license="Apache-2.0",
        documentation=metadata["documentation"],
        platform=">=0.1",
        tags=tuple(metadata["tags"]),
    )
    with scope.enter(scope.Scope.of(by)):
        release = publish_release(actor=by, source=Source(document=document), submission=submission)
        if release.scan_id is not None:
            # The job would do it as soon as its worker runs; here the shelf is filled before.
            scans.run_scan(scan_id=release.scan_id)
        with scope.transaction():
            judged = Release.objects.get(pk=release.pk)
    if judged.approval_id is None:
        message = f"{submission.name} did not pass the scan"
        raise RuntimeError(message)
    with scope.enter(scope.Scope.of(staff)):
        decide_approval(actor=staff, approval_id=judged.approval_id, approve=True)
