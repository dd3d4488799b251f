-- A start by itself, seventh edition: it asks for the caller's key as well, and its worker sleeps at its
-- lock instead of looking again and again.

-- The locks of a run that is being written: one for each transaction of its start, which holds it until
-- all can see what it has written.
CREATE FUNCTION engine_coming_7(p_run uuid, p_part int) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtextextended(p_run::text, 1 + p_part) $$;

-- executions_launch_alone_5, which writes nothing either if the key `p_key` (null: there is none) is not
-- what `p_mark` says of it any more.
CREATE PROCEDURE executions_launch_alone_7(
  p_tenant uuid, p_run uuid, p_workflow uuid, p_place text, p_secrets text[], p_known text,
  p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real,
  p_starts bigint, p_most bigint, p_audit jsonb, p_key uuid, p_mark text,
  INOUT p_created_at timestamptz, INOUT p_deadline_at timestamptz
)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(engine_coming_7(p_run, 1));
  IF NOT executions_may_launch_7(p_tenant, p_workflow, p_place, p_secrets, p_known, p_starts, p_most)
  THEN
    RETURN;
  END IF;
  IF p_key IS NOT NULL AND tenancy_key_mark_2(p_tenant, p_key) IS DISTINCT FROM p_mark THEN
    RETURN;
  END IF;
  PERFORM set_config('synchronous_commit', 'off', true);
  IF p_facts ->> 'bounds' IS NULL THEN
    -- A lane that says so too early costs a look; its row is not held through the flush of the run.
    UPDATE lane SET has_ready = true
     WHERE tenant_id = p_tenant AND pool = p_facts ->> 'pool' AND NOT has_ready;
  END IF;
  PERFORM tenancy_require_1(p_tenant, 'runs_per_month', 1);
  COMMIT;
  PERFORM pg_advisory_xact_lock(engine_coming_7(p_run, 2));
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF p_audit IS NOT NULL THEN
    PERFORM tenancy_audit_1(p_tenant, p_audit);
  END IF;
  SELECT q.p_created_at, q.p_deadline_at INTO p_created_at, p_deadline_at
    FROM executions_queue_7(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight) AS q;
END $$;

-- Until nobody is writing that run, a few milliseconds at most. Whose start has not begun is not waited
-- for. The locks are let go at once: a start never waits for who waits for it.
CREATE FUNCTION engine_await_7(p_run uuid) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5ms' AS $$
BEGIN
  FOR part IN 1 .. 2 LOOP
    PERFORM pg_advisory_lock_shared(engine_coming_7(p_run, part));
    PERFORM pg_advisory_unlock_shared(engine_coming_7(p_run, part));
  END LOOP;
EXCEPTION WHEN lock_not_available THEN
  NULL;
END $$;

-- engine_claim_7 by a worker that was told of a run.
CREATE FUNCTION engine_claim_expected_7(
  p_run uuid, p_worker uuid, p_pool text, p_want int, p_charged uuid[], p_ms double precision[]
) RETURNS TABLE (
  item_id bigint, tenant_id uuid, run_id uuid, token uuid, head int, settled int, granted smallint,
  crashes int, has_inbox boolean, workflow_id uuid, version_id uuid, environment text,
  environment_id uuid, lineage_id uuid, installation_id uuid, parameters jsonb, variables jsonb,
  created_at timestamptz, deadline_at timestamptz, ready_at timestamptz, path text, attempt int,
  has_begun boolean, kind text, idx int, held boolean
)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM engine_await_7(p_run);
  RETURN QUERY SELECT * FROM engine_claim_7(p_worker, p_pool, p_want, p_charged, p_ms);
END $$;
