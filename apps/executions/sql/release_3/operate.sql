-- What keeps the fleet honest: every process calls it, none leads.

-- Items of dead workers become ready. What a worker died with runs again in the pool `quarantine`,
-- one at a time in a process of its own, so that it takes nobody along; where no such process lives
-- it stays in its pool. Returns the pools to ring.
CREATE FUNCTION engine_reap_3(p_seconds double precision) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  item record;
  target text;
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
    target := CASE WHEN is_watched THEN 'quarantine' ELSE item.pool END;
    IF target <> item.pool THEN
      INSERT INTO lane (tenant_id, pool, weight, max_inflight, max_runs)
        SELECT tenant_id, target, weight, max_inflight, max_runs FROM lane
         WHERE tenant_id = item.tenant_id AND pool = item.pool
        ON CONFLICT ON CONSTRAINT lane_pkey DO NOTHING;
    END IF;
    UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0, crashes = crashes + 1,
           pool = target
     WHERE id = item.id;
    PERFORM engine_ready_1(item.tenant_id, target);
    RETURN NEXT target;
  END LOOP;
  -- Nobody lives to work in quarantine any more: back to where they came from.
  IF NOT is_watched THEN
    FOR item IN
      UPDATE work_item w SET pool = coalesce((SELECT l.pool FROM lane l
               WHERE l.tenant_id = w.tenant_id AND l.pool <> 'quarantine'
               ORDER BY l.pool = 'io' DESC LIMIT 1), 'io')
       WHERE w.pool = 'quarantine' AND w.worker_id IS NULL RETURNING w.tenant_id, w.pool
    LOOP
      PERFORM engine_ready_1(item.tenant_id, item.pool);
      RETURN NEXT item.pool;
    END LOOP;
  END IF;
  DELETE FROM worker k
   WHERE k.lease_until < clock_timestamp() - interval '1 minute'
     AND NOT EXISTS (SELECT FROM work_item w WHERE w.worker_id = k.id);
END $$;
