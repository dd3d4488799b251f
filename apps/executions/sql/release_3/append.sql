-- Appends, third edition: those of one or two events, which are nearly all, without arrays; the states
-- that a run may have are known to the trigger on its state, for a CHECK is read at every update.

-- The rest of an append, after its compare-and-set: what leaves, waits, is consumed, is announced.
CREATE FUNCTION engine_change_3(p_tenant uuid, p_run uuid, p_token uuid, p_change jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  goes text := p_change ->> 'left';
  item work_item;
BEGIN
  IF p_change ? 'consumed' THEN
    DELETE FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run
       AND id IN (SELECT x::uuid FROM jsonb_array_elements_text(p_change -> 'consumed') x);
    UPDATE work_item SET has_mail = false WHERE run_id = p_run AND kind = 'run' AND has_mail
       AND NOT EXISTS (SELECT FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run);
  END IF;
  IF p_change ? 'writes' THEN
    DELETE FROM node_state n USING jsonb_array_elements(p_change -> 'writes') w, run r
     WHERE r.tenant_id = p_tenant AND r.id = p_run AND w ->> 'value' IS NULL
       AND n.tenant_id = p_tenant AND n.workflow_id = r.workflow_id AND n.key = w ->> 'key';
    INSERT INTO node_state AS n (tenant_id, workflow_id, key, value)
      SELECT DISTINCT ON (w.x ->> 'key') p_tenant, r.workflow_id, w.x ->> 'key', w.x -> 'value'
        FROM run r, jsonb_array_elements(p_change -> 'writes') WITH ORDINALITY AS w(x, o)
       WHERE r.tenant_id = p_tenant AND r.id = p_run AND w.x ->> 'value' IS NOT NULL
       ORDER BY w.x ->> 'key', w.o DESC
      ON CONFLICT ON CONSTRAINT node_state_pkey
      DO UPDATE SET value = EXCLUDED.value, changed_at = clock_timestamp();
  END IF;
  IF p_change ? 'started' THEN
    INSERT INTO outbox (tenant_id, run_id, kind) VALUES (p_tenant, p_run, 'run.started');
  END IF;
  IF p_change ? 'signals' THEN
    UPDATE run SET signals = (p_change ->> 'signals')::int
     WHERE tenant_id = p_tenant AND id = p_run;
  END IF;
  IF p_change ? 'asks' THEN
    INSERT INTO ask (tenant_id, run_id, seq, kind)
      SELECT p_tenant, p_run, a.seq, a.kind
        FROM jsonb_to_recordset(p_change -> 'asks') AS a(seq int, kind text);
  END IF;
  IF p_change ? 'tasks' THEN
    PERFORM engine_dispatch_2(p_tenant, p_run, p_change -> 'tasks');
  END IF;
  IF p_change ? 'recall' THEN
    PERFORM engine_recall_2(p_tenant, p_run);
    PERFORM engine_recall_chunks_3(p_tenant, p_run, NULL);
  END IF;
  IF p_change ? 'chunks' THEN
    PERFORM engine_chunks_3(p_tenant, p_run, p_change -> 'chunks');
  END IF;
  IF p_change ? 'recalls' THEN
    PERFORM engine_recall_chunks_3(p_tenant, p_run,
      ARRAY (SELECT jsonb_array_elements_text(p_change -> 'recalls')));
  END IF;
  IF goes IS NULL THEN
    RETURN;
  ELSIF goes = 'FINISHED' THEN
    DELETE FROM work_item WHERE run_id = p_run;
    DELETE FROM timer WHERE run_id = p_run;
    DELETE FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run;
    INSERT INTO outbox (tenant_id, run_id, kind) VALUES (p_tenant, p_run, 'run.finished');
    -- Its workflow lets a bounded number through: the next may begin.
    PERFORM engine_admit_3(p_tenant, workflow_id) FROM run
      WHERE tenant_id = p_tenant AND id = p_run AND gated;
    RETURN;
  END IF;
  SELECT * INTO item FROM work_item WHERE run_id = p_run AND kind = 'run' AND token = p_token
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN; -- Reaped while we worked: it is ready already.
  END IF;
  IF goes = 'PARKED' THEN
    IF item.pool = 'quarantine' THEN
      SELECT r.pool INTO item.pool FROM run r WHERE r.tenant_id = p_tenant AND r.id = p_run;
    END IF;
    IF p_change ? 'wakeAt' THEN
      INSERT INTO timer AS t (tenant_id, run_id, kind, pool, slots, fire_at)
        VALUES (p_tenant, p_run, 'retry', item.pool, item.slots,
                (p_change ->> 'wakeAt')::timestamptz)
        ON CONFLICT ON CONSTRAINT timer_one DO UPDATE SET fire_at = EXCLUDED.fire_at;
    END IF;
    -- Whoever writes to the inbox locks the run first, as our compare-and-set did.
    IF NOT EXISTS (SELECT FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run) THEN
      DELETE FROM work_item WHERE id = item.id;
      RETURN;
    END IF;
  END IF;
  PERFORM engine_ready_1(p_tenant, item.pool);
  UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0, sort_key = clock_timestamp()
   WHERE id = item.id;
END $$;

-- The one writer of a run's history. False: another owner holds the fence, nothing was written.
CREATE FUNCTION engine_append_3(
  p_tenant uuid, p_run uuid, p_token uuid, p_head int, p_settled int,
  p_types text[], p_paths text[], p_attempts int[], p_bodies jsonb[], p_change jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  n int := cardinality(p_types);
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF p_change IS NULL THEN
    UPDATE run SET head = p_head + n, settled = settled + p_settled
     WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  ELSE
    UPDATE run SET head = p_head + n, settled = settled + p_settled,
        state = coalesce(p_change ->> 'state', state),
        started_at = CASE WHEN p_change ? 'started' THEN clock_timestamp() ELSE started_at END,
        finished_at = CASE WHEN p_change ->> 'left' = 'FINISHED' THEN clock_timestamp() END,
        result = p_change -> 'result', error = p_change -> 'error',
        attempts = coalesce((p_change ->> 'attempts')::int, attempts),
        cpu_seconds = coalesce((p_change ->> 'cpuSeconds')::double precision, cpu_seconds),
        peak_memory_bytes = coalesce((p_change ->> 'peakMemoryBytes')::bigint, peak_memory_bytes),
        bytes_in = coalesce((p_change ->> 'bytesIn')::bigint, bytes_in),
        bytes_out = coalesce((p_change ->> 'bytesOut')::bigint, bytes_out),
        cost_minor = coalesce((p_change ->> 'costMinor')::bigint, cost_minor)
     WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  END IF;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, p_run, p_head + e.o, e.type, e.path, e.attempt, e.body
      FROM unnest(p_types, p_paths, p_attempts, p_bodies)
           WITH ORDINALITY AS e(type, path, attempt, body, o);
  IF p_change IS NOT NULL THEN
    PERFORM engine_change_3(p_tenant, p_run, p_token, p_change);
  END IF;
  RETURN true;
END $$;

-- An append of one event, or of two, and nothing else: what most steps cost. Without its type there is
-- no second event.
CREATE FUNCTION engine_append_few_3(
  p_tenant uuid, p_run uuid, p_token uuid, p_head int, p_settled int,
  p_type text, p_path text, p_attempt int, p_body jsonb,
  p_type2 text, p_path2 text, p_attempt2 int, p_body2 jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  UPDATE run SET head = p_head + CASE WHEN p_type2 IS NULL THEN 1 ELSE 2 END,
      settled = settled + p_settled
   WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF p_type2 IS NULL THEN
    INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
      VALUES (p_tenant, p_run, p_head + 1, p_type, p_path, p_attempt, p_body);
  ELSE
    INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
      VALUES (p_tenant, p_run, p_head + 1, p_type, p_path, p_attempt, p_body),
             (p_tenant, p_run, p_head + 2, p_type2, p_path2, p_attempt2, p_body2);
  END IF;
  RETURN true;
END $$;

-- The same for pure steps of many runs of one tenant; returns the runs whose fence still held.
-- p_changes has one element per run: JSON null where there is none.
CREATE FUNCTION engine_append_batch_3(
  p_tenant uuid, p_runs uuid[], p_tokens uuid[], p_heads int[], p_counts int[], p_settled int[],
  p_changes jsonb[], p_event_runs uuid[], p_seqs int[], p_types text[], p_paths text[],
  p_attempts int[], p_bodies jsonb[]
) RETURNS SETOF uuid
LANGUAGE plpgsql AS $$
DECLARE
  held uuid[];
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  WITH given AS (
    SELECT * FROM unnest(p_runs, p_tokens, p_heads, p_counts, p_settled, p_changes)
                  AS g(run, token, head, n, settled, change)
  ), locked AS (
    SELECT y.id FROM run y JOIN given g ON g.run = y.id
     WHERE y.tenant_id = p_tenant ORDER BY y.id FOR NO KEY UPDATE OF y
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
      FROM given g JOIN locked k ON k.id = g.run
     WHERE y.tenant_id = p_tenant AND y.id = g.run AND y.fence = g.token AND y.head = g.head
    RETURNING y.id
  )
  SELECT coalesce(array_agg(id), '{}') INTO held FROM moved;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, e.run, e.seq, e.type, e.path, e.attempt, e.body
      FROM unnest(p_event_runs, p_seqs, p_types, p_paths, p_attempts, p_bodies)
           AS e(run, seq, type, path, attempt, body)
     WHERE e.run = ANY (held);
  PERFORM engine_change_3(p_tenant, g.run, g.token, g.change)
     FROM unnest(p_runs, p_tokens, p_changes) AS g(run, token, change)
    WHERE g.change IS NOT NULL AND g.run = ANY (held);
  RETURN QUERY SELECT unnest(held);
END $$;

-- A state moves only along the table in engine/state.py, whoever writes.
CREATE FUNCTION run_state_moves_3() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF new.state NOT IN ('RUNNING', 'WAITING', 'PAUSED', 'CANCELING', 'COMPENSATING', 'SUCCEEDED',
                       'PARTIAL', 'FAILED', 'CANCELED', 'TIMED_OUT')
     OR old.finished_at IS NOT NULL
     OR (old.state = 'CANCELING'
         AND new.state NOT IN ('COMPENSATING', 'CANCELED', 'TIMED_OUT')) THEN
    RAISE EXCEPTION 'run: % to %', old.state, new.state USING ERRCODE = 'check_violation';
  END IF;
  RETURN new;
END $$;
DROP TRIGGER run_state_moves ON run;
CREATE TRIGGER run_state_moves BEFORE UPDATE OF state ON run
  FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION run_state_moves_3();
ALTER TABLE run DROP CONSTRAINT run_state_known;
