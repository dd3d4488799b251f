-- Maps, fourth release: deaths count against an item only while nothing else gets done, and a chunk
-- asks what its map wants of it.

ALTER TABLE map_chunk
  -- How many items had an outcome when a worker last took it, and the deaths before that.
  ADD COLUMN seen int NOT NULL DEFAULT 0,
  ADD COLUMN forgiven int NOT NULL DEFAULT 0;

-- Whoever holds the item takes its chunk: from now on the results of an earlier holder are refused.
-- Returns how many workers died with it since an item of it had an outcome; null: it is another's.
CREATE FUNCTION engine_chunk_take_4(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_item bigint, p_token uuid
) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  died int;
  known int := 0;
  unforgiven int;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT crashes INTO died FROM work_item WHERE id = p_item AND token = p_token FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF died > 0 THEN
    SELECT count(*) INTO known FROM map_chunk c JOIN map_item i
        ON i.tenant_id = c.tenant_id AND i.run_id = c.run_id AND i.path = c.path
       AND i.idx >= c.low AND i.idx < c.high AND i.attempt = c.attempt AND i.state <> 'begun'
     WHERE c.tenant_id = p_tenant AND c.run_id = p_run AND c.path = p_path AND c.chunk = p_chunk;
  END IF;
  -- The last death counts in any case: whoever died may have died of what is next.
  UPDATE map_chunk c
     SET token = p_token, seen = known,
         forgiven = CASE WHEN known <> c.seen OR died <= c.forgiven THEN greatest(died - 1, 0)
                         ELSE c.forgiven END
   WHERE c.tenant_id = p_tenant AND c.run_id = p_run AND c.path = p_path AND c.chunk = p_chunk
  RETURNING died - c.forgiven INTO unforgiven;
  RETURN unforgiven;
END $$;

-- What a chunk must know while it is open: whether it is still its holder's, whether it is wanted back,
-- whether the run ends (its owner may not have heard of that yet), and how far the history has come.
CREATE FUNCTION engine_chunk_look_4(p_tenant uuid, p_run uuid, p_item bigint, p_token uuid)
RETURNS TABLE (is_held boolean, is_recalled boolean, is_ending boolean, head int)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN QUERY
    SELECT w.id IS NOT NULL, coalesce(w.has_mail, false),
           r.state = 'CANCELING' OR r.finished_at IS NOT NULL OR EXISTS (
             SELECT FROM run_inbox i
              WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.kind = 'cancel'),
           r.head
      FROM run r LEFT JOIN work_item w ON w.id = p_item AND w.token = p_token
     WHERE r.tenant_id = p_tenant AND r.id = p_run;
END $$;

-- A living process drops one item that is still its own. Broken: something in it broke, which counts
-- like a death. Behind: others were to have their turn, so it is ready after those that are now.
CREATE FUNCTION engine_give_up_4(p_item bigint, p_token uuid, p_broken boolean, p_behind boolean)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  item record;
BEGIN
  SELECT tenant_id, pool INTO item FROM work_item WHERE id = p_item AND token = p_token;
  IF FOUND THEN
    PERFORM engine_ready_1(item.tenant_id, item.pool);
    UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0,
           crashes = crashes + p_broken::int,
           sort_key = CASE WHEN p_behind THEN clock_timestamp() ELSE sort_key END
     WHERE id = p_item AND token = p_token;
  END IF;
END $$;
