-- Back to the fourth release.
DROP INDEX run_by_workflow;
CREATE INDEX run_by_workflow ON run (tenant_id, workflow_id, id);
DROP TRIGGER run_item_ended ON run;
DROP FUNCTION run_item_ended_5, engine_map_news_5, engine_chunk_seen_5, engine_map_runs_5,
  engine_items_start_5, engine_chunk_park_5, engine_chunk_home_5;
DROP TABLE map_news;
DROP INDEX map_item_open;
ALTER TABLE map_item DROP COLUMN child, DROP COLUMN chunk;
ALTER TABLE map_chunk DROP COLUMN news;
UPDATE lane SET has_ready = true WHERE NOT has_ready;
UPDATE work_item SET pool = substr(pool, 8) WHERE pool LIKE 'asleep/%';
DROP FUNCTION engine_claim_5, engine_reap_5, engine_release_5, engine_wake_5, engine_tidy_5,
  engine_ready_5;
DROP FUNCTION engine_chunk_take_5, engine_chunk_rest_5, engine_chunk_done_5;
DROP FUNCTION engine_enter_5;
DROP FUNCTION engine_key_counts_5;
DROP FUNCTION engine_append_batch_5;
DROP PROCEDURE executions_launch_alone_5;
DROP FUNCTION executions_launch_5, executions_may_launch_5, executions_standing_5, executions_chain_5,
  executions_start_5, executions_queue_5;
DROP INDEX work_item_asleep;
DROP FUNCTION engine_chunk_record_5, engine_items_to_undo_5, engine_item_undo_5;
ALTER TABLE map_chunk DROP COLUMN spent;
ALTER TABLE map_item DROP COLUMN history, DROP COLUMN undone;
DROP TABLE key_wait;
ALTER TABLE key_holder DROP COLUMN item_id;
