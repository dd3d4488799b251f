"""Which families the library has, and how they and strangers' packages reach the catalogue."""

from __future__ import annotations

import importlib

from apps.workflows.graph import catalogue

FAMILIES = ("control", "data", "input", "logic", "ml", "output", "transform")


def load(into: catalogue.Catalogue = catalogue.INSTALLED) -> tuple[catalogue.LoadFailure, ...]:
    """Register every node type; imports declarations only, no library of a node."""
    for family in FAMILIES:
        catalogue.register_package(importlib.import_module(f"apps.nodes.{family}"), into=into)
    return catalogue.load_entry_points(into=into)
