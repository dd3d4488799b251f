"""`make bench`: prints our figures beside the floor of the same run, with machine and versions."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import psycopg

from bench import product, w1
from config.supervisor import backends

REPETITIONS = int(os.environ.get("BENCH_REPETITIONS", "15"))


def main() -> None:
    """Durable servers of our own (or those the environment names), one worker, all workloads."""
    with (
        tempfile.TemporaryDirectory(prefix="nstarx-bench-") as directory,
        backends.running(Path(directory), durable=True) as servers,
    ):
        os.environ.update(servers.environment())
        os.environ.update(product.new_database(os.environ["DATABASE_URL"]))
        os.environ.update(
            {
                "DJANGO_SETTINGS_MODULE": "config.settings.test",
                "NSTARX_DATABASE_ROLE": "app",
                "NSTARX_DATA_DIR": str(Path(directory) / "data"),
                "NSTARX_BENCH": "1",
            }
        )
        environment = dict(os.environ)
        product.migrate(environment)
        subject = product.Product()
        with product.worker(environment):
            floors, series = w1.measure(subject, repetitions=REPETITIONS)
        for line in (*_machine(), "", *w1.report(floors, series)):
            sys.stdout.write(f"{line}\n")


def _machine() -> list[str]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        settings = [
            f"{name}={connection.execute(f'SHOW {name}').fetchone()[0]}"  # type: ignore[index]
            for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers")
        ]
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return [
        f"{os.cpu_count()} cores ({model}), {platform.system()} {platform.release()}, load {load}",
        f"Python {platform.python_version()}, psycopg {version('psycopg')}, {', '.join(settings)}",
        f"medians of {REPETITIONS} repetitions, floor and variants interleaved",
    ]


if __name__ == "__main__":
    main()
