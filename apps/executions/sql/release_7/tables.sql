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
