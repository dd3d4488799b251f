-- What quarantine takes, and where it goes from there.
ALTER TABLE work_item
  -- The pool it is of, while it is in quarantine.
  ADD COLUMN home text NOT NULL DEFAULT '';

-- The rest of an append, mended: for workers of the third release too. What was parked in quarantine
-- with mail stayed there, and nobody was told. That a run has begun is announced no more: nobody
-- reacted.
CREATE OR REPLACE FUNCTION engine_change_3(p_tenant uuid, p_run uuid, p_token uuid, p_change jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  goes text := p_change ->> 'left';
  item work_item;
  gone int;
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
  IF p_change ? 'unbegun' THEN
    UPDATE run SET started_at = NULL WHERE tenant_id = p_tenant AND id = p_run;
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
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone > 1 THEN
      -- Slices of its maps may be worked on still: nothing of theirs is recorded any more.
      UPDATE map_chunk SET token = NULL, state = 'stopped'
       WHERE tenant_id = p_tenant AND run_id = p_run AND token IS NOT NULL;
    END IF;
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
  -- A run that parked in quarantine and has mail is claimed where its lane was told of it.
  UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0, sort_key = clock_timestamp(),
         pool = item.pool, home = CASE WHEN item.pool = 'quarantine' THEN home ELSE '' END
   WHERE id = item.id;
END $$;

-- Items of dead workers become ready. What a worker died with runs again in the pool `quarantine`,
-- one at a time in a process of its own, so that it takes nobody along; where no such process lives
-- it stays in its pool. So does what is in a pool of the operator's own: it may need that pool's
-- machine. Returns the pools to ring.
CREATE FUNCTION engine_reap_4(p_seconds double precision) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  item record;
  is_moved boolean;
  is_watched boolean := EXISTS (
    SELECT FROM worker WHERE 'quarantine' = ANY (pools) AND NOT draining
       AND lease_until > clock_timestamp() - interval '1 minute');
BEGIN
  FOR item IN
    SELECT w.id, w.tenant_id, w.pool FROM work_item w LEFT JOIN worker k ON k.id = w.worker_id
     WHERE w.worker_id IS NOT NULL
       AND (k.id IS NULL OR k.lease_until = '-infinity'
            OR greatest(k.lease_until, pg_postmaster_start_time() + p_seconds * interval '1 second')
               < clock_timestamp())
     ORDER BY w.tenant_id, w.pool, w.id LIMIT 500 FOR UPDATE OF w SKIP LOCKED
  LOOP
    is_moved := is_watched AND item.pool IN ('io', 'cpu', 'sandbox', 'system');
    IF is_moved THEN
      INSERT INTO lane (tenant_id, pool, weight, max_inflight, max_runs)
        SELECT tenant_id, 'quarantine', weight, max_inflight, max_runs FROM lane
         WHERE tenant_id = item.tenant_id AND pool = item.pool
        ON CONFLICT ON CONSTRAINT lane_pkey DO NOTHING;
    END IF;
    UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0, crashes = crashes + 1,
           pool = CASE WHEN is_moved THEN 'quarantine' ELSE pool END,
           home = CASE WHEN is_moved THEN item.pool ELSE home END
     WHERE id = item.id RETURNING pool INTO item.pool;
    PERFORM engine_ready_1(item.tenant_id, item.pool);
    RETURN NEXT item.pool;
  END LOOP;
  -- Nobody lives to work in quarantine any more: back to where they came from.
  IF NOT is_watched THEN
    FOR item IN
      UPDATE work_item w SET pool = coalesce(nullif(w.home, ''), 'io'), home = ''
        FROM (SELECT id FROM work_item WHERE pool = 'quarantine' AND worker_id IS NULL
               ORDER BY tenant_id, id LIMIT 500 FOR UPDATE SKIP LOCKED) s
       WHERE w.id = s.id RETURNING w.tenant_id, w.pool
    LOOP
      PERFORM engine_ready_1(item.tenant_id, item.pool);
      RETURN NEXT item.pool;
    END LOOP;
  END IF;
  DELETE FROM worker k
   WHERE k.lease_until < clock_timestamp() - interval '1 minute'
     AND NOT EXISTS (SELECT FROM work_item w WHERE w.worker_id = k.id);
END $$;
