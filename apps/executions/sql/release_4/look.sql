-- A run as those see it who wait for its end, in one statement.
CREATE FUNCTION executions_run_4(p_tenant uuid, p_run uuid)
RETURNS TABLE (workflow_id uuid, version text, environment text, state text, trigger text,
  created_at timestamptz, started_at timestamptz, finished_at timestamptz, result jsonb, error jsonb)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN QUERY
    SELECT r.workflow_id, r.version::text, r.environment::text, r.state::text, r.trigger::text,
           r.created_at, r.started_at, r.finished_at, r.result, r.error
      FROM run r WHERE r.tenant_id = p_tenant AND r.id = p_run;
END $$;
