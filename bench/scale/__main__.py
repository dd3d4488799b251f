"""`python -m bench.scale queue steps map`: whether cost grows with size; all without a name."""

from __future__ import annotations

import importlib
import os
import sys

from bench.house import built
from config.env import DatabaseRole


def main() -> None:
    """Build the house, become a process of its web's login, run the rounds."""
    only = sys.argv[1:] or os.environ.get("BENCH_ONLY", "").split()
    with built() as house:
        os.environ.update(house.installation.environment(DatabaseRole.APP))
        # Django reads its settings from the environment that has just been made.
        rounds = importlib.import_module("bench.scale.rounds")
        rounds.main(house, only or rounds.QUESTIONS)


if __name__ == "__main__":
    main()
