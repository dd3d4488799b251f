-- An item that is tried again with its map: what its earlier attempts did is kept beside what the last
-- one does, so that it can be undone with it or is named.

-- Their histories, the oldest first; where items are runs, the ids of those.
ALTER TABLE map_item ADD COLUMN earlier jsonb;

-- As engine_chunk_record_5: an attempt takes nothing away of what an earlier one did, nor does a failure
-- that was found without running the item. Of an attempt that did nothing there is no history: the one
-- before is what is undone.
CREATE FUNCTION engine_chunk_record_7(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_token uuid, p_attempt int,
  p_idx int[], p_states text[], p_outputs jsonb[], p_errors jsonb[], p_histories jsonb[], p_writes jsonb, p_soon boolean
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
  INSERT INTO map_item AS m (tenant_id, run_id, path, idx, attempt, state, output, error, history)
    SELECT p_tenant, p_run, p_path, i.idx, p_attempt, i.state, i.output, i.error, i.history
      FROM unnest(p_idx, p_states, p_outputs, p_errors, p_histories)
           AS i(idx, state, output, error, history)
    ON CONFLICT ON CONSTRAINT map_item_pkey
    DO UPDATE SET attempt = EXCLUDED.attempt, state = EXCLUDED.state, output = EXCLUDED.output,
                  error = EXCLUDED.error,
                  history = coalesce(EXCLUDED.history, CASE
                    WHEN m.state = 'begun' AND EXCLUDED.state = 'failed' THEN m.output END, m.history),
                  earlier = CASE
                    WHEN m.history IS NOT NULL AND (EXCLUDED.history IS NOT NULL
                         OR m.state = 'begun' AND EXCLUDED.state = 'failed' AND m.output IS NOT NULL)
                    THEN coalesce(m.earlier, '[]') || jsonb_build_array(m.history)
                    ELSE m.earlier END
     WHERE m.state <> 'done' AND (m.state = 'begun' OR m.attempt < EXCLUDED.attempt);
  IF p_writes IS NOT NULL THEN
    PERFORM engine_writes_3(p_tenant, p_run, p_writes);
  END IF;
  RETURN true;
END $$;

-- A run that repeats another takes that over, too.
CREATE OR REPLACE FUNCTION engine_map_inherit_3(p_tenant uuid, p_from uuid, p_to uuid, p_paths text[])
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  INSERT INTO map_item (tenant_id, run_id, path, idx, attempt, state, output, history, earlier)
    SELECT tenant_id, p_to, path, idx, 0, state, output, history, earlier FROM map_item
     WHERE tenant_id = p_tenant AND run_id = p_from AND path = ANY (p_paths) AND state = 'done'
    ON CONFLICT ON CONSTRAINT map_item_pkey DO NOTHING;
END $$;

-- As engine_items_to_undo_6, with what earlier attempts did; of own items, too (p_source is p_run).
CREATE FUNCTION engine_items_to_undo_7(
  p_tenant uuid, p_run uuid, p_source uuid, p_path text, p_low int, p_high int
) RETURNS TABLE (idx int, history jsonb, earlier jsonb, taken boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF NOT EXISTS (SELECT FROM run WHERE tenant_id = p_tenant AND id = p_source) THEN
    RETURN QUERY SELECT x, NULL::jsonb, NULL::jsonb, true FROM generate_series(p_low, p_high - 1) AS x;
    RETURN;
  END IF;
  UPDATE map_item i SET undoer = p_run
   WHERE p_source <> p_run AND i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path
     AND i.idx >= p_low AND i.idx < p_high AND NOT i.undone AND i.undoer IS NULL
     AND (i.history IS NOT NULL OR i.earlier IS NOT NULL OR i.state = 'begun');
  RETURN QUERY
    SELECT i.idx, CASE WHEN i.state = 'begun' AND i.output IS NOT NULL THEN i.output ELSE i.history END,
           CASE WHEN i.state = 'begun' AND i.output IS NOT NULL AND i.history IS NOT NULL
                THEN coalesce(i.earlier, '[]') || jsonb_build_array(i.history) ELSE i.earlier END,
           coalesce(i.undoer <> p_run, false) FROM map_item i
     WHERE i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high AND NOT i.undone
       AND (i.history IS NOT NULL OR i.earlier IS NOT NULL OR i.state = 'begun')
     ORDER BY i.idx DESC;
END $$;

-- As engine_items_start_5: the run of an earlier attempt is not forgotten.
CREATE FUNCTION engine_items_begin_7(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_token uuid, p_attempt int, p_depth int,
  p_ids uuid[], p_idx int[], p_seeds jsonb[]
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
  ELSIF EXISTS (SELECT FROM run WHERE tenant_id = p_tenant AND id = p_ids[1]) THEN
    RETURN 'STARTED'; -- By an earlier call of ours, whose reply was lost.
  ELSIF r.depth >= p_depth THEN
    RETURN 'TOO_DEEP';
  END IF;
  INSERT INTO run (tenant_id, id, head, workflow_id, version_id, version, environment_id, environment,
      lineage_id, installation_id, trigger, started_by_id, priority, pool, slots, created_at,
      deadline_at, due_at, parameters, variables, abi, parent_id, parent_kind, parent_path,
      parent_attempt, depth)
    SELECT p_tenant, g.id, 2, r.workflow_id, r.version_id, r.version, r.environment_id, r.environment,
           r.lineage_id, r.installation_id, r.trigger, r.started_by_id, r.priority, r.pool, r.slots, at,
           r.deadline_at, r.due_at, r.parameters, r.variables, 7, p_run, 'ITEM',
           p_path || '[' || g.idx || ']', p_attempt, r.depth + 1
      FROM unnest(p_ids, p_idx) AS g(id, idx);
  INSERT INTO run_event (tenant_id, run_id, seq, type, body)
    SELECT p_tenant, g.id, 1, 'run.queued', jsonb_build_object('trigger', r.trigger)
      FROM unnest(p_ids) AS g(id)
    UNION ALL
    SELECT p_tenant, g.id, 2, 'item.given', g.seed FROM unnest(p_ids, p_seeds) AS g(id, seed);
  PERFORM engine_follow_7(p_tenant, g.id, g.seed -> 'follows')
     FROM unnest(p_ids, p_seeds) AS g(id, seed) WHERE g.seed ? 'follows';
  IF r.deadline_at IS NOT NULL THEN
    INSERT INTO timer (tenant_id, run_id, kind, pool, slots, fire_at)
      SELECT p_tenant, g.id, 'deadline', r.pool, r.slots, r.deadline_at FROM unnest(p_ids) AS g(id);
  END IF;
  INSERT INTO map_item AS m (tenant_id, run_id, path, idx, attempt, state, child, chunk)
    SELECT p_tenant, p_run, p_path, g.idx, p_attempt, 'begun', g.id, p_chunk
      FROM unnest(p_ids, p_idx) AS g(id, idx)
    ON CONFLICT ON CONSTRAINT map_item_pkey
    DO UPDATE SET attempt = EXCLUDED.attempt, state = 'begun', child = EXCLUDED.child,
                  chunk = EXCLUDED.chunk, output = NULL, error = NULL,
                  earlier = CASE WHEN m.child IS NULL THEN m.earlier
                    ELSE coalesce(m.earlier, '[]') || to_jsonb(m.child) END;
  PERFORM engine_ready_1(p_tenant, r.pool);
  INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
    SELECT p_tenant, g.id, r.pool, r.slots, engine_sort_key_3(at, r.due_at, r.priority)
      FROM unnest(p_ids) AS g(id);
  RETURN 'STARTED';
END $$;

-- As engine_items_start_6, by engine_items_begin_7.
CREATE FUNCTION engine_items_start_7(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_token uuid, p_attempt int, p_depth int,
  p_places int, p_more boolean, p_ids uuid[], p_idx int[], p_seeds jsonb[]
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  room int;
  said text;
  is_full boolean;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true), engine_map_turn_6(p_tenant, p_run, p_path);
  IF EXISTS (SELECT FROM run WHERE tenant_id = p_tenant AND id = p_ids[1]) THEN
    -- By an earlier call of ours, whose reply was lost: whoever asked looks again.
    RETURN 'STARTED';
  END IF;
  room := engine_map_room_6(p_tenant, p_run, p_path, p_places);
  is_full := room < cardinality(p_ids) + p_more::int;
  IF room > 0 THEN
    said := engine_items_begin_7(p_tenant, p_run, p_path, p_chunk, p_token, p_attempt, p_depth,
      p_ids[:room], p_idx[:room], p_seeds[:room]);
    IF said <> 'STARTED' THEN
      RETURN said;
    END IF;
  END IF;
  UPDATE map_chunk SET hungry = is_full
   WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
     AND token = p_token;
  RETURN CASE WHEN NOT FOUND THEN 'LOST' WHEN is_full THEN 'FULL' ELSE 'STARTED' END;
END $$;

-- What earlier runs of an item did that nobody undoes, by path: of what is sent under the same key again
-- (p_sure) a later one is told of it. A run that is gone is told of as a whole ('').
CREATE FUNCTION engine_left_by_7(
  p_tenant uuid, p_child uuid, p_earlier jsonb, p_nodes text[], p_maps text[], p_sure text[]
) RETURNS text[]
LANGUAGE sql STABLE AS $$
  WITH runs AS (
    SELECT x.id::uuid AS id, x.n FROM jsonb_array_elements_text(p_earlier) WITH ORDINALITY AS x(id, n)
  ), later AS (
    SELECT * FROM runs UNION ALL SELECT p_child, jsonb_array_length(p_earlier) + 1
  ), did AS (
    SELECT r.n, min(e.seq) AS seq, e.path, regexp_replace(e.path, '^.*/|~\d+$', '', 'g') AS node
      FROM runs r JOIN run_event e ON e.tenant_id = p_tenant AND e.run_id = r.id
     WHERE (e.type = 'step.completed' AND regexp_replace(e.path, '^.*/|~\d+$', '', 'g') = ANY (p_nodes)
            OR e.type = 'chunk.dispatched' AND NOT e.body ? 'undoes'
               AND regexp_replace(e.path, '^.*/|~\d+$', '', 'g') = ANY (p_maps))
       AND NOT EXISTS (SELECT FROM run_event b WHERE b.tenant_id = p_tenant AND b.run_id = r.id
                          AND b.type = 'step.compensated' AND b.path = e.path)
     GROUP BY r.n, e.path
  )
  SELECT array_agg(l.path ORDER BY l.n DESC, l.seq DESC) FROM (
    SELECT r.n, 0 AS seq, '' AS path FROM runs r
     WHERE NOT EXISTS (SELECT FROM run WHERE tenant_id = p_tenant AND id = r.id)
    UNION ALL
    SELECT d.n, d.seq, d.path FROM did d
     WHERE NOT (d.node = ANY (p_sure) AND EXISTS (
       SELECT FROM later o JOIN run_event e ON e.tenant_id = p_tenant AND e.run_id = o.id
        WHERE o.n > d.n AND e.type = 'step.completed' AND e.path = d.path))) AS l
$$;

-- As engine_runs_to_undo_6, with what earlier runs of an item did (`missed`); `undone`: that is all.
CREATE FUNCTION engine_runs_to_undo_7(
  p_tenant uuid, p_run uuid, p_source uuid, p_path text, p_low int, p_high int, p_nodes text[],
  p_maps text[], p_sure text[]
) RETURNS TABLE (idx int, fate text, undoer uuid, state text, told text, error jsonb, missed text[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF NOT EXISTS (SELECT FROM run WHERE tenant_id = p_tenant AND id = p_source) THEN
    -- Its retention is over: nobody knows any more what was done.
    RETURN QUERY SELECT x, 'missed', NULL::uuid, NULL, NULL, NULL::jsonb, NULL::text[]
      FROM generate_series(p_low, p_high - 1) AS x;
    RETURN;
  END IF;
  LOOP
    -- What did nothing has nothing to undo: the run of the attempt before has.
    UPDATE map_item i SET child = (i.earlier ->> -1)::uuid, earlier = nullif(i.earlier - -1, '[]')
     WHERE i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high AND NOT i.undone AND i.undoer IS NULL
       AND i.earlier IS NOT NULL AND i.state <> 'begun'
       AND EXISTS (SELECT FROM run e WHERE e.tenant_id = p_tenant AND e.id = (i.earlier ->> -1)::uuid)
       AND NOT EXISTS (
         SELECT FROM run_event e
          WHERE e.tenant_id = p_tenant AND e.run_id = i.child
            AND (e.type = 'chunk.dispatched' OR e.type = 'step.completed'
                 AND regexp_replace(e.path, '^.*/|~\d+$', '', 'g') = ANY (p_nodes)));
    EXIT WHEN NOT FOUND;
  END LOOP;
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
           CASE WHEN i.undone OR i.child IS NULL THEN 'undone'
                WHEN u.id IS NULL AND coalesce(c.error ->> 'code', '') <> 'COMPENSATION_FAILED'
                     AND c.id IS NOT NULL THEN 'fresh'
                WHEN u.id IS NOT NULL AND u.parent_id = p_run AND u.finished_at IS NULL THEN 'open'
                ELSE 'missed' END,
           u.id, u.state::text,
           (SELECT m.kind FROM run_inbox m
             WHERE m.tenant_id = p_tenant AND m.run_id = u.id AND m.kind IN ('cancel', 'pause', 'resume')
             ORDER BY m.at DESC, m.id DESC LIMIT 1),
           coalesce(u.error, c.error), l.missed
      FROM map_item i
      CROSS JOIN LATERAL (SELECT CASE WHEN i.earlier IS NOT NULL THEN engine_left_by_7(
        p_tenant, i.child, i.earlier, p_nodes, p_maps, p_sure) END AS missed) l
      LEFT JOIN run u ON u.tenant_id = p_tenant AND u.id = i.undoer
      LEFT JOIN run c ON c.tenant_id = p_tenant AND c.id = i.child
     WHERE i.tenant_id = p_tenant AND i.run_id = p_source AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high AND i.child IS NOT NULL AND i.state <> 'begun'
       AND (NOT i.undone OR l.missed IS NOT NULL)
     ORDER BY i.idx DESC;
END $$;

-- As engine_undo_start_6, with what it knows of earlier attempts of items of its own.
CREATE FUNCTION engine_undo_start_7(
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
                          history, undone, earlier)
      SELECT p_tenant, b.id, m.path, m.idx, m.attempt, m.state, m.output, m.error, m.child, m.chunk,
             m.history, m.undone, m.earlier
        FROM begun b JOIN map_item m ON m.tenant_id = p_tenant AND m.run_id = b.child
  )
  INSERT INTO run (tenant_id, id, head, settled, state, workflow_id, version_id, version, environment_id,
      environment, lineage_id, installation_id, trigger, started_by_id, priority, pool, slots,
      created_at, started_at, due_at, parameters, variables, abi, parent_id, parent_kind, parent_path,
      parent_attempt, depth)
    SELECT p_tenant, b.id, n.head, n.settled, 'COMPENSATING', c.workflow_id, c.version_id, c.version,
           c.environment_id, c.environment, c.lineage_id, c.installation_id, c.trigger, c.started_by_id,
           c.priority, r.pool, r.slots, at, at, r.due_at, c.parameters, c.variables, 7, p_run, 'ITEM',
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
