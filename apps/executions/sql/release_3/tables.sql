-- The engine's tables, third release: what changes of them, and what is new.
-- Signals that came and no step has taken yet: a sender is refused before they are too many.
ALTER TABLE run ADD COLUMN signals int NOT NULL DEFAULT 0;

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

-- Scheduling: runs that wait at their workflow's gate, a tenant's pace, what workers say they are.
ALTER TABLE run
  -- Its workflow bounds how many of its runs are in progress, or how often they begin.
  ADD COLUMN gated boolean NOT NULL DEFAULT false,
  -- Set while the run may not begin yet: its place among those that wait.
  ADD COLUMN held_key timestamptz,
  -- When it should begin to be on time, for those that promise a time.
  ADD COLUMN due_at timestamptz,
  -- The newest release that has started or claimed it; older ones leave it alone.
  ADD COLUMN abi smallint NOT NULL DEFAULT 2;
CREATE INDEX run_held ON run (tenant_id, workflow_id, held_key, id)
  WHERE held_key IS NOT NULL AND finished_at IS NULL;
CREATE INDEX run_admitted ON run (tenant_id, workflow_id)
  WHERE gated AND held_key IS NULL AND finished_at IS NULL;

-- One row per workflow that has such bounds; its lock is the order in which runs pass.
CREATE TABLE workflow_gate (
  tenant_id uuid NOT NULL,
  workflow_id uuid NOT NULL,
  max_runs int,
  per_minute double precision,
  burst int NOT NULL DEFAULT 1,
  tat timestamptz NOT NULL DEFAULT '-infinity',
  waiting boolean NOT NULL DEFAULT false,
  looked_at timestamptz NOT NULL DEFAULT '-infinity',
  CONSTRAINT workflow_gate_pkey PRIMARY KEY (tenant_id, workflow_id)
) WITH (fillfactor = 50);
CREATE INDEX workflow_gate_waiting ON workflow_gate (looked_at) WHERE waiting;

-- Who stands behind a key's gate; see keys.sql for how long that counts.
CREATE TABLE key_holder (
  tenant_id uuid NOT NULL,
  gate uuid NOT NULL,
  run_id uuid NOT NULL,
  path text NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT key_holder_pkey PRIMARY KEY (tenant_id, gate, run_id, path)
);
CREATE INDEX key_holder_of_run ON key_holder (run_id);

ALTER TABLE lane
  -- An operator's brake: so many claims per second, in bursts; NULL is none.
  ADD COLUMN rate_per_s double precision,
  ADD COLUMN burst int NOT NULL DEFAULT 1,
  ADD COLUMN tat timestamptz NOT NULL DEFAULT '-infinity';

ALTER TABLE worker
  ADD COLUMN labels text[] NOT NULL DEFAULT '{}',
  ADD COLUMN abi int NOT NULL DEFAULT 2;
-- What pools are served is no secret: it explains to a tenant why a run waits.
CREATE POLICY worker_readable ON worker FOR SELECT USING (true);
-- Runs that go on from another, by their lineage; an ordinary start has no entry here.
CREATE INDEX run_chained ON run (tenant_id, lineage_id) WHERE retried_from_id IS NOT NULL;
