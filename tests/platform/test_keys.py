"""The installation's keys: made once, private, never silently replaced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from config import env
from config.supervisor import keys
from config.supervisor.failure import CannotStart


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = keys.ensure(tmp_path / "keys", source={})
    second = keys.ensure(tmp_path / "keys", source={})

    assert first == second
    assert set(first) == set(env.KEY_NAMES)
    assert mode(tmp_path / "keys") == 0o700
    assert {mode(path) for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_made_keys_satisfy_production(tmp_path: Path) -> None:
    source = {
        **keys.ensure(tmp_path, source={}),
        "DATABASE_APP_URL": "postgresql://u@h/d",
        "REDIS_URL": "redis://h",
        "NSTARX_ALLOWED_HOSTS": "h",
        "NSTARX_PUBLIC_URL": "https://h",
    }

    assert env.load("production", source=source).keys.secret_key == source["NSTARX_SECRET_KEY"]


def test_a_key_of_the_environment_wins_and_is_not_written(tmp_path: Path) -> None:
    found = keys.ensure(tmp_path, source={env.PEPPER: "given"})

    assert found[env.PEPPER] == "given"
    assert not (tmp_path / env.PEPPER.lower()).exists()


def test_a_key_file_that_others_could_read_is_closed(tmp_path: Path) -> None:
    keys.ensure(tmp_path, source={})
    path = tmp_path / env.PEPPER.lower()
    path.chmod(0o644)

    keys.ensure(tmp_path, source={})

    assert mode(path) == 0o600


def test_an_emptied_key_file_is_named_not_replaced(tmp_path: Path) -> None:
    keys.ensure(tmp_path, source={})
    path = tmp_path / env.KEY_ENCRYPTION_KEY.lower()
    path.write_text("")

    with pytest.raises(CannotStart, match="is empty: restore it"):
        keys.ensure(tmp_path, source={})
    assert path.read_text() == ""
