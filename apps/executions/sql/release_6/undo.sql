-- Back to the fifth release.
DROP INDEX outbox_postponed;
ALTER TABLE outbox RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
                          autovacuum_vacuum_cost_delay);
DROP FUNCTION engine_items_pass_6, engine_items_start_6, engine_map_runs_6, engine_map_room_6,
  engine_map_turn_6;
DROP INDEX map_chunk_open;
ALTER TABLE map_chunk DROP COLUMN hungry;
DROP INDEX run_whole;
DROP INDEX run_by_workflow;
CREATE INDEX run_by_workflow ON run (tenant_id, workflow_id, id) WHERE workflow_id IS NOT NULL;
