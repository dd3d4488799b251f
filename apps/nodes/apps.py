"""Wiring of the node library."""

from __future__ import annotations

import logging

from django.apps import AppConfig

logger = logging.getLogger(__name__)


class NodesConfig(AppConfig):
    """The node library."""

    name = "apps.nodes"
    label = "nodes"

    def ready(self) -> None:
        """Fill the catalogue: the library, then what other distributions bring."""
        from apps.nodes import library

        for failure in library.load():
            logger.error("Nodes of %s could not be loaded: %s", failure.entry_point, failure.reason)
