"""`python -m tests.chaos matrix|storm|mutants|chaos|sizes|soak`: a table; the exit code says."""

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
from tests.chaos import nodes  # noqa: E402
from tests.chaos.campaign import Campaign  # noqa: E402


def main() -> int:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("what", choices=("matrix", "storm", "mutants", "chaos", "sizes", "soak"))
    parser.add_argument("--only", default="", help="cells and storms whose name holds this")
    parser.add_argument("--seed", default=f"{dt.datetime.now(dt.UTC):%Y-%m-%d}")
    parser.add_argument("--scale", type=float, default=1.0, help="of a storm's runs")
    parser.add_argument("--minutes", type=float, default=60.0, help="of a soak")
    told = parser.parse_args()
    nodes.install()
    database.prepare(f"nstarx_chaos_{os.getpid()}")
    campaign = Campaign(servers, seed=told.seed, scale=told.scale, only=told.only)
    with campaign:
        if told.what in ("mutants", "chaos"):
            campaign.mutants()
        if told.what in ("matrix", "chaos"):
            campaign.matrix()
        if told.what in ("storm", "chaos"):
            campaign.storms()
        if told.what in ("sizes", "soak"):
            campaign.sizes()
        if told.what == "soak":
            campaign.soak(minutes=told.minutes)
    return campaign.verdict()


if __name__ == "__main__":
    sys.exit(main())
