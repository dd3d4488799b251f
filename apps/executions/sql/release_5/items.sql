-- Maps whose items may wait: each item is a run of its own, below the map's run, and a chunk looks after
-- some of them. It sleeps meanwhile, and is woken when there is news.

ALTER TABLE map_item
  -- The run that is this item, and the chunk that looks after it.
  ADD COLUMN child uuid,
  ADD COLUMN chunk int;
CREATE INDEX map_item_open ON map_item (tenant_id, run_id, path, idx)
  WHERE child IS NOT NULL AND state = 'begun';

ALTER TABLE map_chunk
  -- Grows with all that its worker has to look at.
  ADD COLUMN news int NOT NULL DEFAULT 0;

-- What a chunk has to look at: written without any lock but its own, by whoever ends an item's run.
CREATE TABLE map_news (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  path text NOT NULL,
  chunk int NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

-- The end of an item's run is what becomes of the item, in one transaction.
CREATE FUNCTION run_item_ended_5() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  map text := regexp_replace(new.parent_path, '\[\d+\]$', '');
  at int := substring(new.parent_path FROM '\[(\d+)\]$')::int;
  is_done boolean := new.state IN ('SUCCEEDED', 'PARTIAL') 
    AND NOT coalesce(new.result ? '$omitted', false);
  slice int;
BEGIN
  UPDATE map_item i
     SET state = CASE WHEN is_done THEN 'done' ELSE 'failed' END,
         output = CASE WHEN is_done THEN new.result -> 'result' END,
         error = CASE
           WHEN is_done THEN NULL
           WHEN new.state IN ('SUCCEEDED', 'PARTIAL') THEN jsonb_build_object('index', at,
             'code', 'OUTPUT_TOO_LARGE', 'message',
             'The item''s result is too large. Let its last nodes give less, or a reference to a'
             ' stored object.')
           WHEN new.state = 'CANCELED' THEN jsonb_build_object('index', at,
             'code', 'ITEM_CANCELED', 'message', 'The item''s run was canceled.')
           ELSE jsonb_build_object('index', at) || coalesce(new.error, '{}') END
   WHERE i.tenant_id = new.tenant_id AND i.run_id = new.parent_id AND i.path = map AND i.idx = at
     AND i.child = new.id
  RETURNING i.chunk INTO slice;
  IF FOUND THEN
    INSERT INTO map_news (tenant_id, run_id, path, chunk)
      VALUES (new.tenant_id, new.parent_id, map, slice);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER run_item_ended AFTER UPDATE OF finished_at ON run
  FOR EACH ROW WHEN (new.parent_kind = 'ITEM' AND new.finished_at IS NOT NULL)
  EXECUTE FUNCTION run_item_ended_5();

-- Wakes the chunks there is news for; returns the pools to ring. By every process, each second.
CREATE FUNCTION engine_map_news_5() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  n record;
  r record;
BEGIN
  FOR n IN
    WITH taken AS (
      DELETE FROM map_news WHERE id IN (
        SELECT id FROM map_news ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)
      RETURNING tenant_id, run_id, path, chunk)
    SELECT DISTINCT * FROM taken ORDER BY 1, 2, 3, 4
  LOOP
    PERFORM set_config('app.tenant', n.tenant_id::text, true);
    -- The chunk before its item, as whoever ends or leaves it does.
    UPDATE map_chunk SET news = news + 1
     WHERE tenant_id = n.tenant_id AND run_id = n.run_id AND path = n.path AND chunk = n.chunk
       AND state = 'open';
    CONTINUE WHEN NOT FOUND;
    SELECT substr(pool, 8) AS pool INTO r FROM work_item
     WHERE run_id = n.run_id AND kind = 'chunk' AND path = n.path AND idx = n.chunk
       AND pool LIKE 'asleep/%';
    CONTINUE WHEN NOT FOUND;
    PERFORM engine_ready_1(n.tenant_id, r.pool);
    UPDATE work_item SET pool = r.pool, sort_key = clock_timestamp()
     WHERE run_id = n.run_id AND kind = 'chunk' AND path = n.path AND idx = n.chunk
       AND pool = 'asleep/' || r.pool;
    RETURN NEXT r.pool;
  END LOOP;
END $$;

-- Whoever holds the chunk looks from here on: all news until now is seen. Null: it is another's.
CREATE FUNCTION engine_chunk_seen_5(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid
) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  seen int;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT news INTO seen FROM map_chunk
   WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
     AND token = p_token FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  UPDATE work_item SET has_mail = false WHERE id = p_item AND token = p_token;
  RETURN seen;
END $$;

-- The items of a chunk that somebody has begun, and how their runs stand: `told` is the last word that
-- such a run has not read yet.
CREATE FUNCTION engine_map_runs_5(
  p_tenant uuid, p_run uuid, p_path text, p_low int, p_high int
) RETURNS TABLE (
  idx int, attempt int, state text, code text, child uuid, child_state text, told text
)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN QUERY
    SELECT i.idx, i.attempt, i.state, i.error ->> 'code', i.child,
           CASE WHEN i.state = 'begun' THEN (
             SELECT r.state FROM run r
              WHERE r.tenant_id = p_tenant AND r.id = i.child AND r.finished_at IS NULL) END,
           CASE WHEN i.state = 'begun' THEN (
             SELECT m.kind FROM run_inbox m
              WHERE m.tenant_id = p_tenant AND m.run_id = i.child
                AND m.kind IN ('cancel', 'pause', 'resume')
              ORDER BY m.at DESC, m.id DESC LIMIT 1) END
      FROM map_item i
     WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high ORDER BY i.idx;
END $$;

-- Items begin: a run each, as far as it goes like the one above, whose second event is its seed. Says
-- STARTED, LOST (the chunk is another's) or TOO_DEEP.
CREATE FUNCTION engine_items_start_5(
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
           r.deadline_at, r.due_at, r.parameters, r.variables, 5, p_run, 'ITEM',
           p_path || '[' || g.idx || ']', p_attempt, r.depth + 1
      FROM unnest(p_ids, p_idx) AS g(id, idx);
  INSERT INTO run_event (tenant_id, run_id, seq, type, body)
    SELECT p_tenant, g.id, 1, 'run.queued', jsonb_build_object('trigger', r.trigger)
      FROM unnest(p_ids) AS g(id)
    UNION ALL
    SELECT p_tenant, g.id, 2, 'item.given', g.seed FROM unnest(p_ids, p_seeds) AS g(id, seed);
  IF r.deadline_at IS NOT NULL THEN
    INSERT INTO timer (tenant_id, run_id, kind, pool, slots, fire_at)
      SELECT p_tenant, g.id, 'deadline', r.pool, r.slots, r.deadline_at FROM unnest(p_ids) AS g(id);
  END IF;
  INSERT INTO map_item AS m (tenant_id, run_id, path, idx, attempt, state, child, chunk)
    SELECT p_tenant, p_run, p_path, g.idx, p_attempt, 'begun', g.id, p_chunk
      FROM unnest(p_ids, p_idx) AS g(id, idx)
    ON CONFLICT ON CONSTRAINT map_item_pkey
    DO UPDATE SET attempt = EXCLUDED.attempt, state = 'begun', child = EXCLUDED.child,
                  chunk = EXCLUDED.chunk, output = NULL, error = NULL;
  PERFORM engine_ready_1(p_tenant, r.pool);
  INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
    SELECT p_tenant, g.id, r.pool, r.slots, engine_sort_key_3(at, r.due_at, r.priority)
      FROM unnest(p_ids) AS g(id);
  RETURN 'STARTED';
END $$;

-- The chunk waits for its items without a worker; where there was news meanwhile it is ready again.
-- It looks by itself each minute, whatever became of the news.
CREATE FUNCTION engine_chunk_park_5(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid, p_seen int
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  until timestamptz;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  PERFORM FROM map_chunk
    WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
      AND token = p_token AND news = p_seen FOR NO KEY UPDATE;
  IF FOUND THEN
    until := clock_timestamp() + interval '1 minute';
  END IF;
  RETURN engine_chunk_rest_5(p_tenant, p_run, p_path, p_chunk, p_item, p_token, '{}', until);
END $$;

-- As engine_chunk_done_5, for a chunk that others may want to wake: it is locked before its item.
CREATE FUNCTION engine_chunk_home_5(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid, p_id uuid,
  p_body jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  PERFORM FROM map_chunk
    WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
      FOR NO KEY UPDATE;
  RETURN engine_chunk_done_5(p_tenant, p_run, p_path, p_chunk, p_item, p_token, p_id, p_body);
END $$;
