"""What travels between nodes, and which ends fit together."""

import re
from dataclasses import dataclass
from enum import StrEnum

PORT_PATTERN = re.compile(r"[a-z][a-zA-Z0-9_]{0,63}")
ERROR_PORT = "error"
"""Every node has this output port; the failure leaves by it where `onError` says so."""


class Port(StrEnum):
    """What travels through a port. Compatible: the same type, or `ANY` on either side."""

    ANY = "any"
    JSON = "json"
    TEXT = "text"
    TABLE = "table"
    DOCUMENTS = "documents"
    CHUNKS = "chunks"
    VECTORS = "vectors"
    INDEX = "index"
    MODEL = "model"
    DATASET = "dataset"
    METRICS = "metrics"
    STREAM = "stream"
    MESSAGE = "message"
    FILE = "file"
    REPORT = "report"

    def accepts(self, other: "Port") -> bool:
        """Whether a value of port type `other` may arrive here; there is no silent cast."""
        return self is other or Port.ANY in (self, other)


@dataclass(frozen=True, kw_only=True)
class PortSpec:
    """One port, or (`dynamic`) the template of the ports a document lists itself.

    `inner` ports face the body of a container: an inner output hands the item to the body, an
    inner input collects what the body made.
    """

    type: Port
    required: bool = True
    multiple: bool = False
    dynamic: bool = False
    inner: bool = False
    title: str = ""
    by_reference: bool = False
    """Large values arrive as references: the node reads them piece by piece."""
    configured_by: str | None = None
    """Name of the parameter that may stand in for a connection."""
