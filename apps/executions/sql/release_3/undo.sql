-- Back to the second release.
DELETE FROM work_item WHERE kind = 'chunk';
DROP FUNCTION engine_chunks_3, engine_lane_3, engine_recall_chunks_3, engine_map_count_3,
  engine_chunk_take_3, engine_map_items_3, engine_chunk_record_3, engine_writes_3,
  engine_chunk_done_3, engine_map_inherit_3, engine_partitions_3;
DROP TABLE map_chunk, map_item;
DROP FUNCTION executions_chain_3;
DROP INDEX run_chained;
DROP TRIGGER run_state_moves ON run;
CREATE TRIGGER run_state_moves BEFORE UPDATE OF state ON run
  FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION run_state_moves_1();
ALTER TABLE run ADD CONSTRAINT run_state_known CHECK (state IN ('QUEUED', 'RUNNING', 'WAITING',
  'PAUSED', 'CANCELING', 'COMPENSATING', 'SUCCEEDED', 'PARTIAL', 'FAILED', 'CANCELED', 'TIMED_OUT'));
DROP TABLE ask;
DROP FUNCTION executions_signal_3;
ALTER TABLE run DROP COLUMN signals;
DROP FUNCTION run_state_moves_3, engine_append_few_3, engine_append_3, engine_append_batch_3,
  engine_change_3;
DROP FUNCTION executions_standing_3, executions_launch_3;
DROP FUNCTION engine_claim_3, executions_start_3, engine_gates_3, engine_admit_3, engine_reap_3, engine_expire_3, engine_months_3, engine_enter_3,
  engine_leave_3,
  engine_sort_key_3;
UPDATE work_item SET pool = 'io' WHERE pool = 'quarantine';
UPDATE lane SET has_ready = true WHERE NOT has_ready;
DROP TABLE workflow_gate, key_holder;
DROP POLICY worker_readable ON worker;
DROP INDEX run_held, run_admitted;
-- A run that was held has no item of its own yet.
INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
  SELECT tenant_id, id, pool, slots, held_key FROM run
   WHERE held_key IS NOT NULL AND finished_at IS NULL
  ON CONFLICT ON CONSTRAINT work_item_one DO NOTHING;
ALTER TABLE run DROP COLUMN gated, DROP COLUMN held_key, DROP COLUMN due_at, DROP COLUMN abi;
ALTER TABLE lane DROP COLUMN rate_per_s, DROP COLUMN burst, DROP COLUMN tat;
ALTER TABLE worker DROP COLUMN labels, DROP COLUMN abi;
