"""What a step's process may read: the interpreter, its libraries, the code of the project."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_SYSTEM: Final = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_SYSTEM_MORE: Final = ("/etc/localtime", "/etc/ssl/openssl.cnf")


@cache
def paths() -> tuple[str, ...]:
    """Directories and files; not all exist everywhere."""
    return tuple(dict.fromkeys((*_SYSTEM, *_SYSTEM_MORE, *_python())))


def search_path() -> list[str]:
    """Where this interpreter finds modules, absolute: the working directory is another inside.

    Without the directory in which somebody happened to start it: it may hold anything.
    """
    entries = dict.fromkeys(Path(entry).absolute() for entry in sys.path)
    return [str(entry) for entry in entries if entry != Path.cwd() or _is_project(entry)]


def _python() -> Iterator[str]:
    """The interpreter, its libraries, the packages of the project: not its data, not its keys."""
    yield from dict.fromkeys((sys.base_prefix, sys.prefix))
    for entry in map(Path, search_path()):
        if not _is_project(entry):
            yield str(entry)
            continue
        for package in sorted(entry.glob("*/__init__.py")):
            yield str(package.parent)


def _is_project(entry: Path) -> bool:
    return (entry / "apps" / "__init__.py").exists()
