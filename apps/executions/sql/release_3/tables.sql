-- The engine's tables, third release: what changes of them, and what is new.
-- What a waiting step needs of the rest of the product; ids only, the event says the rest. A table of
-- its own: a relay of the release before takes every entry of the outbox that it does not know for the
-- end of a run.
CREATE TABLE ask (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  seq int NOT NULL,
  kind text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  tries int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT ask_pkey PRIMARY KEY (tenant_id, run_id, seq)
);
CREATE INDEX ask_due ON ask (due_at, at);
