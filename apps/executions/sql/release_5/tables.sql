-- The engine's tables, fifth release: what changes of them, and what is new.
ALTER TABLE key_holder
  -- The chunk whose item the step is of: the place counts while that has not ended.
  ADD COLUMN item_id bigint;

-- Who found no place behind a key's gate, and looks again now and then: for those who ask why.
CREATE TABLE key_wait (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  path text NOT NULL,
  most int NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT key_wait_pkey PRIMARY KEY (tenant_id, run_id, path)
);
CREATE INDEX key_wait_at ON key_wait (at);

ALTER TABLE map_chunk
  -- What its steps have used since it was handed out, as the run is told in the end.
  ADD COLUMN spent jsonb NOT NULL DEFAULT '{}';
ALTER TABLE map_item
  -- What its steps did, where that may have to be undone, and whether it is.
  ADD COLUMN history jsonb,
  ADD COLUMN undone boolean NOT NULL DEFAULT false;
-- A chunk that could go on with nothing now is of the pool `asleep/` and its own, which nobody serves.
-- Its sort key is the time when it wakes.
CREATE INDEX work_item_asleep ON work_item (sort_key) WHERE pool LIKE 'asleep/%';
