-- The seventh release.

-- Failed runs whose error handler found no room to start: it is owed to them, and tried again.
CREATE TABLE handler_owed (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  tries int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '5 seconds',
  CONSTRAINT handler_owed_pkey PRIMARY KEY (tenant_id, run_id)
);
CREATE INDEX handler_owed_due ON handler_owed (due_at);

-- After the update, not before it: for a trigger before an update each updated row is locked first, which
-- is written to the log, whether its state moves or not.
DROP TRIGGER run_state_moves ON run;
CREATE TRIGGER run_state_moves AFTER UPDATE OF state ON run
  FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION run_state_moves_3();
