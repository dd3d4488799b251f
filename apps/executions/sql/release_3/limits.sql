-- Starting and holding: who may begin. A run that its workflow's bounds hold back has no item, so
-- it costs the claims nothing and stands in nobody's way.

-- Inside a tenant: as if it had come up to ten minutes earlier by priority, or when it had to begin
-- to be on time; so all age.
CREATE FUNCTION engine_sort_key_3(p_ready timestamptz, p_due timestamptz, p_priority int)
RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT least(p_ready, p_due) - (p_priority - 1) * interval '1 minute'
$$;

-- Lets through whom the gate has room for. Called at a start, at an end and each second; returns
-- the pools to ring. The caller has set the tenant. A run's row that is held elsewhere is passed
-- over: its turn comes with the next look.
CREATE FUNCTION engine_admit_3(p_tenant uuid, p_workflow uuid) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  g workflow_gate;
  r record;
  at timestamptz := clock_timestamp();
  room int := 100;
  pace double precision;
  passed int := 0;
BEGIN
  SELECT * INTO g FROM workflow_gate
   WHERE tenant_id = p_tenant AND workflow_id = p_workflow FOR UPDATE SKIP LOCKED;
  IF NOT FOUND OR NOT g.waiting THEN
    RETURN;
  END IF;
  IF g.max_runs IS NOT NULL THEN
    SELECT least(room, g.max_runs - count(*)) INTO room FROM (
      SELECT FROM run WHERE tenant_id = p_tenant AND workflow_id = p_workflow
         AND gated AND held_key IS NULL AND finished_at IS NULL LIMIT g.max_runs) AS going;
  END IF;
  IF g.per_minute IS NOT NULL THEN
    pace := 60 / g.per_minute;
    room := least(room, floor(g.burst - greatest(0, extract(epoch FROM g.tat - at)) / pace)::int);
  END IF;
  FOR r IN
    SELECT id, pool, slots, held_key FROM run
     WHERE tenant_id = p_tenant AND workflow_id = p_workflow
       AND held_key IS NOT NULL AND finished_at IS NULL
     ORDER BY held_key, id LIMIT greatest(room, 0) FOR NO KEY UPDATE SKIP LOCKED
  LOOP
    UPDATE run SET held_key = NULL WHERE tenant_id = p_tenant AND id = r.id;
    INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
      VALUES (p_tenant, r.id, r.pool, r.slots, r.held_key)
      ON CONFLICT ON CONSTRAINT work_item_one DO NOTHING;
    IF NOT FOUND THEN
      -- Mail made it an item, whose owner knows it as held: he looks again before he parks it.
      INSERT INTO run_inbox (tenant_id, run_id, id, kind)
        VALUES (p_tenant, r.id, gen_random_uuid(), 'admitted');
      UPDATE work_item SET has_mail = true WHERE run_id = r.id AND kind = 'run';
    END IF;
    PERFORM engine_ready_1(p_tenant, r.pool);
    passed := passed + 1;
    RETURN NEXT r.pool;
  END LOOP;
  UPDATE workflow_gate
     SET looked_at = at,
         tat = CASE WHEN pace IS NULL THEN tat
                    ELSE greatest(tat, at) + passed * pace * interval '1 second' END,
         waiting = EXISTS (SELECT FROM run WHERE tenant_id = p_tenant
                             AND workflow_id = p_workflow AND held_key IS NOT NULL
                             AND finished_at IS NULL)
   WHERE tenant_id = p_tenant AND workflow_id = p_workflow;
END $$;

-- Gates that have somebody waiting; every process calls this, none leads.
CREATE FUNCTION engine_gates_3() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  g record;
BEGIN
  FOR g IN
    SELECT tenant_id, workflow_id FROM workflow_gate
     WHERE waiting AND looked_at < clock_timestamp() - interval '200 ms'
     ORDER BY looked_at LIMIT 100 FOR UPDATE SKIP LOCKED
  LOOP
    PERFORM set_config('app.tenant', g.tenant_id::text, true);
    RETURN QUERY SELECT engine_admit_3(g.tenant_id, g.workflow_id);
  END LOOP;
END $$;

-- T0. Facts: the columns of the run that do not change; `bounds` among them are its workflow's. The
-- rows that a tenant's starts share come last: the gate's, then the quota's.
CREATE FUNCTION executions_start_3(
  p_tenant uuid, p_run uuid, p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  r record;
  at timestamptz := clock_timestamp();
  due timestamptz;
  place timestamptz;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT * INTO r FROM jsonb_to_record(p_facts) AS f(
    workflow_id uuid, version_id uuid, version text, environment_id uuid, environment text,
    lineage_id uuid, retried_from_id uuid, installation_id uuid, trigger text, started_by_id uuid,
    priority smallint, pool text, slots smallint, timeout_seconds double precision,
    due_seconds double precision, parameters jsonb, variables jsonb, bounds jsonb);
  due := at + r.due_seconds * interval '1 second';
  place := engine_sort_key_3(at, due, r.priority);
  INSERT INTO run (tenant_id, id, workflow_id, version_id, version, environment_id, environment,
      lineage_id, retried_from_id, installation_id, trigger, started_by_id, priority, pool, slots,
      created_at, deadline_at, due_at, parameters, variables, gated, abi, held_key)
    VALUES (p_tenant, p_run, r.workflow_id, r.version_id, coalesce(r.version, ''),
      r.environment_id, r.environment, coalesce(r.lineage_id, p_run), r.retried_from_id,
      r.installation_id, r.trigger, r.started_by_id, r.priority, r.pool, r.slots,
      at, at + r.timeout_seconds * interval '1 second', due,
      coalesce(r.parameters, '{}'), coalesce(r.variables, '{}'),
      r.bounds IS NOT NULL, 3, CASE WHEN r.bounds IS NOT NULL THEN place END);
  INSERT INTO run_event (tenant_id, run_id, seq, type, body)
    VALUES (p_tenant, p_run, 1, 'run.queued', p_event);
  IF r.timeout_seconds IS NOT NULL THEN
    INSERT INTO timer (tenant_id, run_id, kind, pool, slots, fire_at)
      VALUES (p_tenant, p_run, 'deadline', r.pool, r.slots,
              at + r.timeout_seconds * interval '1 second');
  END IF;
  IF r.bounds IS NOT NULL THEN
    INSERT INTO workflow_gate AS g (tenant_id, workflow_id, max_runs, per_minute, burst, waiting)
      VALUES (p_tenant, r.workflow_id, (r.bounds ->> 'maxRuns')::int,
              (r.bounds ->> 'startsPerMinute')::double precision,
              coalesce((r.bounds ->> 'burst')::int, 1), true)
      ON CONFLICT ON CONSTRAINT workflow_gate_pkey
      DO UPDATE SET max_runs = EXCLUDED.max_runs, per_minute = EXCLUDED.per_minute,
                    burst = EXCLUDED.burst, waiting = true;
  END IF;
  IF NOT EXISTS (SELECT FROM lane WHERE tenant_id = p_tenant AND pool = r.pool
                   AND max_inflight = p_slots AND max_runs = p_runs AND weight = p_weight) THEN
    INSERT INTO lane (tenant_id, pool, max_inflight, max_runs, weight)
      VALUES (p_tenant, r.pool, p_slots, p_runs, p_weight)
      ON CONFLICT ON CONSTRAINT lane_pkey
      DO UPDATE SET max_inflight = EXCLUDED.max_inflight, max_runs = EXCLUDED.max_runs,
                    weight = EXCLUDED.weight;
  END IF;
  IF r.bounds IS NULL THEN
    INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
      VALUES (p_tenant, p_run, r.pool, r.slots, place);
    PERFORM engine_ready_1(p_tenant, r.pool);
  ELSE
    PERFORM engine_admit_3(p_tenant, r.workflow_id);
  END IF;
  PERFORM tenancy_require_1(p_tenant, 'runs_per_month', 1);
END $$;
