-- Back to the sixth release.
DROP FUNCTION executions_chain_7, engine_reuse_7, engine_map_inherit_7, engine_follow_7, engine_claim_7;
DROP TABLE handler_owed;
DROP TRIGGER run_state_moves ON run;
CREATE TRIGGER run_state_moves BEFORE UPDATE OF state ON run
  FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION run_state_moves_3();
DROP FUNCTION engine_chunk_record_7, engine_items_to_undo_7, engine_items_begin_7, engine_items_start_7,
  engine_left_by_7, engine_runs_to_undo_7, engine_undo_start_7;
ALTER TABLE map_item DROP COLUMN earlier;
DROP PROCEDURE executions_launch_alone_7;
DROP FUNCTION engine_claim_expected_7, engine_await_7, engine_coming_7;
DROP FUNCTION executions_launch_7, executions_may_launch_7, executions_standing_7, executions_start_7,
  executions_queue_7, engine_append_batch_7, engine_append_few_7, engine_append_many_7;
DROP INDEX run_failed;
