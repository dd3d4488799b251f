-- The engine's tables. No foreign keys: what they hold is written by the functions beside this file
-- alone, tenant_id leads every key, and the policies refuse a row of another tenant.
-- Columns that change with every append stand together, so that an update's WAL record is short.

CREATE TABLE run (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  head int NOT NULL DEFAULT 1,
  settled int NOT NULL DEFAULT 0,
  fence uuid,
  state text NOT NULL DEFAULT 'QUEUED',
  started_at timestamptz,
  finished_at timestamptz,
  workflow_id uuid NOT NULL,
  version_id uuid NOT NULL,
  version text NOT NULL DEFAULT '',
  environment_id uuid NOT NULL,
  environment text NOT NULL,
  lineage_id uuid NOT NULL,
  retried_from_id uuid,
  installation_id uuid,
  trigger text NOT NULL,
  started_by_id uuid,
  priority smallint NOT NULL DEFAULT 5,
  pool text NOT NULL DEFAULT 'io',
  slots smallint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  deadline_at timestamptz,
  parameters jsonb NOT NULL DEFAULT '{}',
  variables jsonb NOT NULL DEFAULT '{}',
  result jsonb,
  error jsonb,
  attempts int NOT NULL DEFAULT 0,
  cpu_seconds double precision NOT NULL DEFAULT 0,
  peak_memory_bytes bigint NOT NULL DEFAULT 0,
  bytes_in bigint NOT NULL DEFAULT 0,
  bytes_out bigint NOT NULL DEFAULT 0,
  cost_minor bigint NOT NULL DEFAULT 0,
  CONSTRAINT run_pkey PRIMARY KEY (tenant_id, id),
  CONSTRAINT run_state_known CHECK (state IN ('QUEUED', 'RUNNING', 'WAITING', 'PAUSED', 'CANCELING',
    'COMPENSATING', 'SUCCEEDED', 'PARTIAL', 'FAILED', 'CANCELED', 'TIMED_OUT'))
) WITH (fillfactor = 70);
CREATE INDEX run_by_workflow ON run (tenant_id, workflow_id, id);
CREATE INDEX run_open ON run (tenant_id, id) WHERE finished_at IS NULL;

CREATE TABLE run_event (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  seq int NOT NULL,
  type text NOT NULL,
  path text,
  attempt int,
  body jsonb,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT run_event_pkey PRIMARY KEY (tenant_id, run_id, seq)
) PARTITION BY RANGE (run_id);

CREATE TABLE run_log (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  path text NOT NULL,
  attempt int NOT NULL,
  kind text NOT NULL,
  level text NOT NULL,
  message text NOT NULL,
  fields jsonb,
  at timestamptz NOT NULL,
  CONSTRAINT run_log_pkey PRIMARY KEY (tenant_id, run_id, id)
) PARTITION BY RANGE (run_id);

CREATE TABLE run_inbox (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  body jsonb,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT run_inbox_pkey PRIMARY KEY (tenant_id, run_id, id)
);

-- What TRANSACTIONAL steps keep for their workflow; written inside the append of the step.
CREATE TABLE node_state (
  tenant_id uuid NOT NULL,
  workflow_id uuid NOT NULL,
  key text NOT NULL,
  value jsonb NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT node_state_pkey PRIMARY KEY (tenant_id, workflow_id, key)
);

-- From here on: cross-tenant by nature, ids only.
CREATE TABLE work_item (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  kind text NOT NULL DEFAULT 'run',
  path text NOT NULL DEFAULT '',
  idx int NOT NULL DEFAULT 0,
  pool text NOT NULL,
  sort_key timestamptz NOT NULL DEFAULT clock_timestamp(),
  slots smallint NOT NULL DEFAULT 1,
  granted smallint NOT NULL DEFAULT 0,
  worker_id uuid,
  token uuid,
  claims int NOT NULL DEFAULT 0,
  crashes int NOT NULL DEFAULT 0,
  settled_seen int NOT NULL DEFAULT 0,
  has_mail boolean NOT NULL DEFAULT false,
  CONSTRAINT work_item_one UNIQUE (run_id, kind, path, idx),
  CONSTRAINT work_item_leased CHECK ((worker_id IS NULL) = (token IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX work_item_ready ON work_item (pool, tenant_id, sort_key, id) WHERE worker_id IS NULL;
CREATE INDEX work_item_in_use ON work_item (pool, tenant_id) WHERE worker_id IS NOT NULL;
CREATE INDEX work_item_of_worker ON work_item (worker_id) WHERE worker_id IS NOT NULL;

CREATE TABLE timer (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  kind text NOT NULL,
  path text NOT NULL DEFAULT '',
  idx int NOT NULL DEFAULT 0,
  pool text NOT NULL,
  slots smallint NOT NULL DEFAULT 1,
  fire_at timestamptz NOT NULL,
  CONSTRAINT timer_one UNIQUE (run_id, kind, path, idx)
);
CREATE INDEX timer_due ON timer (fire_at);

CREATE TABLE lane (
  tenant_id uuid NOT NULL,
  pool text NOT NULL,
  weight real NOT NULL DEFAULT 1,
  max_inflight int NOT NULL DEFAULT 50,
  max_runs int NOT NULL DEFAULT 50,
  vtime double precision NOT NULL DEFAULT 0,
  has_ready boolean NOT NULL DEFAULT false,
  blocked_until timestamptz,
  CONSTRAINT lane_pkey PRIMARY KEY (tenant_id, pool)
) WITH (fillfactor = 50);
CREATE INDEX lane_ready ON lane (pool, vtime) WHERE has_ready;

CREATE TABLE worker (
  id uuid PRIMARY KEY,
  host text NOT NULL,
  pid int NOT NULL,
  pools text[] NOT NULL,
  slots int NOT NULL,
  booted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  lease_until timestamptz NOT NULL,
  draining boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  kind text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  tries int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT '-infinity',
  CONSTRAINT outbox_pkey PRIMARY KEY (xid, id)
);
