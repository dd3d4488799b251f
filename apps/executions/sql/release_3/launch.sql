-- The short way to start a run: one statement, if everything stands as the caller knows it.

-- What a run of a workflow in a place would take: the place (by id or kind), the version that stands
-- there, variables, ceilings. Null where a run would be refused: nothing stands there, the workflow is
-- archived, a secret is missing; and in development, where the draft runs.
CREATE FUNCTION executions_standing_3(
  p_tenant uuid, p_workflow uuid, p_place text, p_secrets text[]
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  place record;
  standing record;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF length(p_place) = 36 THEN
    SELECT e.id, e.kind, e.name INTO place FROM tenancy_environment e
     WHERE e.tenant_id = p_tenant AND e.id = p_place::uuid;
  ELSE
    SELECT e.id, e.kind, e.name INTO place FROM tenancy_environment e
     WHERE e.tenant_id = p_tenant AND e.kind = p_place AND e.is_default;
  END IF;
  SELECT v.id, v.version INTO standing
    FROM versions_deployment d
    JOIN workflows_workflow w
      ON w.tenant_id = d.tenant_id AND w.id = d.workflow_id AND w.archived_at IS NULL
    JOIN versions_workflowversion v ON v.tenant_id = d.tenant_id AND v.id = d.version_id
   WHERE d.tenant_id = p_tenant AND d.workflow_id = p_workflow AND d.environment_id = place.id
     AND d.superseded_at IS NULL AND place.kind <> 'DEVELOPMENT';
  IF standing.id IS NULL THEN
    RETURN NULL;
  END IF;
  IF p_secrets <> '{}' AND EXISTS (
    SELECT FROM unnest(p_secrets) AS n(name) WHERE NOT EXISTS (
      SELECT FROM vault_secret s JOIN vault_secretversion v ON v.tenant_id = s.tenant_id
             AND v.secret_id = s.id AND v.version = s.current_version
       WHERE s.tenant_id = p_tenant AND s.environment_id = place.id AND s.name = n.name)
  ) THEN
    RETURN NULL;
  END IF;
  RETURN jsonb_build_object(
    'placeId', place.id, 'kind', place.kind, 'place', place.name,
    'versionId', standing.id, 'version', standing.version,
    'variables', (SELECT jsonb_object_agg(x.name, x.value) FROM vault_variable x
                   WHERE x.tenant_id = p_tenant AND x.environment_id = place.id),
    'limits', (SELECT jsonb_object_agg(l.metric, l."limit") FROM tenancy_limit l
                WHERE l.tenant_id = p_tenant AND l.metric IN
                  ('concurrent_steps', 'concurrent_runs', 'queued_runs', 'starts_per_minute',
                   'fair_share')));
END $$;

-- Starts the run unless something stands otherwise than `p_known` (a digest of the text above), or
-- p_most runs are open or p_starts began within a minute (p_most null: somebody has counted them
-- lately): then there is no row and nothing is written. p_audit is the act's row in the audit trail, if it has one.
CREATE FUNCTION executions_launch_3(
  p_tenant uuid, p_run uuid, p_workflow uuid, p_place text, p_secrets text[], p_known text,
  p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real,
  p_starts bigint, p_most bigint, p_audit jsonb
) RETURNS TABLE (created_at timestamptz, deadline_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
  IF md5(executions_standing_3(p_tenant, p_workflow, p_place, p_secrets))
     IS DISTINCT FROM p_known THEN
    RETURN;
  END IF;
  IF p_most IS NOT NULL THEN
    PERFORM FROM run r WHERE r.tenant_id = p_tenant AND r.finished_at IS NULL
      OFFSET p_most - 1 LIMIT 1;
    IF FOUND THEN
      RETURN;
    END IF;
    PERFORM FROM run r WHERE r.tenant_id = p_tenant
        AND r.id >= engine_uuid_floor_1(clock_timestamp() - interval '1 minute')
      OFFSET p_starts - 1 LIMIT 1;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  IF p_audit IS NOT NULL THEN
    PERFORM tenancy_audit_1(p_tenant, p_audit);
  END IF;
  PERFORM executions_start_3(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight);
  RETURN QUERY SELECT r.created_at, r.deadline_at FROM run r
                WHERE r.tenant_id = p_tenant AND r.id = p_run;
END $$;
