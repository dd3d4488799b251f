"""The product's worker process with the bench's steps in its catalogue (a module for Dramatiq)."""

from __future__ import annotations

import config.worker  # noqa: F401 - starts the engine's loop after boot
from bench import nodes

nodes.register()
