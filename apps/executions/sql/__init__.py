"""The engine's SQL: one file per release of tables and functions, loaded by migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent

DROP_TABLES: Final = (
    "DROP TABLE run, run_event, run_log, run_inbox, node_state, work_item, timer, lane, worker,"
    " outbox"
)
DROP_PARTITION_FUNCTIONS: Final = "DROP FUNCTION engine_partitions_1, engine_uuid_floor_1"
DROP_FUNCTIONS: Final = """
DROP TRIGGER run_state_moves ON run;
DROP FUNCTION engine_ready_1, executions_start_1, engine_claim_1, engine_charge_1, engine_change_1,
  engine_append_1, engine_append_batch_1, executions_tell_1, engine_beat_1, engine_worker_died_1,
  engine_reap_1, engine_timers_1, engine_release_1, engine_head_1, engine_history_1,
  engine_inbox_1, engine_log_1, engine_give_up_1, run_state_moves_1;
"""

UNDO_2: Final = """
DROP FUNCTION engine_claim_2, engine_append_2, engine_append_batch_2, engine_change_2,
  engine_dispatch_2, engine_recall_2, engine_task_done_2, engine_task_begun_2;
DELETE FROM work_item WHERE kind = 'task';
CREATE INDEX work_item_in_use ON work_item (pool, tenant_id) WHERE worker_id IS NOT NULL;
DROP INDEX work_item_leased_of;
ALTER TABLE work_item DROP COLUMN attempt, DROP COLUMN has_begun;
"""


def sql(name: str) -> str:
    """The text of a file beside this one."""
    return (_HERE / f"{name}.sql").read_text(encoding="utf-8")


def release(number: int) -> str:
    """The SQL of one release, from the third on: its tables first, then each theme's functions."""
    folder = _HERE / f"release_{number}"
    themes = sorted(path.stem for path in folder.glob("*.sql"))
    ordered = ["tables", *(name for name in themes if name not in ("tables", "undo"))]
    return "\n".join(sql(f"release_{number}/{name}") for name in ordered)


def undo(number: int) -> str:
    """Back to the release before."""
    again = "".join(_as_it_was(name, file) for name, file in _REPLACED[number].items())
    return sql(f"release_{number}/undo") + again


_REPLACED: Final = {
    3: {"engine_claim_2": "functions_2"},
    4: {"engine_claim_3": "release_3/claim", "engine_change_3": "release_3/append"},
    5: {
        "engine_claim_4": "release_4/claim",
        "engine_enter_3": "release_3/keys",
        "engine_recall_chunks_3": "release_3/map",
        "engine_map_inherit_3": "release_3/map",
    },
    6: {
        "engine_claim_5": "release_5/claim",
        "engine_recall_chunks_3": "release_5/chunks",
    },
    7: {
        "engine_claim_6": "release_6/claim",
        "engine_map_inherit_3": "release_5/items_undo",
    },
}
"""Functions of earlier releases that a release narrows or mends, and where they are from."""


def _as_it_was(function: str, file: str) -> str:
    """The text that puts a function back."""
    _, _, rest = sql(file).partition(f" FUNCTION {function}(")
    body, end, _ = rest.partition("\nEND $$;")
    return f"CREATE OR REPLACE FUNCTION {function}({body}{end}"
