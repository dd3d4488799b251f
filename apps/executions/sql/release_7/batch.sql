-- engine_append_batch_5, which does not lock the rows before it updates them: a run has one owner, so no
-- two batches stand in each other's way but one that has lost its fence; should those two ever wait for
-- each other one is refused, and written run by run. Locks are logged as updates are.
CREATE FUNCTION engine_append_batch_7(
  p_tenant uuid, p_runs uuid[], p_tokens uuid[], p_heads int[], p_counts int[], p_settled int[],
  p_changes jsonb[], p_event_runs uuid[], p_seqs int[], p_types text[], p_paths text[],
  p_attempts int[], p_bodies jsonb[]
) RETURNS SETOF uuid
LANGUAGE plpgsql AS $$
DECLARE
  held uuid[];
  ended uuid[];
  gone int;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  WITH given AS (
    SELECT * FROM unnest(p_runs, p_tokens, p_heads, p_counts, p_settled, p_changes)
                  AS g(run, token, head, n, settled, change)
  ), moved AS (
    UPDATE run y SET head = g.head + g.n, settled = y.settled + g.settled,
        state = coalesce(g.change ->> 'state', y.state),
        started_at = CASE WHEN g.change ? 'started' THEN clock_timestamp() ELSE y.started_at END,
        finished_at = CASE WHEN g.change ->> 'left' = 'FINISHED' THEN clock_timestamp() END,
        result = g.change -> 'result', error = g.change -> 'error',
        attempts = coalesce((g.change ->> 'attempts')::int, y.attempts),
        cpu_seconds = coalesce((g.change ->> 'cpuSeconds')::double precision, y.cpu_seconds),
        peak_memory_bytes =
          coalesce((g.change ->> 'peakMemoryBytes')::bigint, y.peak_memory_bytes),
        bytes_in = coalesce((g.change ->> 'bytesIn')::bigint, y.bytes_in),
        bytes_out = coalesce((g.change ->> 'bytesOut')::bigint, y.bytes_out),
        cost_minor = coalesce((g.change ->> 'costMinor')::bigint, y.cost_minor)
      FROM given g
     WHERE y.tenant_id = p_tenant AND y.id = g.run AND y.id = ANY (p_runs)
       AND y.fence = g.token AND y.head = g.head
    RETURNING y.id
  )
  SELECT coalesce(array_agg(id), '{}') INTO held FROM moved;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, e.run, e.seq, e.type, e.path, e.attempt, e.body
      FROM unnest(p_event_runs, p_seqs, p_types, p_paths, p_attempts, p_bodies)
           AS e(run, seq, type, path, attempt, body)
     WHERE e.run = ANY (held);
  ended := ARRAY (
    SELECT g.run FROM unnest(p_runs, p_changes) AS g(run, change)
     WHERE g.run = ANY (held) AND g.change ->> 'left' = 'FINISHED'
       AND g.change - '{state,left,result,error}'::text[]
           - '{attempts,cpuSeconds,peakMemoryBytes,bytesIn,bytesOut,costMinor}'::text[] = '{}');
  IF ended <> '{}' THEN
    DELETE FROM work_item WHERE run_id = ANY (ended);
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone > cardinality(ended) THEN
      -- Slices of their maps may be worked on still: nothing of theirs is recorded any more.
      UPDATE map_chunk SET token = NULL, state = 'stopped'
       WHERE tenant_id = p_tenant AND run_id = ANY (ended) AND token IS NOT NULL;
    END IF;
    DELETE FROM timer WHERE run_id = ANY (ended);
    DELETE FROM run_inbox WHERE tenant_id = p_tenant AND run_id = ANY (ended);
    INSERT INTO outbox (tenant_id, run_id, kind)
      SELECT p_tenant, e.run, 'run.finished' FROM unnest(ended) AS e(run);
    PERFORM engine_admit_3(p_tenant, w.workflow_id)
       FROM (SELECT DISTINCT workflow_id FROM run
              WHERE tenant_id = p_tenant AND id = ANY (ended) AND gated ORDER BY 1) AS w;
  END IF;
  PERFORM engine_change_3(p_tenant, g.run, g.token, g.change)
     FROM unnest(p_runs, p_tokens, p_changes) AS g(run, token, change)
    WHERE g.change IS NOT NULL AND g.run = ANY (held) AND g.run <> ALL (ended);
  RETURN QUERY SELECT unnest(held);
END $$;
