"""The process environment, read once into one typed frozen object with a sentence for every gap."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, assert_never
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit
from uuid import UUID

ROOT: Final = Path(__file__).resolve().parent.parent
DEMO_PREFIX: Final = "insecure-demo-"
MINIMUM_KEY_LENGTH: Final = 32
KEY_ENCRYPTION_KEY_BYTES: Final = 32

SECRET_KEY: Final = "NSTARX_SECRET_KEY"  # noqa: S105 - a name
KEY_ENCRYPTION_KEY: Final = "NSTARX_KEY_ENCRYPTION_KEY"
PEPPER: Final = "NSTARX_PEPPER"
CURSOR_KEY: Final = "NSTARX_CURSOR_KEY"
PREVIOUS_KEY_ENCRYPTION_KEYS: Final = "NSTARX_PREVIOUS_KEY_ENCRYPTION_KEYS"
KEY_NAMES: Final = (SECRET_KEY, KEY_ENCRYPTION_KEY, PEPPER, CURSOR_KEY)

# Nobody waits for a Redis that is gone or frozen. An rq worker, which blocks for long, widens
# the second by itself.
REDIS_TIMEOUTS: Final[Mapping[str, int]] = {
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
    "health_check_interval": 30,
}

BELLS: Final = "dramatiq:bell:"
"""Before the name of a pool: the Redis list by which the broker wakes its workers."""

# A development process that nobody started through the supervisor (an editor, a type checker)
# gets these; they are public, so a process with DEBUG off refuses them.
_DEMO_KEY_BYTES: Final = DEMO_PREFIX.encode().ljust(KEY_ENCRYPTION_KEY_BYTES, b"-")
DEMO_KEYS: Final[Mapping[str, str]] = {
    SECRET_KEY: DEMO_PREFIX + "secret-key-for-one-developer-machine-only-nothing-else",
    KEY_ENCRYPTION_KEY: base64.urlsafe_b64encode(_DEMO_KEY_BYTES).decode(),
    PEPPER: DEMO_PREFIX + "pepper-for-one-developer-machine",
    CURSOR_KEY: DEMO_PREFIX + "cursor-key-for-one-developer-machine",
}


class EnvironmentInvalid(Exception):
    """The environment cannot run the product; the message says which variable to set to what."""


WORKER_POOLS: Final = ("io", "cpu", "sandbox", "system")
"""What a worker process serves unless it is told otherwise; "gpu" needs one that says so."""
QUARANTINE_POOLS: Final = ("quarantine",)
"""What one process more serves: what a worker died with, one thing at a time."""


class Mode(StrEnum):
    """Which settings module asks; production accepts no default for anything that is secret."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class DatabaseRole(StrEnum):
    """Whose login a process uses: the owner migrates, app serves people, engine runs workflows."""

    OWNER = "owner"
    APP = "app"
    ENGINE = "engine"


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """One PostgreSQL login, taken apart the way Django and psycopg want it."""

    host: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What signs, encrypts and peppers; never printed."""

    secret_key: str = field(repr=False)
    key_encryption_key: bytes = field(repr=False)
    pepper: str = field(repr=False)
    cursor_key: str = field(repr=False)
    # What was sealed before a rotation stays readable.
    previous_key_encryption_keys: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Everything a process may know from outside."""

    mode: Mode
    debug: bool
    role: DatabaseRole
    database: DatabaseAddress
    redis_url: str = field(repr=False)
    keys: Keys
    data_dir: Path
    allowed_hosts: tuple[str, ...]
    csrf_trusted_origins: tuple[str, ...]
    public_url: str
    email_url: str | None
    egress_allow: tuple[str, ...]
    log_json: bool
    worker_id: UUID | None
    worker_pools: tuple[str, ...]
    worker_labels: tuple[str, ...]

    def redis(self, database: int) -> str:
        """The same Redis server with another logical database."""
        parts = urlsplit(self.redis_url)
        return parts._replace(path=f"/{database}").geturl()

    def redis_with_timeouts(self, database: int) -> str:
        """The same for libraries that take nothing but an address; what REDIS_URL says wins."""
        parts = urlsplit(self.redis(database))
        options = {**REDIS_TIMEOUTS, **dict(parse_qsl(parts.query))}
        return parts._replace(query=urlencode(options)).geturl()


def load(mode: Mode | str, *, source: Mapping[str, str] | None = None) -> Environment:
    """Read the environment for one settings module; raises with a sentence about what to set."""
    values = os.environ if source is None else source
    mode = Mode(mode)
    debug = _flag(values, "NSTARX_DEBUG", default=mode is Mode.DEVELOPMENT)
    if debug and mode is Mode.PRODUCTION:
        raise EnvironmentInvalid(
            "NSTARX_DEBUG is on with the production settings: unset it, or use "
            "DJANGO_SETTINGS_MODULE=config.settings.development."
        )
    role = _role(values)
    return Environment(
        mode=mode,
        debug=debug,
        role=role,
        database=_database(values, role=role, mode=mode),
        redis_url=_required(
            values,
            "REDIS_URL",
            mode=mode,
            default="redis://127.0.0.1:6379/0",
            example="redis://:password@host:6379/0",
        ),
        keys=_keys(values, mode=mode, debug=debug),
        data_dir=Path(values.get("NSTARX_DATA_DIR") or ROOT / "var").resolve(),
        allowed_hosts=_hosts(values, mode=mode),
        csrf_trusted_origins=_list(values.get("NSTARX_CSRF_TRUSTED_ORIGINS", "")),
        public_url=_required(
            values,
            "NSTARX_PUBLIC_URL",
            mode=mode,
            default="http://127.0.0.1:8000",
            example="https://workflows.example.com",
        ).rstrip("/"),
        email_url=values.get("NSTARX_EMAIL_URL") or None,
        egress_allow=_egress_allow(values, mode=mode),
        log_json=_flag(values, "NSTARX_LOG_JSON", default=mode is Mode.PRODUCTION),
        worker_id=_worker_id(values),
        worker_pools=_list(values.get("NSTARX_WORKER_POOLS", "")) or WORKER_POOLS,
        worker_labels=_list(values.get("NSTARX_WORKER_LABELS", "")),
    )


def parse_database_url(url: str, *, variable: str = "DATABASE_URL") -> DatabaseAddress:
    """Take a postgresql:// URL apart; raises when it is not one."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise EnvironmentInvalid(
            f"{variable} is not a PostgreSQL URL: write "
            "postgresql://user:password@host:5432/database."
        )
    try:
        port = parts.port or 5432
    except ValueError as error:
        raise EnvironmentInvalid(
            f"{variable} has a port that is not a number between 1 and 65535."
        ) from error
    return DatabaseAddress(
        host=unquote(parts.hostname or "127.0.0.1"),
        port=port,
        name=unquote(parts.path.strip("/")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options=dict(parse_qsl(parts.query)),
    )


def _database(values: Mapping[str, str], *, role: DatabaseRole, mode: Mode) -> DatabaseAddress:
    match role:
        case DatabaseRole.OWNER:
            variable = "DATABASE_URL"
        case DatabaseRole.APP:
            variable = "DATABASE_APP_URL"
        case DatabaseRole.ENGINE:
            variable = "DATABASE_ENGINE_URL"
        case _:
            assert_never(role)
    url = values.get(variable)
    if not url and mode is Mode.PRODUCTION:
        raise EnvironmentInvalid(
            f"{variable} is not set, and NSTARX_DATABASE_ROLE={role.value} connects with it: set "
            f"{variable}=postgresql://nstarx_{role.value}:password@host:5432/nstarx. "
            "`python -m config.supervisor roles` creates the roles and prints their URLs."
        )
    return parse_database_url(
        url or f"postgresql://nstarx_{role.value}@127.0.0.1:5432/nstarx",
        variable=variable,
    )


def _keys(values: Mapping[str, str], *, mode: Mode, debug: bool) -> Keys:
    found: dict[str, str] = {}
    for name in KEY_NAMES:
        value = values.get(name, "")
        if not value and mode is Mode.PRODUCTION:
            raise EnvironmentInvalid(
                f"{name} is not set: set it to a random value that only this installation knows; "
                "`python -m config.supervisor keys` prints a fresh set."
            )
        found[name] = value or DEMO_KEYS[name]
    if not debug and mode is not Mode.TEST:
        for name, value in found.items():
            if value == DEMO_KEYS[name] or value.startswith(DEMO_PREFIX):
                raise EnvironmentInvalid(
                    f"{name} is the public demo key and NSTARX_DEBUG is off: set a random value; "
                    "`python -m config.supervisor keys` prints a fresh set."
                )
    for name in (SECRET_KEY, PEPPER, CURSOR_KEY):
        if len(found[name]) < MINIMUM_KEY_LENGTH:
            raise EnvironmentInvalid(
                f"{name} is shorter than {MINIMUM_KEY_LENGTH} characters: set a longer value."
            )
    return Keys(
        secret_key=found[SECRET_KEY],
        key_encryption_key=_decode_key(found[KEY_ENCRYPTION_KEY], name=KEY_ENCRYPTION_KEY),
        pepper=found[PEPPER],
        cursor_key=found[CURSOR_KEY],
        previous_key_encryption_keys=tuple(
            _decode_key(text, name=PREVIOUS_KEY_ENCRYPTION_KEYS)
            for text in _list(values.get(PREVIOUS_KEY_ENCRYPTION_KEYS, ""))
        ),
    )


def _decode_key(text: str, *, name: str) -> bytes:
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_ENCRYPTION_KEY_BYTES:
        raise EnvironmentInvalid(
            f"{name} is not {KEY_ENCRYPTION_KEY_BYTES} bytes in URL-safe base64: "
            "`python -m config.supervisor keys` prints a fresh one."
        )
    return key


def _role(values: Mapping[str, str]) -> DatabaseRole:
    text = values.get("NSTARX_DATABASE_ROLE") or DatabaseRole.APP.value
    try:
        return DatabaseRole(text)
    except ValueError as error:
        raise EnvironmentInvalid(
            f"NSTARX_DATABASE_ROLE={text!r} is unknown: use owner, app or engine."
        ) from error


def _worker_id(values: Mapping[str, str]) -> UUID | None:
    text = values.get("NSTARX_WORKER_ID")
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise EnvironmentInvalid(
            "NSTARX_WORKER_ID is not a UUID: unset it, the supervisor sets it for each worker."
        ) from error


def _hosts(values: Mapping[str, str], *, mode: Mode) -> tuple[str, ...]:
    hosts = _list(values.get("NSTARX_ALLOWED_HOSTS", ""))
    if hosts:
        return hosts
    if mode is Mode.PRODUCTION:
        raise EnvironmentInvalid(
            "NSTARX_ALLOWED_HOSTS is not set: set it to the host names people use, with commas."
        )
    return ("127.0.0.1", "localhost", "[::1]", "testserver")


def _egress_allow(values: Mapping[str, str], *, mode: Mode) -> tuple[str, ...]:
    """Private addresses a workflow may call all the same: a demo's own sink, never production."""
    allowed = _list(values.get("NSTARX_EGRESS_ALLOW", ""))
    if allowed and mode is Mode.PRODUCTION:
        raise EnvironmentInvalid(
            "NSTARX_EGRESS_ALLOW opens private addresses to workflows: unset it in production."
        )
    return allowed


def _required(
    values: Mapping[str, str], name: str, *, mode: Mode, default: str, example: str
) -> str:
    value = values.get(name)
    if not value and mode is Mode.PRODUCTION:
        raise EnvironmentInvalid(f"{name} is not set: set {name}={example}.")
    return value or default


def _flag(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name, "").strip().lower()
    if not text:
        return default
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise EnvironmentInvalid(f"{name}={text!r} is neither on nor off: set 1 or 0.")


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
