"""The worker process of the product, with node types that misbehave, for `dramatiq` to load."""

from __future__ import annotations

import sys

import config.worker  # noqa: F401 - Django, the actors, the engine's loop
from apps.workflows.graph import catalogue
from tests.executions import bad_nodes
from tests.executions.bad_nodes import TYPES

sys.modules[bad_nodes.IN_HOUSE] = bad_nodes

for one in TYPES:
    catalogue.register(one)
