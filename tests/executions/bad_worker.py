"""The worker process of the product, with node types that misbehave, for `dramatiq` to load."""

from __future__ import annotations

import config.worker  # noqa: F401 - Django, the actors, the engine's loop
from apps.workflows.graph import catalogue
from tests.executions.bad_nodes import TYPES

for one in TYPES:
    catalogue.register(one)
