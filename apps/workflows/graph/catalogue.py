"""Which node types this process knows, and which of them lack their libraries."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import ModuleType

from apps.workflows.graph.declaration import NodeType, declared_in
from apps.workflows.graph.nearby import closest

ENTRY_POINT_GROUP = "nstarx.nodes"
"""A third party's distribution names its package of node modules in this group."""


class DuplicateNodeType(ValueError):
    """Two declarations claim the same type and version."""


@dataclass(frozen=True)
class LoadFailure:
    """A stranger's package that could not be loaded; the others work on."""

    entry_point: str
    reason: str


class Catalogue:
    """Node types by (type, major version)."""

    def __init__(self, node_types: Iterable[NodeType] = ()) -> None:
        self._by_key: dict[tuple[str, int], NodeType] = {}
        for node_type in node_types:
            self.register(node_type)

    def __iter__(self) -> Iterator[NodeType]:
        return iter(self.all_types())

    def register(self, node_type: NodeType) -> NodeType:
        """Add a type; adding the same again is nothing, another under the same key is refused."""
        present = self._by_key.setdefault(node_type.key, node_type)
        if present.handler != node_type.handler:
            raise DuplicateNodeType(
                f"{node_type.type} version {node_type.version} is declared by both "
                f"{present.handler} and {node_type.handler}."
            )
        return present

    def get(self, type: str, version: int | str | None = None) -> NodeType | None:
        """The type of that major version (the document writes it as text), the newest when None."""
        if version is None:
            known = self.versions(type)
            return self._by_key[type, known[-1]] if known else None
        major = str(version).partition(".")[0]
        return self._by_key.get((type, int(major))) if major.isdecimal() else None

    def versions(self, type: str) -> tuple[int, ...]:
        """The majors known of a type, oldest first."""
        return tuple(sorted(version for name, version in self._by_key if name == type))

    def all_types(self) -> tuple[NodeType, ...]:
        """Every type, by type and version."""
        return tuple(self._by_key[key] for key in sorted(self._by_key))

    def closest(self, type: str) -> str | None:
        """The known type a misspelt one probably meant."""
        return closest(type, sorted({name for name, _ in self._by_key}))


INSTALLED = Catalogue()
"""The types of this installation; filled when the apps start."""

_extras: dict[str, tuple[str, ...]] = {
    "data": ("polars", "duckdb", "pyarrow"),
    "ml": ("polars", "sklearn", "skl2onnx", "onnxruntime"),
}


def register(node_type: NodeType) -> NodeType:
    """Add a type to the installation."""
    return INSTALLED.register(node_type)


def get(type: str, version: int | str | None = None) -> NodeType | None:
    """A type of the installation, the newest major when no version is named."""
    return INSTALLED.get(type, version)


def all_types() -> tuple[NodeType, ...]:
    """Every type of the installation."""
    return INSTALLED.all_types()


def declare_extra(name: str, *, modules: tuple[str, ...]) -> None:
    """Say which top-level modules an extra brings: its absence is known without importing."""
    _extras[name] = modules


def extra_modules(name: str | None) -> tuple[str, ...]:
    """The top-level modules an extra brings; a step process imports them once, before it forks."""
    return _extras.get(name, ()) if name is not None else ()


def missing_extra(node_type: NodeType) -> str | None:
    """The extra this process lacks to run the type, None when nothing is missing."""
    if node_type.extra is None:
        return None
    modules = _extras.get(node_type.extra)
    if modules is not None and all(map(_is_installed, modules)):
        return None
    return node_type.extra


@cache
def _is_installed(module: str) -> bool:
    """Looked up once: what is installed does not change under a running process."""
    return find_spec(module) is not None


def register_package(package: ModuleType, *, into: Catalogue = INSTALLED) -> tuple[NodeType, ...]:
    """Import a module, or a package and all below it, and register what is declared there."""
    modules = [package]
    if hasattr(package, "__path__"):
        walk = pkgutil.walk_packages(package.__path__, prefix=f"{package.__name__}.")
        modules += [importlib.import_module(found.name) for found in walk]
    return tuple(into.register(one) for module in modules for one in declared_in(module))


def load_entry_points(
    *,
    into: Catalogue = INSTALLED,
    found: Callable[[], Iterable[EntryPoint]] = lambda: entry_points(group=ENTRY_POINT_GROUP),
) -> tuple[LoadFailure, ...]:
    """Register every third party's nodes; a broken package is reported, never fatal."""
    failures = []
    for entry_point in found():
        try:
            register_package(entry_point.load(), into=into)
        except Exception as error:  # A stranger's import may raise anything.
            failures.append(LoadFailure(entry_point.name, f"{type(error).__name__}: {error}"))
    return tuple(failures)
