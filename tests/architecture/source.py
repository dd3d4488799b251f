"""The source tree as the architecture tests read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("apps", "config")


def modules(*packages: str) -> Iterator[Path]:
    """Every Python file of the packages, but migrations."""
    for package in packages or PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


@cache
def tree(path: Path) -> ast.Module:
    """The file, parsed once."""
    return ast.parse(path.read_text(), filename=str(path))


def name(path: Path) -> str:
    """The path as people write it."""
    return str(path.relative_to(ROOT))
