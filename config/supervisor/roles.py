"""The three database logins: who owns the tables, who serves people, who runs workflows."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from config.supervisor.failure import CannotStart

OWNER: Final = "nstarx_owner"
APP: Final = "nstarx_app"
ENGINE: Final = "nstarx_engine"
DATABASE: Final = "nstarx"
URL_VARIABLES: Final = ("DATABASE_URL", "DATABASE_APP_URL", "DATABASE_ENGINE_URL")
CONNECT_SECONDS: Final = 10
MINIMUM_SERVER: Final = 150_000
PASSWORD_BYTES: Final = 24
# Nothing a web or worker process does may step over row-level security.
POWERLESS: Final = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION"

_SEND_AWAY: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = %s AND usename IS NOT NULL"
)


@dataclass(frozen=True, kw_only=True)
class RoleUrls:
    """One address per login."""

    owner: str = field(repr=False)
    app: str = field(repr=False)
    engine: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """As the variables config.env reads."""
        return {
            "DATABASE_URL": self.owner,
            "DATABASE_APP_URL": self.app,
            "DATABASE_ENGINE_URL": self.engine,
        }


def create_owner(superuser_url: str) -> str:
    """On a cluster of our own: the owner and its database; returns the owner's URL."""
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    with connect(superuser_url) as connection:
        # CREATEDB is for test databases; CREATEROLE makes the two other logins.
        _create_or_alter(
            connection,
            OWNER,
            password,
            "LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB CREATEROLE",
        )
        exists = connection.execute(
            "SELECT FROM pg_database WHERE datname = %s", (DATABASE,)
        ).fetchone()
        if exists is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(OWNER)
                )
            )
    return with_login(superuser_url, user=OWNER, password=password, database=DATABASE)


def ensure(owner_url: str, *, source: Mapping[str, str]) -> RoleUrls:
    """Create app and engine or rotate their passwords, and grant them tables made from now on.

    DATABASE_APP_URL and DATABASE_ENGINE_URL in `source` are taken as they are.
    """
    with connect(owner_url) as connection:
        if connection.info.server_version < MINIMUM_SERVER:
            raise CannotStart(
                f"DATABASE_URL is PostgreSQL {connection.info.server_version // 10_000}: "
                "PostgreSQL 15 or newer is needed."
            )
        urls = RoleUrls(
            owner=owner_url,
            app=_login(connection, APP, owner_url, given=source.get("DATABASE_APP_URL")),
            engine=_login(connection, ENGINE, owner_url, given=source.get("DATABASE_ENGINE_URL")),
        )
        grant(connection, to=(user_of(urls.app), user_of(urls.engine)))
    return urls


def grant(connection: psycopg.Connection, *, to: tuple[str, ...]) -> None:
    """In this database: let the logins use what its owner has made and will make."""
    owner = connection.info.user
    for role in to:
        if role == owner:
            raise CannotStart(
                f"{role} owns the tables and cannot also be the app or engine login: row-level "
                "security would not bind it. Set DATABASE_APP_URL and DATABASE_ENGINE_URL to "
                "logins of their own."
            )
        name = sql.Identifier(role)
        _tables_it_never_saw(connection, role)
        for statement in (
            "GRANT USAGE ON SCHEMA public TO {}",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {}",
            "ALTER DEFAULT PRIVILEGES GRANT USAGE, SELECT ON SEQUENCES TO {}",
            "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO {}",
        ):
            connection.execute(sql.SQL(statement).format(name))


def _tables_it_never_saw(connection: psycopg.Connection, role: str) -> None:
    """Grant tables older than the role; never one whose rights a migration has narrowed."""
    for kind, rights in (
        ("r", "SELECT, INSERT, UPDATE, DELETE"),
        ("S", "USAGE, SELECT"),
    ):
        kinds = ("r", "p") if kind == "r" else ("S",)
        rows = connection.execute(
            """
            SELECT relname FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = ANY(%s)
              AND pg_get_userbyid(relowner) = current_user
              AND NOT EXISTS (
                SELECT FROM aclexplode(relacl) WHERE grantee = to_regrole(%s)
              )
            """,
            (list(kinds), sql.Identifier(role).as_string(connection)),
        ).fetchall()
        for (relation,) in rows:
            connection.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(
                    sql.SQL(rights),
                    sql.Identifier("public", relation),
                    sql.Identifier(role),
                )
            )


@contextmanager
def throwaway_database(source: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A database of its own on the server DATABASE_URL names, dropped at the end.

    Gives `source` with every address pointing at it.
    """
    name = f"nstarx_throwaway_{secrets.token_hex(4)}"
    identifier = sql.Identifier(name)
    with connect(source["DATABASE_URL"]) as connection:
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        except psycopg.errors.InsufficientPrivilege as error:
            raise CannotStart(
                "The login of DATABASE_URL may not create a throw-away database: give it CREATEDB, "
                "or unset DATABASE_URL to use a server of our own."
            ) from error
    try:
        addresses = {
            variable: source[variable] for variable in URL_VARIABLES if source.get(variable)
        }
        moved = {
            variable: urlsplit(url)._replace(path=f"/{name}").geturl()
            for variable, url in addresses.items()
        }
        yield {**source, **moved}
    finally:
        with connect(source["DATABASE_URL"]) as connection:
            drop_database(connection, name)


def drop_database(connection: psycopg.Connection, name: str) -> None:
    """Whoever is in it is sent away, if it is there at all.

    By FORCE nobody but a superuser sends autovacuum away: then the others are, and a drop without
    it asks autovacuum to go and waits for that.
    """
    identifier = sql.Identifier(name)
    try:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
    except psycopg.errors.InsufficientPrivilege:
        connection.execute(_SEND_AWAY, (name,))
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(identifier))


def connect(url: str) -> psycopg.Connection:
    """An autocommit connection, or a sentence about why there is none."""
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        where = urlsplit(url)
        raise CannotStart(
            f"Cannot log in to PostgreSQL at {where.hostname}:{where.port or 5432} as "
            f"{where.username}: {str(error).strip().splitlines()[-1]}"
        ) from error


def user_of(url: str) -> str:
    """The login a URL names."""
    return str(psycopg.conninfo.conninfo_to_dict(url).get("user", ""))


def with_login(url: str, *, user: str, password: str, database: str | None = None) -> str:
    """The same server with another login, and another database when one is named."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(
        netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{host}",
        path=f"/{quote(database, safe='')}" if database else parts.path,
    ).geturl()


def _login(connection: psycopg.Connection, role: str, owner_url: str, *, given: str | None) -> str:
    if given:
        return given
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    try:
        _create_or_alter(connection, role, password, POWERLESS)
    except psycopg.errors.InsufficientPrivilege as error:
        variable = "DATABASE_APP_URL" if role == APP else "DATABASE_ENGINE_URL"
        raise CannotStart(
            f"The login of DATABASE_URL may not create or alter the role {role}: give it "
            f"CREATEROLE, or create the role yourself ({POWERLESS}) and set {variable}."
        ) from error
    return with_login(owner_url, user=role, password=password)


def _create_or_alter(
    connection: psycopg.Connection, role: str, password: str, attributes: str
) -> None:
    # The server gets the verifier, so no log of it can hold the password.
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    if exists is not None:
        # Naming NOSUPERUSER in ALTER needs a superuser; a role that has the power is refused below.
        statement = sql.SQL("ALTER ROLE {} WITH LOGIN PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))
    else:
        statement = sql.SQL("CREATE ROLE {} WITH {} PASSWORD {}")
        connection.execute(
            statement.format(sql.Identifier(role), sql.SQL(attributes), sql.Literal(verifier))
        )
    mighty = connection.execute(
        "SELECT FROM pg_roles WHERE rolname = %s AND (rolsuper OR rolbypassrls)",
        (role,),
    ).fetchone()
    if mighty is not None:
        raise CannotStart(
            f"The role {role} is a superuser or has BYPASSRLS, so row-level security would not "
            f"bind it: run ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS."
        )
