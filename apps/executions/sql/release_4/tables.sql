-- The engine's tables, fourth release: what changes of them, and what is new.
-- The run that started a run: a step that waits for it, or what failed and is handled by it.
ALTER TABLE run
  ADD COLUMN parent_id uuid,
  ADD COLUMN parent_kind text,
  ADD COLUMN parent_path text,
  ADD COLUMN parent_attempt int,
  -- How many runs are above it.
  ADD COLUMN depth smallint NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX run_child ON run (tenant_id, parent_id, parent_kind, parent_path, parent_attempt)
  WHERE parent_id IS NOT NULL;

-- Runs whose end a step waits for; the row goes in the transaction that answers the step. Workers look
-- at it now and then, so an end that a process of the release before has announced is passed on too.
CREATE TABLE open_child (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  tries int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '5 seconds',
  CONSTRAINT open_child_pkey PRIMARY KEY (tenant_id, run_id)
);
CREATE INDEX open_child_due ON open_child (due_at);

-- What an organization wants of all its runs.
CREATE TABLE run_defaults (
  tenant_id uuid NOT NULL,
  error_handler_id uuid,
  CONSTRAINT run_defaults_pkey PRIMARY KEY (tenant_id)
);

-- A relay of the third release would take the ask for a child and start none: for it, none is due.
ALTER TABLE ask ADD COLUMN child_at timestamptz;
CREATE INDEX ask_child_due ON ask (child_at, at) WHERE child_at IS NOT NULL;
CREATE FUNCTION ask_for_child_4() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM run_event e WHERE e.tenant_id = new.tenant_id AND e.run_id = new.run_id
               AND e.seq = new.seq AND e.type = 'step.waiting' AND e.body ->> 'kind' = 'CHILD') THEN
    new.child_at := new.due_at;
    new.due_at := 'infinity';
  END IF;
  RETURN new;
END $$;
CREATE TRIGGER ask_for_child BEFORE INSERT ON ask
  FOR EACH ROW WHEN (new.kind = 'step.waiting') EXECUTE FUNCTION ask_for_child_4();
