"""How the marketplace refuses: with the data a client needs to mend the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apps.kit.errors import ErrorCode, Refusal
from apps.security_scan.scanner import Report
from apps.versions import errors as versions


class VersionConflict(versions.VersionConflict):
    """The listing has a release of this version already; releases never change."""

    def __init__(self, *, version: str, latest: str, suggested: str) -> None:
        super().__init__(wanted=version, latest=latest, suggested=suggested)
        self.message = (
            f"Version {version} of this listing exists already, and releases never change. "
            f"The highest is {latest}; publish this one as {suggested}."
        )
        self.path = ("metadata", "version")


class ScanRefused(Refusal):
    """The scan found what may not be published; only told so when just asking (`validateOnly`)."""

    code = ErrorCode.SECURITY_SCAN_FAILED

    def __init__(self, report: Report) -> None:
        names = ", ".join(sorted({finding.rule for finding in report.blocking}))
        super().__init__(
            f"The security scan refuses this workflow ({names}). Mend each finding as its "
            "remediation says and publish again.",
            path=("workflow",),
        )
        self.report = report


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """One reason why a release does not fit here."""

    kind: str
    message: str
    blocking: bool = True


class Incompatible(Refusal):
    """The release needs something this platform, or this organization, does not have."""

    code = ErrorCode.INCOMPATIBLE

    def __init__(self, obstacles: tuple[Obstacle, ...], *, platform_range: str) -> None:
        reasons = " ".join(one.message for one in obstacles if one.blocking)
        super().__init__(f"This release cannot be installed here. {reasons}", path=("workflowId",))
        self.obstacles = obstacles
        self.platform_range = platform_range


class PaymentRequired(Refusal):
    """The listing is paid for, and nobody here has."""

    code = ErrorCode.PAYMENT_REQUIRED

    def __init__(self, listing: Any) -> None:
        super().__init__(
            "This workflow is not free, and paying is not available yet. "
            "Choose a free one or ask its publisher.",
            path=("workflowId",),
        )
        self.listing = listing


class DigestMismatch(Refusal):
    """What is stored is not what was approved."""

    code = ErrorCode.DIGEST_MISMATCH

    def __init__(self) -> None:
        super().__init__(
            "The stored package does not match the digest that was approved, so nothing was "
            "installed. Report it to the platform's staff or install another version.",
            path=("workflowId",),
        )


class SecretsMissing(Refusal):
    """The target environment lacks secrets the workflow needs."""

    code = ErrorCode.SECRET_MISSING

    def __init__(self, names: tuple[str, ...], *, environment: str) -> None:
        listed = ", ".join(names)
        super().__init__(
            f"The environment {environment} has no secret {listed}. Set it in the vault, or bind "
            "the slot to a connection, and install again.",
            path=("configuration", "connectionBindings"),
        )
        self.names = names
