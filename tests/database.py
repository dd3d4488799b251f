"""The test database: migrated once by the owner into a template, cloned for each test process."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg.conninfo
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from config.supervisor import roles

OWNER_URL = "DATABASE_URL"


def prepare(name: str) -> None:
    """Make database `name` as the owner made it; the default connection then logs in as `app`."""
    owner_url = os.environ[OWNER_URL]
    template = f"nstarx_template_{os.environ.get('NSTARX_TEST_SERVICES', os.getpid())}"
    with _one_at_a_time(), roles.connect(owner_url) as owner:
        found = owner.execute(
            "SELECT FROM pg_database WHERE datname = %s AND datallowconn", (f"{template}_done",)
        ).fetchone()
        if found is None:
            _create(owner, template)
            _migrate(template)
            owner.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(template), sql.Identifier(f"{template}_done")
                )
            )
        _create(owner, name, template=f"{template}_done")
    _point_default_at(name, os.environ["DATABASE_APP_URL"], role="app")


def destroy(name: str) -> None:
    """Drop it; the template goes with the cluster."""
    connections.close_all()
    with roles.connect(os.environ[OWNER_URL]) as owner:
        roles.drop_database(owner, name)


def url(role: str) -> str:
    """Where the test database is, for `owner`, `app` or `engine`."""
    variable = {"owner": OWNER_URL, "app": "DATABASE_APP_URL", "engine": "DATABASE_ENGINE_URL"}
    base = os.environ[variable[role]]
    name = str(connections["default"].settings_dict["NAME"])
    return base.rpartition("/")[0] + "/" + name


@contextmanager
def as_engine() -> Iterator[None]:
    """The default connection logs in as a worker does."""
    held = connections["default"]
    address = psycopg.conninfo.conninfo_to_dict(url("engine"))
    outer = {key: held.settings_dict[key] for key in ("USER", "PASSWORD")}
    held.close()
    held.settings_dict.update(USER=address["user"], PASSWORD=address.get("password", ""))
    try:
        yield
    finally:
        held.close()
        held.settings_dict.update(outer)


def _create(owner: Any, name: str, *, template: str | None = None) -> None:
    roles.drop_database(owner, name)
    copied = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
    owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copied)


def _migrate(name: str) -> None:
    owner_url = os.environ[OWNER_URL].rpartition("/")[0] + "/" + name
    logins = tuple(
        roles.user_of(os.environ[v]) for v in ("DATABASE_APP_URL", "DATABASE_ENGINE_URL")
    )
    with roles.connect(owner_url) as owner:
        roles.grant(owner, to=logins)
        for login in logins:
            # Only tests empty tables; the product's roles cannot.
            owner.execute(
                sql.SQL("ALTER DEFAULT PRIVILEGES GRANT TRUNCATE ON TABLES TO {}").format(
                    sql.Identifier(login)
                )
            )
    _point_default_at(name, owner_url, role="owner")
    call_command("migrate", verbosity=0, interactive=False)
    connections.close_all()


def _point_default_at(name: str, login_url: str, *, role: str) -> None:
    address = psycopg.conninfo.conninfo_to_dict(login_url)
    connection = connections["default"]
    connection.close()
    settings.DATABASE_ROLE = role
    for target in (connection.settings_dict, settings.DATABASES["default"]):
        target["NAME"] = name
        target["USER"] = address["user"]
        target["PASSWORD"] = address.get("password", "")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    lock = Path(tempfile.gettempdir()) / f"nstarx-test-template-{os.getuid()}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
