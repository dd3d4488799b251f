"""Pure scanners: a document's JSON in, a report out; no Django, no network, no files."""

from apps.security_scan.scanner.findings import Counts, Finding, Report, Severity, Verdict
from apps.security_scan.scanner.scan import scan, scanner_versions

__all__ = ["Counts", "Finding", "Report", "Severity", "Verdict", "scan", "scanner_versions"]
