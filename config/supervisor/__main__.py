"""The supervisor's command line: up, manage, run, roles, keys, doctor."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from config.env import ROOT, EnvironmentInvalid
from config.supervisor import backends, beside, doctor, keys, roles, up
from config.supervisor.failure import CannotStart
from config.supervisor.guard import guarded


def main() -> int:
    """Do what the command line asks; a refusal is one sentence and exit code 2."""
    arguments = _parser().parse_args()
    try:
        match arguments.command:
            case "up":
                return guarded(lambda: _reporting(lambda: _up(arguments)))
            case "manage":
                return _reporting(lambda: beside.manage(_directory(arguments), arguments.program))
            case "run":
                return guarded(lambda: _reporting(lambda: _run(arguments.program)))
            case "roles":
                return _reporting(_roles)
            case "keys":
                return _keys()
            case _:
                return doctor.run()
    except KeyboardInterrupt:
        return 130


def _reporting(work: up.Work) -> int:
    try:
        return work()
    except (CannotStart, EnvironmentInvalid) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2


def _directory(arguments: argparse.Namespace) -> Path:
    """Where the product's data lives."""
    return Path(arguments.data_dir or os.environ.get("NSTARX_DATA_DIR") or ROOT / "var")


def _up(arguments: argparse.Namespace) -> int:
    named = arguments.data_dir or os.environ.get("NSTARX_DATA_DIR")
    port = os.environ.get("NSTARX_WEB_PORT", "")
    if port and not port.isdecimal():
        raise CannotStart(f"NSTARX_WEB_PORT={port!r} is not a number: set a port or unset it.")
    return up.run(
        up.Wish(
            directory=_directory(arguments) if named or not arguments.throwaway else None,
            throwaway=arguments.throwaway,
            web_port=int(port) if port else None,
            workers=arguments.workers,
        )
    )


def _run(program: list[str]) -> int:
    """One program beside throw-away servers: it finds their addresses in its environment."""
    program = program[1:] if program[:1] == ["--"] else program
    if not program:
        raise CannotStart("Say what to run: python -m config.supervisor run -- program arguments")
    with (
        tempfile.TemporaryDirectory(prefix="nstarx-", ignore_cleanup_errors=True) as directory,
        backends.running(Path(directory), durable=False) as servers,
    ):
        environment = {**os.environ, **servers.environment()}
        return subprocess.run(program, env=environment, check=False).returncode


def _roles() -> int:
    """On a server of one's own: create or rotate app and engine, print their addresses."""
    owner_url = os.environ.get("DATABASE_URL")
    if not owner_url:
        raise CannotStart("DATABASE_URL is not set: set it to the login that owns the database.")
    urls = roles.ensure(owner_url, source=os.environ)
    for name, value in urls.environment().items():
        print(f"{name}={value}")
    return 0


def _keys() -> int:
    for name, value in keys.generate().items():
        print(f"{name}={value}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m config.supervisor", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="the product on this machine")
    start.add_argument("--data-dir", help="where its data lives (default: var/)")
    start.add_argument(
        "--throwaway",
        action="store_true",
        help="free ports and no safety against power cuts: for demonstrations and tests",
    )
    start.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="engine workers (one per core)"
    )
    inside = commands.add_parser("manage", help="manage.py beside the running product")
    inside.add_argument("--data-dir", help="where its data lives (default: var/)")
    inside.add_argument("program", nargs=argparse.REMAINDER)
    program = commands.add_parser("run", help="a program beside throw-away PostgreSQL and Redis")
    program.add_argument("program", nargs=argparse.REMAINDER)
    commands.add_parser("roles", help="create or rotate the app and engine logins of DATABASE_URL")
    commands.add_parser("keys", help="print a fresh set of keys")
    commands.add_parser("doctor", help="what is found and what is missing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
