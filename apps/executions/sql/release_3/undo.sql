-- Back to the second release.
DROP TRIGGER run_state_moves ON run;
CREATE TRIGGER run_state_moves BEFORE UPDATE OF state ON run
  FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION run_state_moves_1();
ALTER TABLE run ADD CONSTRAINT run_state_known CHECK (state IN ('QUEUED', 'RUNNING', 'WAITING',
  'PAUSED', 'CANCELING', 'COMPENSATING', 'SUCCEEDED', 'PARTIAL', 'FAILED', 'CANCELED', 'TIMED_OUT'));
DROP TABLE ask;
DROP FUNCTION run_state_moves_3, engine_append_few_3, engine_append_3, engine_append_batch_3,
  engine_change_3;
DROP FUNCTION executions_standing_3, executions_launch_3;
