"""`python -m tests.journeys.main_job`: the whole main job on a throw-away product."""

from __future__ import annotations

import sys

from tests.journeys.main_job.story import tell

if __name__ == "__main__":
    ledger = tell()
    if "--verbose" in sys.argv[1:]:
        sys.stdout.write(ledger.every_line() + "\n")
    sys.stdout.write(ledger.table() + "\n")
    sys.exit(0 if ledger.all_held else 1)
