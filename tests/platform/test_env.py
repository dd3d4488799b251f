"""The environment: every gap is refused with a sentence that says what to set."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest

from config import env
from config.supervisor import keys

PRODUCTION = {
    "DATABASE_APP_URL": "postgresql://nstarx_app:p%40ss@db.example.com:6432/nstarx?sslmode=require",
    "REDIS_URL": "redis://:secret@cache.example.com:6379/5",
    "NSTARX_ALLOWED_HOSTS": "workflows.example.com, www.example.com",
    "NSTARX_PUBLIC_URL": "https://workflows.example.com/",
}


def production(**changes: str) -> dict[str, str]:
    values = {**PRODUCTION, **keys.generate(), **changes}
    return {name: value for name, value in values.items() if value}


def environment_with_redis(url: str) -> env.Environment:
    return env.load("production", source=production(REDIS_URL=url))


def test_a_redis_address_carries_timeouts_and_what_it_says_itself_wins() -> None:
    plain = environment_with_redis("redis://:s%40@cache.example.com:6379/5")
    assert plain.redis_with_timeouts(1) == (
        "redis://:s%40@cache.example.com:6379/1"
        "?socket_connect_timeout=2&socket_timeout=5&health_check_interval=30"
    )
    own = environment_with_redis("rediss://cache.example.com/?socket_timeout=1&protocol=3")
    assert own.redis_with_timeouts(2) == (
        "rediss://cache.example.com/2"
        "?socket_connect_timeout=2&socket_timeout=1&health_check_interval=30&protocol=3"
    )


def test_a_complete_production_environment_is_read() -> None:
    loaded = env.load("production", source=production())

    assert loaded.debug is False
    assert loaded.database == env.DatabaseAddress(
        host="db.example.com",
        port=6432,
        name="nstarx",
        user="nstarx_app",
        password="p@ss",
        options={"sslmode": "require"},
    )
    assert loaded.allowed_hosts == ("workflows.example.com", "www.example.com")
    assert loaded.public_url == "https://workflows.example.com"
    assert loaded.redis(2) == "redis://:secret@cache.example.com:6379/2"
    assert loaded.log_json is True
    assert len(loaded.keys.key_encryption_key) == 32


@pytest.mark.parametrize("name", [*PRODUCTION, *env.KEY_NAMES])
def test_production_has_no_default_for_what_it_needs(name: str) -> None:
    with pytest.raises(env.EnvironmentInvalid, match=rf"^{name} is not set.*set"):
        env.load("production", source=production(**{name: ""}))


@pytest.mark.parametrize(
    ("role", "variable"),
    [
        ("owner", "DATABASE_URL"),
        ("app", "DATABASE_APP_URL"),
        ("engine", "DATABASE_ENGINE_URL"),
    ],
)
def test_each_role_reads_its_own_login(role: str, variable: str) -> None:
    # given only the login of one role
    url = f"postgresql://{role}:pw@db.example.com/nstarx"
    source = production(DATABASE_APP_URL="", NSTARX_DATABASE_ROLE=role) | {variable: url}

    # then that role connects with it, and another role refuses to borrow it
    assert env.load("production", source=source).database.user == role
    other = "engine" if role != "engine" else "app"
    with pytest.raises(env.EnvironmentInvalid, match="is not set"):
        env.load("production", source=source | {"NSTARX_DATABASE_ROLE": other})


@pytest.mark.parametrize("name", env.KEY_NAMES)
def test_demo_keys_are_refused_without_debug(name: str) -> None:
    demo = {name: env.DEMO_KEYS[name]}

    with pytest.raises(env.EnvironmentInvalid, match=f"{name} is the public demo key"):
        env.load("production", source=production(**demo))
    with pytest.raises(env.EnvironmentInvalid, match="public demo key"):
        env.load("development", source={"NSTARX_DEBUG": "0"})


def test_a_developers_process_needs_nothing() -> None:
    loaded = env.load("development", source={})

    assert loaded.debug is True
    assert loaded.role is env.DatabaseRole.APP
    assert loaded.data_dir == env.ROOT / "var"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"NSTARX_DEBUG": "1"}, "NSTARX_DEBUG is on"),
        ({"NSTARX_DEBUG": "perhaps"}, "neither on nor off"),
        ({"NSTARX_DATABASE_ROLE": "root"}, "use owner, app or engine"),
        ({"NSTARX_WORKER_ID": "seven"}, "not a UUID"),
        ({"NSTARX_EGRESS_ALLOW": "127.0.0.1:1"}, "unset it in production"),
        ({"NSTARX_PEPPER": "short"}, "NSTARX_PEPPER is shorter than 32"),
        ({"NSTARX_KEY_ENCRYPTION_KEY": "A" * 40}, "32 bytes in URL-safe base64"),
        ({"NSTARX_PREVIOUS_KEY_ENCRYPTION_KEYS": "x"}, "NSTARX_PREVIOUS_KEY_ENCRYPTION_KEYS is"),
        ({"DATABASE_APP_URL": "mysql://u@h/d"}, "not a PostgreSQL URL"),
        ({"DATABASE_APP_URL": "postgresql://u@h:99999/d"}, "port that is not a number"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(env.EnvironmentInvalid, match=sentence):
        env.load("production", source=production(**changes))


def test_a_worker_and_rotated_keys_are_read() -> None:
    old = base64.urlsafe_b64encode(b"o" * 32).decode()
    worker = "0190d8f0-0000-7000-8000-000000000001"

    loaded = env.load(
        "production",
        source=production(
            NSTARX_WORKER_ID=worker, NSTARX_PREVIOUS_KEY_ENCRYPTION_KEYS=f"{old},{old}"
        ),
    )

    assert loaded.worker_id == UUID(worker)
    assert loaded.keys.previous_key_encryption_keys == (b"o" * 32, b"o" * 32)


def test_secrets_are_not_in_the_representation() -> None:
    source = production()

    text = repr(env.load("production", source=source))

    assert "p@ss" not in text
    assert ":secret@" not in text
    assert not any(source[name] in text for name in env.KEY_NAMES)
