-- Maps: many items, few rows that change. A chunk is a slice of the items that one worker holds; what
-- became of an item is one row, written by the worker that holds the chunk, fifty at a time.

CREATE TABLE map_chunk (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  path text NOT NULL,
  chunk int NOT NULL,
  attempt int NOT NULL,
  low int NOT NULL,
  -- The index after the last.
  high int NOT NULL,
  -- The item's token of whoever may write results.
  token uuid,
  state text NOT NULL DEFAULT 'open',
  done int NOT NULL DEFAULT 0,
  failed int NOT NULL DEFAULT 0,
  CONSTRAINT map_chunk_pkey PRIMARY KEY (tenant_id, run_id, path, chunk),
  CONSTRAINT map_chunk_span CHECK (0 <= low AND low < high)
) PARTITION BY RANGE (run_id);

-- begun: an effect that may not be repeated has its intent here, with the history of the item.
CREATE TABLE map_item (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  path text NOT NULL,
  idx int NOT NULL,
  attempt int NOT NULL,
  state text NOT NULL,
  output jsonb,
  error jsonb,
  CONSTRAINT map_item_pkey PRIMARY KEY (tenant_id, run_id, path, idx),
  CONSTRAINT map_item_state CHECK (state IN ('begun', 'done', 'failed'))
) PARTITION BY RANGE (run_id);
CREATE INDEX map_item_failed ON map_item (tenant_id, run_id, path, idx) WHERE state = 'failed';

ALTER TABLE map_chunk ENABLE ROW LEVEL SECURITY;
ALTER TABLE map_chunk FORCE ROW LEVEL SECURITY;
CREATE POLICY map_chunk_tenant ON map_chunk
  USING (tenant_id = (SELECT NULLIF(current_setting('app.tenant', true), '')::uuid))
  WITH CHECK (tenant_id = (SELECT NULLIF(current_setting('app.tenant', true), '')::uuid));
ALTER TABLE map_item ENABLE ROW LEVEL SECURITY;
ALTER TABLE map_item FORCE ROW LEVEL SECURITY;
CREATE POLICY map_item_tenant ON map_item
  USING (tenant_id = (SELECT NULLIF(current_setting('app.tenant', true), '')::uuid))
  WITH CHECK (tenant_id = (SELECT NULLIF(current_setting('app.tenant', true), '')::uuid));

-- Chunks to hand out: beside the events that say so, in the same append.
CREATE FUNCTION engine_chunks_3(p_tenant uuid, p_run uuid, p_chunks jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM engine_lane_3(p_tenant, p_run, c.pool)
     FROM (SELECT DISTINCT pool FROM jsonb_to_recordset(p_chunks) AS x(pool text) ORDER BY 1) c;
  INSERT INTO map_chunk AS m (tenant_id, run_id, path, chunk, attempt, low, high)
    SELECT p_tenant, p_run, c.path, c.chunk, c.attempt, c.low, c.high
      FROM jsonb_to_recordset(p_chunks)
           AS c(path text, chunk int, attempt int, low int, high int)
    ON CONFLICT ON CONSTRAINT map_chunk_pkey
    DO UPDATE SET attempt = EXCLUDED.attempt, low = EXCLUDED.low, high = EXCLUDED.high,
                  token = NULL, state = 'open';
  INSERT INTO work_item (tenant_id, run_id, kind, path, idx, attempt, pool, slots, sort_key)
    SELECT p_tenant, p_run, 'chunk', c.path, c.chunk, c.attempt, c.pool, c.slots,
           clock_timestamp() - (r.priority - 1) * interval '1 minute'
      FROM jsonb_to_recordset(p_chunks)
           AS c(path text, chunk int, attempt int, pool text, slots smallint), run r
     WHERE r.tenant_id = p_tenant AND r.id = p_run;
END $$;

-- A pool that a run hands work to is a lane with the ceilings of the run's own; it has something now.
CREATE FUNCTION engine_lane_3(p_tenant uuid, p_run uuid, p_pool text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  own record;
BEGIN
  SELECT l.weight, l.max_inflight, l.max_runs INTO own
    FROM run r JOIN lane l ON l.tenant_id = r.tenant_id AND l.pool = r.pool
   WHERE r.tenant_id = p_tenant AND r.id = p_run;
  IF NOT EXISTS (SELECT FROM lane WHERE tenant_id = p_tenant AND pool = p_pool
                   AND (weight, max_inflight, max_runs)
                       = (own.weight, own.max_inflight, own.max_runs)) THEN
    INSERT INTO lane (tenant_id, pool, weight, max_inflight, max_runs)
      VALUES (p_tenant, p_pool, own.weight, own.max_inflight, own.max_runs)
      ON CONFLICT ON CONSTRAINT lane_pkey
      DO UPDATE SET max_inflight = EXCLUDED.max_inflight, max_runs = EXCLUDED.max_runs,
                    weight = EXCLUDED.weight;
  END IF;
  PERFORM engine_ready_1(p_tenant, p_pool);
END $$;

-- Chunks of these maps (of all, when null) come back: at once what nobody has leased, soon what runs.
CREATE FUNCTION engine_recall_chunks_3(p_tenant uuid, p_run uuid, p_paths text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM id FROM work_item WHERE run_id = p_run AND kind = 'chunk' ORDER BY id FOR UPDATE;
  WITH dropped AS (
    DELETE FROM work_item WHERE run_id = p_run AND kind = 'chunk' AND worker_id IS NULL
       AND (p_paths IS NULL OR path = ANY (p_paths))
    RETURNING path, idx, attempt
  ), ended AS (
    UPDATE map_chunk m SET state = 'stopped', token = NULL,
           done = engine_map_count_3(p_tenant, p_run, m.path, m.low, m.high, 'done'),
           failed = engine_map_count_3(p_tenant, p_run, m.path, m.low, m.high, 'failed')
      FROM dropped d
     WHERE m.tenant_id = p_tenant AND m.run_id = p_run AND m.path = d.path AND m.chunk = d.idx
    RETURNING m.path, m.chunk, m.attempt, m.done, m.failed
  )
  INSERT INTO run_inbox (tenant_id, run_id, id, kind, body)
    SELECT p_tenant, p_run, gen_random_uuid(), 'chunk_result',
           jsonb_build_object('path', e.path, 'chunk', e.chunk, 'attempt', e.attempt,
                              'done', e.done, 'failed', e.failed, 'stopped', true)
      FROM ended e;
  IF FOUND THEN
    UPDATE work_item SET has_mail = true WHERE run_id = p_run AND kind = 'run';
  END IF;
  UPDATE work_item SET has_mail = true
   WHERE run_id = p_run AND kind = 'chunk' AND (p_paths IS NULL OR path = ANY (p_paths));
END $$;

CREATE FUNCTION engine_map_count_3(
  p_tenant uuid, p_run uuid, p_path text, p_low int, p_high int, p_state text
) RETURNS int
LANGUAGE sql STABLE AS $$
  SELECT count(*)::int FROM map_item
   WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path
     AND idx >= p_low AND idx < p_high AND state = p_state
$$;

-- Whoever holds the item takes its chunk: from now on the results of an earlier holder are refused.
CREATE FUNCTION engine_chunk_take_3(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  PERFORM FROM work_item WHERE id = p_item AND token = p_token FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE map_chunk SET token = p_token
   WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk;
  RETURN FOUND;
END $$;

-- What is known of items from p_low to before p_high, in order.
CREATE FUNCTION engine_map_items_3(
  p_tenant uuid, p_run uuid, p_path text, p_low int, p_high int
) RETURNS TABLE (idx int, attempt int, state text, output jsonb, error jsonb)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN QUERY SELECT i.idx, i.attempt, i.state, i.output, i.error FROM map_item i
    WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.path = p_path
      AND i.idx >= p_low AND i.idx < p_high ORDER BY i.idx;
END $$;

-- Results, or the intent of an effect. False: another worker holds the chunk, nothing was written.
-- Results of items without an effect need not be durable at once: they are not lost alone, for the
-- chunk's end is a later commit.
CREATE FUNCTION engine_chunk_record_3(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_token uuid, p_attempt int,
  p_idx int[], p_states text[], p_outputs jsonb[], p_errors jsonb[], p_writes jsonb, p_soon boolean
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF p_soon THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
  PERFORM FROM map_chunk
    WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
      AND token = p_token FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO map_item AS m (tenant_id, run_id, path, idx, attempt, state, output, error)
    SELECT p_tenant, p_run, p_path, i.idx, p_attempt, i.state, i.output, i.error
      FROM unnest(p_idx, p_states, p_outputs, p_errors) AS i(idx, state, output, error)
    ON CONFLICT ON CONSTRAINT map_item_pkey
    DO UPDATE SET attempt = EXCLUDED.attempt, state = EXCLUDED.state, output = EXCLUDED.output,
                  error = EXCLUDED.error
     WHERE m.state <> 'done' AND (m.state = 'begun' OR m.attempt < EXCLUDED.attempt);
  IF p_writes IS NOT NULL THEN
    PERFORM engine_writes_3(p_tenant, p_run, p_writes);
  END IF;
  RETURN true;
END $$;

-- Declared writes of TRANSACTIONAL steps, the last of each key.
CREATE FUNCTION engine_writes_3(p_tenant uuid, p_run uuid, p_writes jsonb) RETURNS void
LANGUAGE sql AS $$
  DELETE FROM node_state n USING jsonb_array_elements(p_writes) w, run r
   WHERE r.tenant_id = p_tenant AND r.id = p_run AND w ->> 'value' IS NULL
     AND n.tenant_id = p_tenant AND n.workflow_id = r.workflow_id AND n.key = w ->> 'key';
  INSERT INTO node_state AS n (tenant_id, workflow_id, key, value)
    SELECT DISTINCT ON (w.x ->> 'key') p_tenant, r.workflow_id, w.x ->> 'key', w.x -> 'value'
      FROM run r, jsonb_array_elements(p_writes) WITH ORDINALITY AS w(x, o)
     WHERE r.tenant_id = p_tenant AND r.id = p_run AND w.x ->> 'value' IS NOT NULL
     ORDER BY w.x ->> 'key', w.o DESC
    ON CONFLICT ON CONSTRAINT node_state_pkey
    DO UPDATE SET value = EXCLUDED.value, changed_at = clock_timestamp();
$$;

-- A chunk's end, in one transaction: the item goes, the counts are in the run's inbox, the run has an
-- item. False: another worker holds it now, or an earlier call of ours has done all this.
CREATE FUNCTION engine_chunk_done_3(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid, p_id uuid,
  p_body jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  r record;
  m record;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT pool, slots, finished_at INTO r FROM run
   WHERE tenant_id = p_tenant AND id = p_run FOR NO KEY UPDATE;
  DELETE FROM work_item WHERE id = p_item AND token = p_token;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE map_chunk c
     SET token = NULL, state = CASE WHEN p_body ? 'stopped' THEN 'stopped' ELSE 'done' END,
         done = engine_map_count_3(p_tenant, p_run, p_path, c.low, c.high, 'done'),
         failed = engine_map_count_3(p_tenant, p_run, p_path, c.low, c.high, 'failed')
   WHERE c.tenant_id = p_tenant AND c.run_id = p_run AND c.path = p_path AND c.chunk = p_chunk
  RETURNING c.done, c.failed INTO m;
  IF r.finished_at IS NULL THEN
    INSERT INTO run_inbox (tenant_id, run_id, id, kind, body)
      VALUES (p_tenant, p_run, p_id, 'chunk_result',
              p_body || jsonb_build_object('done', m.done, 'failed', m.failed));
    PERFORM engine_ready_1(p_tenant, r.pool);
    INSERT INTO work_item AS w (tenant_id, run_id, pool, slots, has_mail)
      VALUES (p_tenant, p_run, r.pool, r.slots, true)
      ON CONFLICT ON CONSTRAINT work_item_one DO UPDATE SET has_mail = true;
  END IF;
  RETURN true;
END $$;

-- A run that repeats another takes over what its maps have done: only failed items run again.
CREATE FUNCTION engine_map_inherit_3(p_tenant uuid, p_from uuid, p_to uuid, p_paths text[])
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  INSERT INTO map_item (tenant_id, run_id, path, idx, attempt, state, output)
    SELECT tenant_id, p_to, path, idx, 0, state, output FROM map_item
     WHERE tenant_id = p_tenant AND run_id = p_from AND path = ANY (p_paths) AND state = 'done'
    ON CONFLICT ON CONSTRAINT map_item_pkey DO NOTHING;
END $$;
