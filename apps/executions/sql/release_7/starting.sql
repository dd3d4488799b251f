-- Starts, seventh edition: less is asked for each. Their runs are left alone by workers of the sixth
-- release from the beginning, and so their claim need not say it.

-- What a start writes. Facts: the columns of the run that do not change; `bounds` among them are its
-- workflow's, whose gate all its starts share: it comes last. The caller has set the tenant.
CREATE FUNCTION executions_queue_7(
  p_tenant uuid, p_run uuid, p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real,
  OUT p_created_at timestamptz, OUT p_deadline_at timestamptz
)
LANGUAGE plpgsql AS $$
DECLARE
  r record;
  at timestamptz := clock_timestamp();
  due timestamptz;
  place timestamptz;
  is_ready boolean;
BEGIN
  SELECT * INTO r FROM jsonb_to_record(p_facts) AS f(
    workflow_id uuid, version_id uuid, version text, environment_id uuid, environment text,
    lineage_id uuid, retried_from_id uuid, installation_id uuid, trigger text, started_by_id uuid,
    priority smallint, pool text, slots smallint, timeout_seconds double precision,
    due_seconds double precision, parameters jsonb, variables jsonb, bounds jsonb,
    parent_id uuid, parent_kind text, parent_path text, parent_attempt int, depth smallint);
  p_created_at := at;
  p_deadline_at := at + r.timeout_seconds * interval '1 second';
  IF r.bounds IS NULL THEN
    -- As engine_ready_1 does, and before there is anything to find: so no claim takes the lane's flag
    -- back in between, and most starts need not write it.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(p_tenant::text || r.pool, 0));
  END IF;
  due := at + r.due_seconds * interval '1 second';
  place := engine_sort_key_3(at, due, r.priority);
  INSERT INTO run (tenant_id, id, workflow_id, version_id, version, environment_id, environment,
      lineage_id, retried_from_id, installation_id, trigger, started_by_id, priority, pool, slots,
      created_at, deadline_at, due_at, parameters, variables, gated, abi, held_key,
      parent_id, parent_kind, parent_path, parent_attempt, depth)
    VALUES (p_tenant, p_run, r.workflow_id, r.version_id, coalesce(r.version, ''),
      r.environment_id, r.environment, coalesce(r.lineage_id, p_run), r.retried_from_id,
      r.installation_id, r.trigger, r.started_by_id, r.priority, r.pool, r.slots,
      at, p_deadline_at, due,
      coalesce(r.parameters, '{}'), coalesce(r.variables, '{}'),
      r.bounds IS NOT NULL, 7, CASE WHEN r.bounds IS NOT NULL THEN place END,
      r.parent_id, r.parent_kind, r.parent_path, r.parent_attempt, coalesce(r.depth, 0));
  IF r.parent_kind IN ('STEP', 'FALLBACK') THEN
    INSERT INTO open_child (tenant_id, run_id) VALUES (p_tenant, p_run);
  END IF;
  INSERT INTO run_event (tenant_id, run_id, seq, type, body)
    VALUES (p_tenant, p_run, 1, 'run.queued', p_event);
  IF r.timeout_seconds IS NOT NULL THEN
    INSERT INTO timer (tenant_id, run_id, kind, pool, slots, fire_at)
      VALUES (p_tenant, p_run, 'deadline', r.pool, r.slots, p_deadline_at);
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
  SELECT has_ready INTO is_ready FROM lane WHERE tenant_id = p_tenant AND pool = r.pool
     AND max_inflight = p_slots AND max_runs = p_runs AND weight = p_weight;
  IF is_ready IS NULL THEN
    INSERT INTO lane (tenant_id, pool, max_inflight, max_runs, weight)
      VALUES (p_tenant, r.pool, p_slots, p_runs, p_weight)
      ON CONFLICT ON CONSTRAINT lane_pkey
      DO UPDATE SET max_inflight = EXCLUDED.max_inflight, max_runs = EXCLUDED.max_runs,
                    weight = EXCLUDED.weight;
  END IF;
  IF r.bounds IS NULL THEN
    INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
      VALUES (p_tenant, p_run, r.pool, r.slots, place);
    IF is_ready IS NOT TRUE THEN
      UPDATE lane SET has_ready = true
       WHERE tenant_id = p_tenant AND pool = r.pool AND NOT has_ready;
    END IF;
  ELSE
    PERFORM engine_admit_3(p_tenant, r.workflow_id);
  END IF;
END $$;

-- T0. The quota's row is shared by all of a tenant's starts, so it comes last.
CREATE FUNCTION executions_start_7(
  p_tenant uuid, p_run uuid, p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  PERFORM executions_queue_7(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight);
  PERFORM tenancy_require_1(p_tenant, 'runs_per_month', 1);
END $$;

-- What a run of a workflow in a place would take. Null where a run would be refused, and in development,
-- where the draft runs. Secrets are looked for only where there are any.
CREATE FUNCTION executions_standing_7(
  p_tenant uuid, p_workflow uuid, p_place text, p_secrets text[]
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  place uuid;
  said text;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT e.id, jsonb_build_object(
           'placeId', e.id, 'kind', e.kind, 'place', e.name, 'versionId', d.version_id,
           'variables', (SELECT jsonb_object_agg(x.name, x.value) FROM vault_variable x
                          WHERE x.tenant_id = p_tenant AND x.environment_id = e.id),
           'limits', (SELECT jsonb_object_agg(l.metric, l."limit") FROM tenancy_limit l
                       WHERE l.tenant_id = p_tenant AND l.metric IN
                         ('concurrent_steps', 'concurrent_runs', 'queued_runs', 'starts_per_minute',
                          'fair_share')))
    INTO place, said
    FROM versions_deployment d
    JOIN tenancy_environment e ON e.tenant_id = p_tenant AND e.id = d.environment_id
    JOIN workflows_workflow w ON w.tenant_id = p_tenant AND w.id = p_workflow
   WHERE d.tenant_id = p_tenant AND d.workflow_id = p_workflow AND d.superseded_at IS NULL
     AND w.archived_at IS NULL AND e.kind <> 'DEVELOPMENT'
     AND CASE WHEN length(p_place) = 36 THEN e.id::text = p_place
              ELSE e.kind = p_place AND e.is_default END;
  IF p_secrets <> '{}' AND EXISTS (
    SELECT FROM unnest(p_secrets) AS n(name) WHERE NOT EXISTS (
      SELECT FROM vault_secret s JOIN vault_secretversion u ON u.tenant_id = s.tenant_id
             AND u.secret_id = s.id AND u.version = s.current_version
       WHERE s.tenant_id = p_tenant AND s.environment_id = place AND s.name = n.name))
  THEN
    RETURN NULL;
  END IF;
  RETURN said;
END $$;

-- Whether all stands as the caller knows it: `p_known` is a digest of executions_standing_7, fewer than
-- p_most runs are open and fewer than p_starts began within a minute (p_most null: somebody has counted
-- them lately). Sets the tenant.
CREATE FUNCTION executions_may_launch_7(
  p_tenant uuid, p_workflow uuid, p_place text, p_secrets text[], p_known text,
  p_starts bigint, p_most bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  minute_ago uuid;
BEGIN
  IF md5(executions_standing_7(p_tenant, p_workflow, p_place, p_secrets))
     IS DISTINCT FROM p_known THEN
    RETURN false;
  END IF;
  IF p_most IS NOT NULL THEN
    PERFORM FROM run r WHERE r.tenant_id = p_tenant AND r.finished_at IS NULL
      OFFSET p_most - 1 LIMIT 1;
    IF FOUND THEN
      RETURN false;
    END IF;
    -- Outside the statement, whose index could not be asked for what each row would find out anew.
    minute_ago := engine_uuid_floor_1(clock_timestamp() - interval '1 minute');
    PERFORM FROM run r WHERE r.tenant_id = p_tenant AND r.id >= minute_ago
      OFFSET p_starts - 1 LIMIT 1;
    IF FOUND THEN
      RETURN false;
    END IF;
  END IF;
  RETURN true;
END $$;

-- Starts the run inside the caller's transaction, or returns no row and writes nothing. p_audit is the
-- act's row in the audit trail, if it has one.
CREATE FUNCTION executions_launch_7(
  p_tenant uuid, p_run uuid, p_workflow uuid, p_place text, p_secrets text[], p_known text,
  p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real,
  p_starts bigint, p_most bigint, p_audit jsonb
) RETURNS TABLE (created_at timestamptz, deadline_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT executions_may_launch_7(p_tenant, p_workflow, p_place, p_secrets, p_known, p_starts, p_most)
  THEN
    RETURN;
  END IF;
  IF p_audit IS NOT NULL THEN
    PERFORM tenancy_audit_1(p_tenant, p_audit);
  END IF;
  RETURN QUERY
    SELECT q.p_created_at, q.p_deadline_at
      FROM executions_queue_7(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight) AS q;
  PERFORM tenancy_require_1(p_tenant, 'runs_per_month', 1);
END $$;
