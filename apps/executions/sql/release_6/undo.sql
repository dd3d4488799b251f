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
DROP TRIGGER run_undo_ended ON run;
DROP FUNCTION run_undo_ended_6, engine_runs_to_undo_6, engine_ended_undone_6, engine_undo_start_6,
  engine_items_to_undo_6, engine_item_undo_6, engine_undoing_6, engine_claim_6;
DROP INDEX map_item_undoer;
ALTER TABLE map_item DROP COLUMN undoer;
