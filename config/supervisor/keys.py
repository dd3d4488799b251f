"""The installation's keys: made once, kept in files only their owner can read."""

from __future__ import annotations

import base64
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.env import CURSOR_KEY, KEY_ENCRYPTION_KEY, KEY_NAMES, PEPPER, SECRET_KEY
from config.supervisor.failure import CannotStart

OWNER_ONLY: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700


def generate() -> dict[str, str]:
    """A fresh value for every key, by the name of its environment variable."""
    return {
        SECRET_KEY: secrets.token_urlsafe(48),
        KEY_ENCRYPTION_KEY: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        PEPPER: secrets.token_urlsafe(32),
        CURSOR_KEY: secrets.token_urlsafe(32),
    }


def ensure(directory: Path, *, source: Mapping[str, str] | None = None) -> dict[str, str]:
    """Every key: from the environment when it is there, else from its file, else made now."""
    values = os.environ if source is None else source
    private_directory(directory)
    fresh = generate()
    return {
        name: values.get(name) or remembered(directory / name.lower(), fresh=fresh[name])
        for name in KEY_NAMES
    }


def private_directory(directory: Path) -> Path:
    """Make a directory only its owner can enter."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(PRIVATE_DIRECTORY)
    return directory


def remembered(path: Path, *, fresh: str) -> str:
    """The secret in a file, written on first use and never readable by others."""
    try:
        # O_EXCL: of two first starts at once, one writes and both read the same value.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) != OWNER_ONLY:
            path.chmod(OWNER_ONLY)
        value = path.read_text().strip()
        if not value:
            raise CannotStart(
                f"{path} is empty: restore it from a backup, or remove it to make a new key "
                "(what the old key protected is then lost)."
            ) from None
        return value
    with os.fdopen(descriptor, "w") as file:
        file.write(fresh + "\n")
        file.flush()
        os.fsync(file.fileno())
    return fresh


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads; a reader sees all of it or the one before."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
