"""PostgreSQL and Redis of our own: private, with three logins, kept from start to start."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg import sql

from config.supervisor import backends, binaries, kernel, ports, roles
from config.supervisor.backends import Backends
from config.supervisor.failure import CannotStart
from tests.platform import traces


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nstarx-test-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def servers(directory: Path) -> Iterator[Backends]:
    with backends.running(directory, durable=False, source={}) as running:
        yield running


def query(url: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.SQL(text))
        return cursor.fetchall() if cursor.description else []


def test_only_loopback_listens(servers: Backends) -> None:
    assert query(servers.urls.owner, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert servers.cluster
    superuser = servers.cluster.superuser_url
    assert query(superuser, "SHOW unix_socket_directories") == [("",)]
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_nobody_enters_without_the_password(servers: Backends) -> None:
    parts = urlsplit(servers.urls.app)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://nstarx_app@127.0.0.1:{parts.port}/nstarx")
    with (
        redis.Redis(port=urlsplit(servers.redis_url).port or 0) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_passwords_are_not_on_any_command_line(servers: Backends) -> None:
    assert servers.cluster
    assert servers.redis
    secrets = [urlsplit(servers.redis_url).password, servers.cluster.password]
    for pid in (servers.cluster.pid, servers.redis.pid):
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert not any(secret and secret in command for secret in secrets)


def test_private_files_are_private(servers: Backends, directory: Path) -> None:
    assert stat.S_IMODE((directory / "postgres" / "superuser_password").stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "redis" / "redis.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "postgres").stat().st_mode) == 0o700
    assert not (directory / "postgres" / "initdb_password").exists()


@pytest.mark.parametrize("role", [roles.OWNER, roles.APP, roles.ENGINE])
def test_no_login_can_step_over_row_level_security(servers: Backends, role: str) -> None:
    rows = query(
        servers.urls.owner,
        f"SELECT rolsuper, rolbypassrls, rolreplication FROM pg_roles WHERE rolname = '{role}'",
    )

    assert rows == [(False, False, False)]


@pytest.mark.parametrize("login", ["app", "engine"])
def test_app_and_engine_use_what_the_owner_makes_and_make_nothing(
    servers: Backends, login: str
) -> None:
    # given a table, a sequence and a function the owner makes after the logins exist
    owner, url = servers.urls.owner, getattr(servers.urls, login)
    table = f"made_for_{login}"
    query(owner, f"CREATE TABLE {table} (id bigserial PRIMARY KEY, word text)")
    query(
        owner, f"CREATE FUNCTION count_{table}() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"
    )

    # then the login reads and writes rows, calls the function, and cannot change the schema
    query(url, f"INSERT INTO {table} (word) VALUES ('a')")
    query(url, f"UPDATE {table} SET word = 'b'")
    assert query(url, f"SELECT word, count_{table}() FROM {table}") == [("b", 1)]
    query(url, f"DELETE FROM {table}")
    for forbidden in (
        f"TRUNCATE {table}",
        f"ALTER TABLE {table} ADD COLUMN x int",
        "CREATE TABLE mine (x int)",
        f"DROP TABLE {table}",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query(url, forbidden)


def test_older_tables_are_granted_and_narrowed_ones_stay_narrow(servers: Backends) -> None:
    # given a table whose rights a migration has narrowed, and one the logins never saw
    owner = servers.urls.owner
    query(owner, "CREATE TABLE append_only (x int)")
    query(owner, f"REVOKE UPDATE, DELETE ON append_only FROM {roles.APP}")
    query(owner, "CREATE TABLE unseen (x int)")
    query(owner, f"REVOKE ALL ON unseen FROM {roles.APP}")

    # when the roles are prepared once more
    urls = roles.ensure(owner, source={})

    # then the first is as the migration left it, and the second can be used
    query(urls.app, "INSERT INTO unseen VALUES (1)")
    query(urls.app, "INSERT INTO append_only VALUES (1)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(urls.app, "DELETE FROM append_only")


def test_each_preparation_rotates_the_passwords(servers: Backends) -> None:
    before = roles.ensure(servers.urls.owner, source={})
    after = roles.ensure(servers.urls.owner, source={})

    assert query(after.app, "SELECT 1") == [(1,)]
    with pytest.raises(psycopg.OperationalError, match="password"):
        query(before.app, "SELECT 1")


def test_servers_of_the_environment_are_used_as_they_are(servers: Backends, tmp_path: Path) -> None:
    source = {"DATABASE_URL": servers.urls.owner, "REDIS_URL": servers.redis_url}

    with backends.running(tmp_path, durable=True, source=source) as external:
        assert external.cluster is None
        assert external.redis is None
        assert external.redis_url == servers.redis_url
        assert query(external.urls.engine, "SELECT current_user") == [(roles.ENGINE,)]
        given = {**source, "DATABASE_APP_URL": external.urls.app}
        with backends.running(tmp_path, durable=True, source=given) as again:
            assert again.urls.app == external.urls.app
    assert list(tmp_path.iterdir()) == []
    assert query(servers.urls.owner, "SELECT 1") == [(1,)]


def test_a_login_that_may_not_create_roles_is_told_what_to_do(servers: Backends) -> None:
    urls = roles.ensure(servers.urls.owner, source={})

    with pytest.raises(CannotStart, match=r"CREATEROLE.*DATABASE_APP_URL"):
        roles.ensure(urls.engine, source={})


def test_the_owner_is_refused_as_app_login(servers: Backends) -> None:
    with pytest.raises(CannotStart, match="owns the tables"):
        roles.ensure(servers.urls.owner, source={"DATABASE_APP_URL": servers.urls.owner})


def test_an_unreachable_server_is_named_without_its_password() -> None:
    port = ports.any_free()

    with pytest.raises(CannotStart, match=f"127.0.0.1:{port} as me") as refusal:
        roles.ensure(f"postgresql://me:hush@127.0.0.1:{port}/d", source={})
    assert "hush" not in str(refusal.value)


def test_data_outlives_a_restart_and_fsync_is_on(tmp_path: Path) -> None:
    with backends.running(tmp_path, durable=True, source={}) as first:
        query(first.urls.owner, "CREATE TABLE kept AS SELECT 7 AS x")
        assert query(first.urls.owner, "SHOW fsync") == [("on",)]
    with backends.running(tmp_path, durable=True, source={}) as second:
        assert query(second.urls.app, "SELECT x FROM kept") == [(7,)]


def test_a_server_that_dies_is_started_again_on_its_port(tmp_path: Path) -> None:
    lines: list[str] = []
    with backends.running(tmp_path, durable=True, source={}) as running:
        assert running.cluster
        assert running.redis
        query(running.urls.owner, "CREATE TABLE kept AS SELECT 7 AS x")
        for server in (running.cluster, running.redis):
            os.kill(server.pid, 9)
            while server.exit_code() is None:
                pass

        assert running.revive(report=lines.append) is True

        assert query(running.urls.app, "SELECT x FROM kept") == [(7,)]
        with redis.Redis.from_url(running.redis_url) as client:
            assert client.ping() is True
        assert [line.split()[0] for line in lines] == ["PostgreSQL", "Redis"]
        assert running.revive(report=lines.append) is False


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("9\n")

    with (
        pytest.raises(CannotStart, match="made by PostgreSQL 9"),
        backends.running(tmp_path, durable=True, source={}),
    ):
        pass


def test_a_missing_program_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_redis", lambda: None)

    with (
        pytest.raises(CannotStart, match=r"No Redis found: run `make bootstrap`.*REDIS_URL"),
        backends.running(tmp_path, durable=False, source={}),
    ):
        pass
    assert traces.wait_until_gone(str(tmp_path)) == {}


def _others_can_reach(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_user_namespaces_becomes_another_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel, "user_namespaces_work", lambda: False)
    with tempfile.TemporaryDirectory(prefix="nstarx-test-") as made:
        Path(made).chmod(0o755)
        if not _others_can_reach(binaries.postgres().path):
            with (
                pytest.raises(CannotStart, match="make the directories above it traversable"),
                backends.running(Path(made), durable=False, source={}),
            ):
                pass
            return
        with backends.running(Path(made), durable=False, source={}) as running:
            assert running.cluster
            owner = Path(f"/proc/{running.cluster.pid}").stat().st_uid
            assert owner == 65_534
            assert query(running.urls.app, "SELECT 1") == [(1,)]


def test_a_throwaway_database_on_a_real_server_leaves_nothing(servers: Backends) -> None:
    urls = roles.ensure(servers.urls.owner, source={})
    names = "SELECT datname FROM pg_database ORDER BY datname"
    before = query(urls.owner, names)

    with roles.throwaway_database(urls.environment()) as source:
        query(source["DATABASE_URL"], "CREATE TABLE only_here AS SELECT 1 AS x")
        assert len(query(urls.owner, names)) == len(before) + 1
        moved = roles.ensure(source["DATABASE_URL"], source=source)
        assert query(moved.app, "SELECT x FROM only_here") == [(1,)]

    assert query(urls.owner, names) == before
