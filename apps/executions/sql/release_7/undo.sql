-- Back to the sixth release.
DROP FUNCTION executions_chain_7, engine_claim_7;
DROP TABLE handler_owed;
DROP TRIGGER run_state_moves ON run;
CREATE TRIGGER run_state_moves BEFORE UPDATE OF state ON run
  FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION run_state_moves_3();
