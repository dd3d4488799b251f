"""The contracts of pyproject.toml say what the design's table says: each app whole, in order."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from tests.architecture import source

# The table of the design's section 2, bottom to top, where it names files. Adapters and pure
# packages have names of their own: they stand between the models and the actions, or below.
TABLE = (
    {"events", "errors"},
    {"models"},
    {"policies"},
    {"actions"},
    {"tasks", "jobs"},
    {"reactions", "views", "graphql", "rest"},
    {"admin", "urls", "apps", "management", "migrations"},
)
ADAPTERS = {"store", "live", "search", "secrets", "runner", "sandbox", "relay", "worker", "doors"}
# What the models of every app are made of; tenancy's contract says why.
BELOW_THE_MODELS = {"managers", "constraints", "operations", "scope"}
NO_APP_OF_THAT_SHAPE = {"kit", "nodes"}


@cache
def _contracts() -> dict[str, dict[str, Any]]:
    told = tomllib.loads((source.ROOT / "pyproject.toml").read_text())
    return {one["id"]: one for one in told["tool"]["importlinter"]["contracts"]}


def _inside(app: str) -> list[set[str]]:
    """The layers of an app's contract, bottom to top."""
    layers = _contracts()[f"inside-{app}"]["layers"]
    return [set(re.findall(r"\w+", layer)) for layer in reversed(layers)]


def _apps() -> list[str]:
    return sorted(path.parent.name for path in (source.ROOT / "apps").glob("*/__init__.py"))


@pytest.mark.parametrize("app", _apps())
def test_every_app_is_ordered_whole(app: str) -> None:
    contract = _contracts()[f"inside-{app}"]
    assert contract["type"] == "layers"
    assert contract["containers"] == [f"apps.{app}"]
    assert contract["exhaustive"] is True
    assert "exhaustive_ignores" not in contract
    assert "(" not in "".join(contract["layers"]), "a name that is not there any more"


def test_no_contract_looks_away() -> None:
    assert [key for key, one in _contracts().items() if "ignore_imports" in one] == []


@pytest.mark.parametrize("app", sorted(set(_apps()) - NO_APP_OF_THAT_SHAPE))
def test_the_order_is_the_tables(app: str) -> None:
    layers = _inside(app)
    rows = [(row, layer) for layer in layers for row, names in enumerate(TABLE) if layer & names]
    assert [row for row, _ in rows] == sorted(row for row, _ in rows)
    for row, layer in rows:
        strangers = layer - TABLE[row] - {"schema_view"}  # a view that is served at the root
        assert not strangers, f"{strangers} beside {TABLE[row]}"
    for lower, upper in pairwise(layers):
        assert not lower & upper


@pytest.mark.parametrize("app", sorted(set(_apps()) - NO_APP_OF_THAT_SHAPE))
def test_adapters_stand_between_policies_and_actions(app: str) -> None:
    layers = _inside(app)
    policies = next(at for at, layer in enumerate(layers) if "policies" in layer)
    actions = next((at for at, layer in enumerate(layers) if "actions" in layer), len(layers))
    for at, layer in enumerate(layers):
        if layer & ADAPTERS:
            assert policies < at < actions, layer


@pytest.mark.parametrize("app", sorted(set(_apps()) - NO_APP_OF_THAT_SHAPE))
def test_what_stands_below_the_models_needs_no_framework(app: str) -> None:
    layers = _inside(app)
    models = next(at for at, layer in enumerate(layers) if "models" in layer)
    below = set().union(*layers[:models]) - {"events", "errors"} - BELOW_THE_MODELS
    pure = set(_contracts()["pure"]["source_modules"])
    assert {f"apps.{app}.{name}" for name in below} <= pure
