"""The product's web process with the bench's steps in its catalogue (a module for uvicorn)."""

from __future__ import annotations

from bench import nodes
from config.asgi import application

__all__ = ["application"]

nodes.register()
