-- An ordinary start, with seeds between its first event and its first claim: what is said of single
-- steps (p_given: [{path, body}]), then the outcomes of the kept steps, copied in the order in which
-- they came, so that the history of the new run stands by itself. p_opened: containers that go on, and
-- how many of their iterations are taken over. p_abi: the first release that can read all this.
CREATE FUNCTION executions_chain_7(
  p_tenant uuid, p_run uuid, p_source uuid, p_until int, p_kept text[], p_opened jsonb, p_given jsonb,
  p_abi int, p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  told int;
  taken int;
  millis double precision := round(extract(epoch FROM clock_timestamp()) * 1000);
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, body)
    SELECT p_tenant, p_run, 1 + g.o, 'step.given', g.x ->> 'path', g.x -> 'body'
      FROM jsonb_array_elements(p_given) WITH ORDINALITY AS g(x, o);
  GET DIAGNOSTICS told = ROW_COUNT;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, p_run, 1 + told + row_number() OVER (ORDER BY e.seq),
           CASE WHEN e.type IN ('step.skipped', 'step.iterated') THEN e.type ELSE 'step.reused' END,
           e.path, e.attempt,
           CASE WHEN e.type IN ('step.completed', 'step.failed')
                THEN e.body || jsonb_build_object('run', p_source)
                WHEN e.type = 'step.iterated' AND NOT e.body ? 'run'
                THEN e.body - 'usage' || jsonb_build_object('run', p_source, 'startedAt', millis)
                ELSE e.body END
      FROM run_event e
     WHERE e.tenant_id = p_tenant AND e.run_id = p_source AND e.seq <= p_until
       AND (e.path = ANY (p_kept)
            AND e.type IN ('step.completed', 'step.failed', 'step.skipped', 'step.reused')
            OR e.type = 'step.iterated'
            AND (e.body ->> 'index')::int < (p_opened ->> e.path)::int);
  GET DIAGNOSTICS taken = ROW_COUNT;
  PERFORM executions_start_7(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight);
  UPDATE run SET head = 1 + told + taken, settled = taken, abi = coalesce(p_abi, abi)
   WHERE tenant_id = p_tenant AND id = p_run AND told + taken > 0;
END $$;
