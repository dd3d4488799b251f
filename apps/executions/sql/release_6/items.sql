-- Maps whose items are runs, sixth release: a map's concurrency is counted over all its chunks, so that
-- one of them may use what the others do not need, and a turn reads what is open, not what is done.

ALTER TABLE map_chunk
  -- It has items to begin, and there was no place for them.
  ADD COLUMN hungry boolean NOT NULL DEFAULT false;
CREATE INDEX map_chunk_open ON map_chunk (tenant_id, run_id, path, chunk) WHERE state = 'open';

-- The order in which the chunks of a map begin items and pass places on.
CREATE FUNCTION engine_map_turn_6(p_tenant uuid, p_run uuid, p_path text) RETURNS void
LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(hashtextextended(p_tenant::text || p_run::text || p_path, 3))
$$;

-- How many of p_places are free. Open items are in open chunks: what those behind them have left in
-- the index is not walked through.
CREATE FUNCTION engine_map_room_6(p_tenant uuid, p_run uuid, p_path text, p_places int) RETURNS int
LANGUAGE sql STABLE AS $$
  SELECT p_places - coalesce(sum(o.items), 0)::int
    FROM map_chunk c, LATERAL (
      SELECT count(*) AS items FROM map_item i
       WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.path = p_path
         AND i.idx >= c.low AND i.idx < c.high AND i.child IS NOT NULL AND i.state = 'begun') o
   WHERE c.tenant_id = p_tenant AND c.run_id = p_run AND c.path = p_path AND c.state = 'open'
$$;

-- The begun and failed items of a chunk, and how their runs stand: `told` is the last word that such a
-- run has not read yet. First a row that names the done ones, and says how many of the map's places are
-- free.
CREATE FUNCTION engine_map_runs_6(
  p_tenant uuid, p_run uuid, p_path text, p_low int, p_high int, p_places int
) RETURNS TABLE (
  idx int, attempt int, state text, code text, child uuid, child_state text, told text, done int[],
  room int
)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN QUERY
    SELECT NULL::int, NULL::int, NULL, NULL, NULL::uuid, NULL, NULL,
           coalesce(array_agg(i.idx), '{}'), engine_map_room_6(p_tenant, p_run, p_path, p_places)
      FROM map_item i
     WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high AND i.state = 'done';
  RETURN QUERY
    SELECT i.idx, i.attempt, i.state, i.error ->> 'code', i.child,
           CASE WHEN i.state = 'begun' THEN (
             SELECT r.state FROM run r
              WHERE r.tenant_id = p_tenant AND r.id = i.child AND r.finished_at IS NULL) END,
           CASE WHEN i.state = 'begun' THEN (
             SELECT m.kind FROM run_inbox m
              WHERE m.tenant_id = p_tenant AND m.run_id = i.child
                AND m.kind IN ('cancel', 'pause', 'resume')
              ORDER BY m.at DESC, m.id DESC LIMIT 1) END, NULL::int[], NULL::int
      FROM map_item i
     WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high AND i.state <> 'done' ORDER BY i.idx;
END $$;

-- Items begin, the first of those named, as many as the map has places for (p_places in all): a run
-- each, as engine_items_start_5 does. p_more: the chunk has others behind them. Says STARTED, FULL (no
-- place is left, and some wait for one: the chunk is hungry now), LOST or TOO_DEEP.
CREATE FUNCTION engine_items_start_6(
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
    said := engine_items_start_5(p_tenant, p_run, p_path, p_chunk, p_token, p_attempt, p_depth,
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

-- A chunk that begins nothing more passes free places on: the first that is hungry is woken.
CREATE FUNCTION engine_items_pass_6(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_places int
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  PERFORM engine_map_turn_6(p_tenant, p_run, p_path);
  IF engine_map_room_6(p_tenant, p_run, p_path, p_places) <= 0 THEN
    RETURN false;
  END IF;
  WITH next AS (
    UPDATE map_chunk SET hungry = false
     WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = (
       SELECT min(chunk) FROM map_chunk
        WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND hungry
          AND state = 'open' AND chunk <> p_chunk)
    RETURNING chunk)
  INSERT INTO map_news (tenant_id, run_id, path, chunk)
    SELECT p_tenant, p_run, p_path, chunk FROM next;
  RETURN FOUND;
END $$;
