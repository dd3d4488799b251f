-- Back to the third release.
DROP FUNCTION executions_run_4, engine_cached_4, engine_cache_4;
DROP TABLE step_cache, pinned_output;
DROP FUNCTION engine_reap_4, engine_tidy_4;
DROP INDEX work_item_recalled;
UPDATE work_item SET pool = home WHERE home <> '';
UPDATE lane SET has_ready = true WHERE NOT has_ready;
ALTER TABLE work_item DROP COLUMN home;
DROP FUNCTION engine_give_up_4, engine_chunk_take_4, engine_chunk_look_4, engine_expire_4, engine_months_4;
ALTER TABLE map_chunk DROP COLUMN seen, DROP COLUMN forgiven;
DROP TRIGGER ask_for_child ON ask;
DROP FUNCTION engine_recall_tasks_4;
DROP FUNCTION ask_for_child_4, engine_claim_4, executions_start_4, executions_launch_4,
  executions_chain_4, executions_queue_4, executions_may_launch_4;
DROP PROCEDURE executions_launch_alone_4;
DELETE FROM ask WHERE child_at IS NOT NULL;
ALTER TABLE ask DROP COLUMN child_at;
DROP TABLE open_child, run_defaults;
DROP INDEX run_child;
ALTER TABLE run DROP COLUMN parent_id, DROP COLUMN parent_kind, DROP COLUMN parent_path,
  DROP COLUMN parent_attempt, DROP COLUMN depth;
