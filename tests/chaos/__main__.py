"""`python -m tests.chaos matrix|storm|mutants|all|soak`: a table, and an exit code that says."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys

import django

from tests.chaos import house

servers = house.build()
django.setup()

from tests import database  # noqa: E402 - after setup
from tests.chaos import nursery, sink  # noqa: E402
from tests.chaos.cells import every_cell  # noqa: E402
from tests.chaos.matrix import Matrix  # noqa: E402
from tests.chaos.strikes import Action  # noqa: E402
from tests.chaos.table import Table  # noqa: E402
from tests.factories import tenancy  # noqa: E402


def matrix(table: Table, only: str) -> None:
    """Every cell."""
    cells = [cell for cell in every_cell() if only in cell.name]
    with sink.opened() as receiver, nursery.opened(receiver) as workers:
        played = Matrix(tenancy.tenant("matrix"), receiver, workers)
        for case in played.play(cells):
            table.row(
                case.cell.name,
                runs=len(case.runs),
                kills=sum(blow.action is Action.KILL for blow in case.cell.blows),
                fenced=case.fenced,
                recoveries=[case.recovered_after] if case.recovered_after else [],
                violations=case.violations,
            )
        table.say(f"repeated sends absorbed: {receiver.absorbed()}")


def main() -> int:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("what", choices=("matrix", "storm", "mutants", "all", "soak"))
    parser.add_argument("--only", default="", help="cells whose name holds this")
    parser.add_argument("--seed", default=f"{dt.datetime.now(dt.UTC):%Y-%m-%d}")
    parser.add_argument("--minutes", type=float, default=60.0)
    told = parser.parse_args()
    database.prepare(f"nstarx_chaos_{os.getpid()}")
    table = Table()
    if told.what in ("matrix", "all"):
        matrix(table, told.only)
    table.say(f"{len(table.violations)} violations")
    return 1 if table.violations else 0


if __name__ == "__main__":
    sys.exit(main())
