-- Starts, fifth edition: their runs are left alone by workers of the fourth release, and they stand in
-- each other's way less.

-- What a start writes. Facts: the columns of the run that do not change; `bounds` among them are its
-- workflow's, whose gate all its starts share: it comes last.
CREATE FUNCTION executions_queue_5(
  p_tenant uuid, p_run uuid, p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real,
  OUT p_created_at timestamptz, OUT p_deadline_at timestamptz
)
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
      r.bounds IS NOT NULL, 5, CASE WHEN r.bounds IS NOT NULL THEN place END,
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
END $$;

-- T0. The quota's row is shared by all of a tenant's starts, so it comes last.
CREATE FUNCTION executions_start_5(
  p_tenant uuid, p_run uuid, p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM executions_queue_5(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight);
  PERFORM tenancy_require_1(p_tenant, 'runs_per_month', 1);
END $$;

-- What a run of a workflow in a place would take, as executions_standing_3 says it, in one question. Null
-- where a run would be refused, and in development, where the draft runs.
CREATE FUNCTION executions_standing_5(
  p_tenant uuid, p_workflow uuid, p_place text, p_secrets text[]
) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN (
    SELECT jsonb_build_object(
             'placeId', e.id, 'kind', e.kind, 'place', e.name, 'versionId', v.id, 'version', v.version,
             'variables', (SELECT jsonb_object_agg(x.name, x.value) FROM vault_variable x
                            WHERE x.tenant_id = p_tenant AND x.environment_id = e.id),
             'limits', (SELECT jsonb_object_agg(l.metric, l."limit") FROM tenancy_limit l
                         WHERE l.tenant_id = p_tenant AND l.metric IN
                           ('concurrent_steps', 'concurrent_runs', 'queued_runs', 'starts_per_minute',
                            'fair_share')))
      FROM versions_deployment d
      JOIN tenancy_environment e ON e.tenant_id = p_tenant AND e.id = d.environment_id
      JOIN workflows_workflow w ON w.tenant_id = p_tenant AND w.id = p_workflow
      JOIN versions_workflowversion v ON v.tenant_id = p_tenant AND v.id = d.version_id
     WHERE d.tenant_id = p_tenant AND d.workflow_id = p_workflow AND d.superseded_at IS NULL
       AND w.archived_at IS NULL AND e.kind <> 'DEVELOPMENT'
       AND CASE WHEN length(p_place) = 36 THEN e.id::text = p_place
                ELSE e.kind = p_place AND e.is_default END
       AND (p_secrets = '{}' OR NOT EXISTS (
         SELECT FROM unnest(p_secrets) AS n(name) WHERE NOT EXISTS (
           SELECT FROM vault_secret s JOIN vault_secretversion u ON u.tenant_id = s.tenant_id
                  AND u.secret_id = s.id AND u.version = s.current_version
            WHERE s.tenant_id = p_tenant AND s.environment_id = e.id AND s.name = n.name))));
END $$;

-- Whether all stands as the caller knows it: `p_known` is a digest of executions_standing_5, fewer than
-- p_most runs are open and fewer than p_starts began within a minute (p_most null: somebody has counted
-- them lately).
CREATE FUNCTION executions_may_launch_5(
  p_tenant uuid, p_workflow uuid, p_place text, p_secrets text[], p_known text,
  p_starts bigint, p_most bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  -- Outside the statement, whose index could not be asked for what each row would find out anew.
  minute_ago uuid := engine_uuid_floor_1(clock_timestamp() - interval '1 minute');
BEGIN
  IF md5(executions_standing_5(p_tenant, p_workflow, p_place, p_secrets))
     IS DISTINCT FROM p_known THEN
    RETURN false;
  END IF;
  IF p_most IS NOT NULL THEN
    PERFORM FROM run r WHERE r.tenant_id = p_tenant AND r.finished_at IS NULL
      OFFSET p_most - 1 LIMIT 1;
    IF FOUND THEN
      RETURN false;
    END IF;
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
CREATE FUNCTION executions_launch_5(
  p_tenant uuid, p_run uuid, p_workflow uuid, p_place text, p_secrets text[], p_known text,
  p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real,
  p_starts bigint, p_most bigint, p_audit jsonb
) RETURNS TABLE (created_at timestamptz, deadline_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT executions_may_launch_5(p_tenant, p_workflow, p_place, p_secrets, p_known, p_starts, p_most)
  THEN
    RETURN;
  END IF;
  IF p_audit IS NOT NULL THEN
    PERFORM tenancy_audit_1(p_tenant, p_audit);
  END IF;
  RETURN QUERY
    SELECT q.p_created_at, q.p_deadline_at
      FROM executions_queue_5(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight) AS q;
  PERFORM tenancy_require_1(p_tenant, 'runs_per_month', 1);
END $$;

-- The same as transactions of its own: the quota is taken and let go before anything waits for a disk,
-- or all of a tenant's starts would stand in line for the flush of each. Its commit is in the log before
-- that of the run, so no run goes uncounted; a start that dies between the two has been counted.
CREATE PROCEDURE executions_launch_alone_5(
  p_tenant uuid, p_run uuid, p_workflow uuid, p_place text, p_secrets text[], p_known text,
  p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real,
  p_starts bigint, p_most bigint, p_audit jsonb,
  INOUT p_created_at timestamptz, INOUT p_deadline_at timestamptz
)
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT executions_may_launch_5(p_tenant, p_workflow, p_place, p_secrets, p_known, p_starts, p_most)
  THEN
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
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF p_audit IS NOT NULL THEN
    PERFORM tenancy_audit_1(p_tenant, p_audit);
  END IF;
  SELECT q.p_created_at, q.p_deadline_at INTO p_created_at, p_deadline_at
    FROM executions_queue_5(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight) AS q;
END $$;

-- An ordinary start, with seeds between its first event and its first claim: what is said of single
-- steps (p_given: [{path, body}]), then the outcomes of the kept steps, copied in the order in which
-- they came, so that the history of the new run stands by itself.
CREATE FUNCTION executions_chain_5(
  p_tenant uuid, p_run uuid, p_source uuid, p_until int, p_kept text[], p_given jsonb,
  p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  told int;
  taken int;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, body)
    SELECT p_tenant, p_run, 1 + g.o, 'step.given', g.x ->> 'path', g.x -> 'body'
      FROM jsonb_array_elements(p_given) WITH ORDINALITY AS g(x, o);
  GET DIAGNOSTICS told = ROW_COUNT;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, p_run, 1 + told + row_number() OVER (ORDER BY e.seq),
           CASE e.type WHEN 'step.skipped' THEN e.type ELSE 'step.reused' END, e.path, e.attempt,
           CASE e.type WHEN 'step.completed' THEN e.body || jsonb_build_object('run', p_source)
                       WHEN 'step.failed' THEN e.body || jsonb_build_object('run', p_source)
                       ELSE e.body END
      FROM run_event e
     WHERE e.tenant_id = p_tenant AND e.run_id = p_source AND e.seq <= p_until
       AND e.path = ANY (p_kept)
       AND e.type IN ('step.completed', 'step.failed', 'step.skipped', 'step.reused');
  GET DIAGNOSTICS taken = ROW_COUNT;
  PERFORM executions_start_5(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight);
  UPDATE run SET head = 1 + told + taken, settled = taken
   WHERE tenant_id = p_tenant AND id = p_run AND told + taken > 0;
END $$;
