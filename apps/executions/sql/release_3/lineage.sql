-- Chained runs: retry, re-run and fork are new runs that take over outcomes of an earlier one.

-- An ordinary start, with seeds between its first event and its first claim: what is said of single
-- steps (p_given: [{path, body}]), then the outcomes of the kept steps, copied in the order in which
-- they came, so that the history of the new run stands by itself.
CREATE FUNCTION executions_chain_3(
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
  PERFORM executions_start_3(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight);
  UPDATE run SET head = 1 + told + taken, settled = taken
   WHERE tenant_id = p_tenant AND id = p_run AND told + taken > 0;
END $$;
