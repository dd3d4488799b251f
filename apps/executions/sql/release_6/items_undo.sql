-- Undoing what the items of a map did where they are runs of their own, or were taken over.

ALTER TABLE map_item
  -- Whoever undoes it: the run that does, of an item that was a run; else, where the item is of another
  -- run, the run that was the first to come to it.
  ADD COLUMN undoer uuid;
CREATE INDEX map_item_undoer ON map_item (tenant_id, undoer) WHERE undoer IS NOT NULL;

-- The end of a run that undoes an item's is what becomes of the item, in one transaction.
CREATE FUNCTION run_undo_ended_6() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  slice int;
BEGIN
  UPDATE map_item i
     SET undone = new.error IS NULL
   WHERE i.tenant_id = new.tenant_id AND i.undoer = new.id
  RETURNING i.chunk INTO slice;
  IF FOUND THEN
    INSERT INTO map_news (tenant_id, run_id, path, chunk)
      VALUES (new.tenant_id, new.parent_id, regexp_replace(new.parent_path, '\[\d+\]$', ''), slice);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER run_undo_ended AFTER UPDATE OF finished_at ON run
  FOR EACH ROW WHEN (new.parent_kind = 'ITEM' AND new.parent_attempt = 0 AND new.finished_at IS NOT NULL)
  EXECUTE FUNCTION run_undo_ended_6();

-- The items of a chunk whose runs did something that is not undone, the last first. `fate`: fresh (its run
-- has to be undone), open (that goes on), missed (that could not be, or its own compensation could not, or
-- another run has begun with it). What did nothing that can be undone is undone at once.
CREATE FUNCTION engine_runs_to_undo_6(
  p_tenant uuid, p_run uuid, p_source uuid, p_path text, p_low int, p_high int, p_nodes text[]
) RETURNS TABLE (idx int, fate text, undoer uuid, state text, told text, error jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF NOT EXISTS (SELECT FROM run WHERE tenant_id = p_tenant AND id = p_source) THEN
    -- Its retention is over: nobody knows any more what was done.
    RETURN QUERY SELECT x, 'missed', NULL::uuid, NULL, NULL, NULL::jsonb
      FROM generate_series(p_low, p_high - 1) AS x;
    RETURN;
  END IF;
  UPDATE map_item i SET undone = true
   WHERE i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path
     AND i.idx >= p_low AND i.idx < p_high AND NOT i.undone AND i.undoer IS NULL
     AND i.child IS NOT NULL AND i.state <> 'begun'
     AND (SELECT coalesce(c.error ->> 'code', '') <> 'COMPENSATION_FAILED' FROM run c
           WHERE c.tenant_id = p_tenant AND c.id = i.child)
     AND (engine_ended_undone_6(p_tenant, i.child) OR NOT EXISTS (
       SELECT FROM run_event e
        WHERE e.tenant_id = p_tenant AND e.run_id = i.child
          AND (e.type = 'chunk.dispatched'
               OR e.type = 'step.completed' AND regexp_replace(e.path, '^.*/|~\d+$', '', 'g') = ANY (p_nodes))));
  RETURN QUERY
    SELECT i.idx,
           CASE WHEN u.id IS NULL AND coalesce(c.error ->> 'code', '') <> 'COMPENSATION_FAILED'
                     AND c.id IS NOT NULL THEN 'fresh'
                WHEN u.id IS NOT NULL AND u.parent_id = p_run AND u.finished_at IS NULL THEN 'open'
                ELSE 'missed' END,
           u.id, u.state::text,
           (SELECT m.kind FROM run_inbox m
             WHERE m.tenant_id = p_tenant AND m.run_id = u.id AND m.kind IN ('cancel', 'pause', 'resume')
             ORDER BY m.at DESC, m.id DESC LIMIT 1),
           coalesce(u.error, c.error)
      FROM map_item i
      LEFT JOIN run u ON u.tenant_id = p_tenant AND u.id = i.undoer
      LEFT JOIN run c ON c.tenant_id = p_tenant AND c.id = i.child
     WHERE i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high AND i.child IS NOT NULL AND i.state <> 'begun'
       AND NOT i.undone
     ORDER BY i.idx DESC;
END $$;

-- Whether a run that has ended has undone itself.
CREATE FUNCTION engine_ended_undone_6(p_tenant uuid, p_run uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT e.type = 'run.compensating' FROM run_event e
    WHERE e.tenant_id = p_tenant AND e.run_id = p_run
      AND e.type IN ('run.compensating', 'run.compensated')
    ORDER BY e.seq DESC LIMIT 1), false)
$$;

-- Items begin to be undone: a run each, which has the history of the item's run without its end, and what
-- that knows of items of its own. Says STARTED or LOST (the chunk is another's).
CREATE FUNCTION engine_undo_start_6(
  p_tenant uuid, p_run uuid, p_source uuid, p_path text, p_chunk int, p_token uuid, p_ids uuid[], p_idx int[]
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  r run;
  at timestamptz := clock_timestamp();
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  PERFORM FROM map_chunk
    WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
      AND token = p_token FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN 'LOST';
  END IF;
  SELECT * INTO r FROM run WHERE tenant_id = p_tenant AND id = p_run AND finished_at IS NULL;
  IF NOT FOUND THEN
    RETURN 'LOST';
  ELSIF EXISTS (SELECT FROM run WHERE tenant_id = p_tenant AND id = ANY (p_ids)) THEN
    RETURN 'STARTED'; -- By an earlier call of ours, whose reply was lost.
  END IF;
  -- Once, whoever else has taken the map over.
  WITH given AS (
    SELECT * FROM unnest(p_ids, p_idx) AS g(id, idx)
  ), begun AS (
    UPDATE map_item i SET undoer = g.id, chunk = p_chunk FROM given g
     WHERE i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path AND i.idx = g.idx
       AND i.child IS NOT NULL AND i.undoer IS NULL AND NOT i.undone
    RETURNING g.id, g.idx, i.child
  ), kept AS (
    SELECT b.id, e.type, e.path, e.attempt, e.body,
           row_number() OVER (PARTITION BY b.id ORDER BY e.seq)::int AS seq
      FROM begun b JOIN run_event e ON e.tenant_id = p_tenant AND e.run_id = b.child
     WHERE e.type NOT IN ('run.canceling', 'run.paused', 'run.resumed', 'run.succeeded', 'run.partial',
                          'run.failed', 'run.canceled', 'run.timed_out')
  ), told AS (
    INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
      SELECT p_tenant, k.id, k.seq, k.type, k.path, k.attempt, k.body FROM kept k
      UNION ALL
      SELECT p_tenant, k.id, count(*)::int + 1, 'run.compensating', NULL, NULL, '{}' FROM kept k
       GROUP BY k.id
  ), below AS (
    INSERT INTO map_item (tenant_id, run_id, path, idx, attempt, state, output, error, child, chunk,
                          history, undone)
      SELECT p_tenant, b.id, m.path, m.idx, m.attempt, m.state, m.output, m.error, m.child, m.chunk,
             m.history, m.undone
        FROM begun b JOIN map_item m ON m.tenant_id = p_tenant AND m.run_id = b.child
  )
  INSERT INTO run (tenant_id, id, head, settled, state, workflow_id, version_id, version, environment_id,
      environment, lineage_id, installation_id, trigger, started_by_id, priority, pool, slots,
      created_at, started_at, due_at, parameters, variables, abi, parent_id, parent_kind, parent_path,
      parent_attempt, depth)
    SELECT p_tenant, b.id, n.head, n.settled, 'COMPENSATING', c.workflow_id, c.version_id, c.version,
           c.environment_id, c.environment, c.lineage_id, c.installation_id, c.trigger, c.started_by_id,
           c.priority, r.pool, r.slots, at, at, r.due_at, c.parameters, c.variables, 6, p_run, 'ITEM',
           p_path || '[' || b.idx || ']', 0, r.depth + 1
      FROM begun b JOIN run c ON c.tenant_id = p_tenant AND c.id = b.child
      JOIN (SELECT k.id, count(*) + 1 AS head, count(*) FILTER (WHERE k.type IN (
              'step.completed', 'step.failed', 'step.skipped', 'step.canceled', 'step.iterated',
              'step.reused')) AS settled FROM kept k GROUP BY k.id) n ON n.id = b.id;
  PERFORM engine_ready_1(p_tenant, r.pool);
  INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
    SELECT p_tenant, u.id, r.pool, r.slots, engine_sort_key_3(at, r.due_at, r.priority)
      FROM run u WHERE u.tenant_id = p_tenant AND u.id = ANY (p_ids);
  RETURN 'STARTED';
END $$;

-- As engine_items_to_undo_5, of items that may be another run's: whoever comes first to those undoes
-- them, and what another has begun with, or nobody knows any more, is not given away (`taken`).
CREATE FUNCTION engine_items_to_undo_6(
  p_tenant uuid, p_run uuid, p_source uuid, p_path text, p_low int, p_high int
) RETURNS TABLE (idx int, history jsonb, taken boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF NOT EXISTS (SELECT FROM run WHERE tenant_id = p_tenant AND id = p_source) THEN
    RETURN QUERY SELECT x, NULL::jsonb, true FROM generate_series(p_low, p_high - 1) AS x;
    RETURN;
  END IF;
  UPDATE map_item i SET undoer = p_run
   WHERE i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path
     AND i.idx >= p_low AND i.idx < p_high AND NOT i.undone AND i.undoer IS NULL
     AND (i.history IS NOT NULL OR i.state = 'begun');
  RETURN QUERY
    SELECT i.idx, coalesce(i.history, CASE WHEN i.state = 'begun' THEN i.output END),
           i.undoer <> p_run FROM map_item i
     WHERE i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high AND NOT i.undone
       AND (i.history IS NOT NULL OR i.state = 'begun')
     ORDER BY i.idx DESC;
END $$;

-- As engine_item_undo_5, of an item of another run. False: another worker holds the chunk.
CREATE FUNCTION engine_item_undo_6(
  p_tenant uuid, p_run uuid, p_source uuid, p_path text, p_chunk int, p_token uuid, p_idx int,
  p_history jsonb, p_undone boolean, p_writes jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT engine_item_undo_5(p_tenant, p_run, p_path, p_chunk, p_token, p_idx, p_history, p_undone,
                            p_writes) THEN
    RETURN false;
  END IF;
  UPDATE map_item SET history = coalesce(p_history, history), undone = p_undone
   WHERE tenant_id = p_tenant AND run_id = p_source AND path = p_path AND idx = p_idx
     AND undoer = p_run;
  RETURN true;
END $$;

-- Chunks of a run that look after runs which undo items.
CREATE FUNCTION engine_undoing_6(p_tenant uuid, p_run uuid) RETURNS SETOF map_chunk
LANGUAGE sql STABLE AS $$
  SELECT m.* FROM map_chunk m
   WHERE m.tenant_id = p_tenant AND m.run_id = p_run AND m.state = 'open' AND EXISTS (
     SELECT FROM run u WHERE u.tenant_id = p_tenant AND u.parent_id = p_run AND u.parent_kind = 'ITEM'
        AND u.parent_attempt = 0 AND u.finished_at IS NULL
        AND regexp_replace(u.parent_path, '\[\d+\]$', '') = m.path
        AND substring(u.parent_path FROM '\[(\d+)\]$')::int >= m.low
        AND substring(u.parent_path FROM '\[(\d+)\]$')::int < m.high)
$$;

-- Chunks of these maps (of all, when null) come back: at once what nobody has leased, soon what runs.
-- One that looks after runs of items is woken instead: it knows what they are to be told. So is one
-- that looks after what undoes them.
CREATE OR REPLACE FUNCTION engine_recall_chunks_3(p_tenant uuid, p_run uuid, p_paths text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  kept bigint[];
BEGIN
  INSERT INTO map_news (tenant_id, run_id, path, chunk)
    SELECT DISTINCT i.tenant_id, i.run_id, i.path, i.chunk FROM map_item i
     WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.child IS NOT NULL
       AND i.state = 'begun' AND (p_paths IS NULL OR i.path = ANY (p_paths))
    UNION
    SELECT m.tenant_id, m.run_id, m.path, m.chunk FROM engine_undoing_6(p_tenant, p_run) m
     WHERE p_paths IS NULL OR m.path = ANY (p_paths);
  IF FOUND THEN
    kept := ARRAY (
      SELECT w.id FROM work_item w
       WHERE w.run_id = p_run AND w.kind = 'chunk' AND EXISTS (
         SELECT FROM map_item i WHERE i.tenant_id = p_tenant AND i.run_id = p_run
            AND i.path = w.path AND i.chunk = w.idx AND i.child IS NOT NULL AND i.state = 'begun')
      UNION ALL
      SELECT w.id FROM engine_undoing_6(p_tenant, p_run) m JOIN work_item w
          ON w.run_id = p_run AND w.kind = 'chunk' AND w.path = m.path AND w.idx = m.chunk);
  END IF;
  PERFORM id FROM work_item WHERE run_id = p_run AND kind = 'chunk' ORDER BY id FOR UPDATE;
  WITH dropped AS (
    DELETE FROM work_item WHERE run_id = p_run AND kind = 'chunk' AND worker_id IS NULL
       AND (p_paths IS NULL OR path = ANY (p_paths)) AND id <> ALL (coalesce(kept, '{}'))
    RETURNING path, idx, attempt
  ), spent AS (
    SELECT m.path, m.chunk, m.spent FROM map_chunk m JOIN dropped d
        ON m.tenant_id = p_tenant AND m.run_id = p_run AND m.path = d.path AND m.chunk = d.idx
  ), ended AS (
    UPDATE map_chunk m SET state = 'stopped', token = NULL, spent = '{}',
           done = engine_map_count_3(p_tenant, p_run, m.path, m.low, m.high, 'done'),
           failed = engine_map_count_3(p_tenant, p_run, m.path, m.low, m.high, 'failed')
      FROM dropped d
     WHERE m.tenant_id = p_tenant AND m.run_id = p_run AND m.path = d.path AND m.chunk = d.idx
    RETURNING m.path, m.chunk, m.attempt, m.done, m.failed
  )
  INSERT INTO run_inbox (tenant_id, run_id, id, kind, body)
    SELECT p_tenant, p_run, gen_random_uuid(), 'chunk_result',
           s.spent || jsonb_build_object('path', e.path, 'chunk', e.chunk, 'attempt', e.attempt,
                                         'done', e.done, 'failed', e.failed, 'stopped', true)
      FROM ended e JOIN spent s ON s.path = e.path AND s.chunk = e.chunk;
  IF FOUND THEN
    UPDATE work_item SET has_mail = true WHERE run_id = p_run AND kind = 'run';
  END IF;
  UPDATE work_item SET has_mail = true
   WHERE run_id = p_run AND kind = 'chunk' AND (p_paths IS NULL OR path = ANY (p_paths));
END $$;
