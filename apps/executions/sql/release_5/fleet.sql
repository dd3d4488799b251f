-- What keeps the fleet honest, fifth release: locks are taken in one order, run, lane, item, so that
-- nobody waits in a circle. Every process calls it, none leads.

-- Says of these lanes, in order, that they have something.
CREATE FUNCTION engine_ready_5(p_tenants uuid[], p_pools text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  l record;
BEGIN
  FOR l IN
    SELECT DISTINCT x.tenant, x.pool FROM unnest(p_tenants, p_pools) AS x(tenant, pool) ORDER BY 1, 2
  LOOP
    PERFORM set_config('app.tenant', l.tenant::text, true);
    PERFORM engine_ready_1(l.tenant, l.pool);
  END LOOP;
END $$;

-- Items of dead workers become ready. What a worker died with runs again in the pool `quarantine`,
-- one at a time in a process of its own, so that it takes nobody along; where no such process lives
-- it stays in its pool. So does what is in a pool of the operator's own: it may need that pool's
-- machine. Then what nobody lives to work on in quarantine goes back. Returns the pools to ring.
CREATE FUNCTION engine_reap_5(p_seconds double precision) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
  tenants uuid[];
  homes text[];
  targets text[];
  is_watched boolean := EXISTS (
    SELECT FROM worker WHERE 'quarantine' = ANY (pools) AND NOT draining
       AND lease_until > clock_timestamp() - interval '1 minute');
BEGIN
  SELECT array_agg(id), array_agg(tenant_id), array_agg(pool),
         array_agg(CASE WHEN is_watched AND pool IN ('io', 'cpu', 'sandbox', 'system')
                        THEN 'quarantine' ELSE pool END)
    INTO ids, tenants, homes, targets
    FROM (SELECT w.id, w.tenant_id, w.pool FROM work_item w LEFT JOIN worker k ON k.id = w.worker_id
           WHERE w.worker_id IS NOT NULL
             AND (k.id IS NULL OR k.lease_until = '-infinity'
                  OR greatest(k.lease_until,
                              pg_postmaster_start_time() + p_seconds * interval '1 second')
                     < clock_timestamp())
           ORDER BY w.tenant_id, w.pool, w.id LIMIT 500) AS dead;
  IF ids IS NOT NULL THEN
    INSERT INTO lane (tenant_id, pool, weight, max_inflight, max_runs)
      SELECT DISTINCT ON (l.tenant_id) l.tenant_id, 'quarantine', l.weight, l.max_inflight, l.max_runs
        FROM unnest(tenants, homes, targets) AS d(tenant, home, target)
        JOIN lane l ON l.tenant_id = d.tenant AND l.pool = d.home
       WHERE d.target <> d.home ORDER BY l.tenant_id
      ON CONFLICT ON CONSTRAINT lane_pkey DO NOTHING;
    PERFORM engine_ready_5(tenants, targets);
    RETURN QUERY
      UPDATE work_item w SET worker_id = NULL, token = NULL, granted = 0, crashes = w.crashes + 1,
             pool = d.target, home = CASE WHEN d.target <> d.home THEN d.home ELSE w.home END
        FROM unnest(ids, homes, targets) AS d(id, home, target)
       WHERE w.id = d.id AND w.id IN (
         -- Another may have taken it meanwhile, from the dead worker too.
         SELECT x.id FROM work_item x LEFT JOIN worker k ON k.id = x.worker_id
          WHERE x.id = ANY (ids) AND x.worker_id IS NOT NULL
            AND (k.id IS NULL OR k.lease_until < clock_timestamp())
          FOR UPDATE OF x SKIP LOCKED)
      RETURNING w.pool;
  END IF;
  IF NOT is_watched THEN
    SELECT array_agg(id), array_agg(tenant_id), array_agg(coalesce(nullif(home, ''), 'io'))
      INTO ids, tenants, homes
      FROM (SELECT id, tenant_id, home FROM work_item WHERE pool = 'quarantine' AND worker_id IS NULL
             ORDER BY tenant_id, id LIMIT 500) AS stranded;
    IF ids IS NOT NULL THEN
      PERFORM engine_ready_5(tenants, homes);
      RETURN QUERY
        UPDATE work_item w SET pool = d.home, home = ''
          FROM unnest(ids, homes) AS d(id, home)
         WHERE w.id = d.id AND w.id IN (
           SELECT x.id FROM work_item x WHERE x.id = ANY (ids) AND x.pool = 'quarantine'
              AND x.worker_id IS NULL FOR UPDATE SKIP LOCKED)
        RETURNING w.pool;
    END IF;
  END IF;
  DELETE FROM worker k
   WHERE k.lease_until < clock_timestamp() - interval '1 minute'
     AND NOT EXISTS (SELECT FROM work_item w WHERE w.worker_id = k.id);
END $$;

-- A process that stops in good order gives back what it has not started.
CREATE FUNCTION engine_release_5(p_worker uuid, p_items bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM engine_ready_5(array_agg(tenant_id), array_agg(pool)) FROM work_item
    WHERE worker_id = p_worker AND (p_items IS NULL OR id = ANY (p_items));
  UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0
   WHERE worker_id = p_worker AND (p_items IS NULL OR id = ANY (p_items));
END $$;

-- Chunks whose time has come: each is of its own pool again. Returns the pools to ring.
CREATE FUNCTION engine_wake_5() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
  tenants uuid[];
  homes text[];
BEGIN
  SELECT array_agg(id), array_agg(tenant_id), array_agg(substr(pool, 8)) INTO ids, tenants, homes
    FROM (SELECT id, tenant_id, pool FROM work_item
           WHERE pool LIKE 'asleep/%' AND worker_id IS NULL AND sort_key <= clock_timestamp()
           ORDER BY sort_key LIMIT 500) AS due;
  IF ids IS NULL THEN
    RETURN;
  END IF;
  PERFORM engine_ready_5(tenants, homes);
  RETURN QUERY
    UPDATE work_item w SET pool = substr(w.pool, 8)
     WHERE w.id IN (SELECT x.id FROM work_item x WHERE x.id = ANY (ids) AND x.pool LIKE 'asleep/%'
                     FOR UPDATE SKIP LOCKED)
    RETURNING w.pool;
END $$;

-- Tasks and chunks that were asked to come back, and that nobody has any more: their worker died or
-- left, and perhaps no other serves their pool. They come back as what nobody had begun does, so a
-- cancellation ends. Then the places of runs that have ended, and who waited for one. Returns the
-- pools to ring.
CREATE FUNCTION engine_tidy_5() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  w record;
  r record;
  runs uuid[] := '{}';
  tenants uuid[] := '{}';
  homes text[] := '{}';
BEGIN
  FOR w IN
    SELECT DISTINCT tenant_id, run_id FROM work_item
     WHERE has_mail AND worker_id IS NULL AND kind <> 'run' ORDER BY 2 LIMIT 100
  LOOP
    PERFORM set_config('app.tenant', w.tenant_id::text, true);
    -- The run before its items, like every append; whoever has it now is waited for by the next look.
    SELECT pool INTO r FROM run
     WHERE tenant_id = w.tenant_id AND id = w.run_id AND finished_at IS NULL
       FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    runs := runs || w.run_id;
    tenants := tenants || w.tenant_id;
    homes := homes || r.pool;
  END LOOP;
  PERFORM engine_ready_5(tenants, homes);
  FOR w IN
    SELECT tenant_id, run_id, array_agg(DISTINCT path) AS paths FROM work_item
     WHERE run_id = ANY (runs) AND has_mail AND worker_id IS NULL AND kind <> 'run'
     GROUP BY 1, 2 ORDER BY 2
  LOOP
    PERFORM set_config('app.tenant', w.tenant_id::text, true);
    SELECT pool, slots, fence INTO r FROM run WHERE tenant_id = w.tenant_id AND id = w.run_id;
    PERFORM engine_recall_tasks_4(w.tenant_id, w.run_id, r.fence, w.paths);
    PERFORM engine_recall_chunks_3(w.tenant_id, w.run_id, w.paths);
    CONTINUE WHEN NOT EXISTS (
      SELECT FROM run_inbox WHERE tenant_id = w.tenant_id AND run_id = w.run_id);
    INSERT INTO work_item AS x (tenant_id, run_id, pool, slots, has_mail)
      VALUES (w.tenant_id, w.run_id, r.pool, r.slots, true)
      ON CONFLICT ON CONSTRAINT work_item_one DO UPDATE SET has_mail = true;
    RETURN NEXT r.pool;
  END LOOP;
  FOR w IN
    SELECT DISTINCT h.tenant_id FROM key_holder h
     WHERE NOT EXISTS (SELECT FROM work_item x WHERE x.run_id = h.run_id)
  LOOP
    PERFORM set_config('app.tenant', w.tenant_id::text, true);
    -- A run that only waits may find its place again.
    DELETE FROM key_holder WHERE (tenant_id, gate, run_id, path) IN (
      SELECT h.tenant_id, h.gate, h.run_id, h.path FROM key_holder h
       WHERE h.tenant_id = w.tenant_id AND NOT EXISTS (
         SELECT FROM run y
          WHERE y.tenant_id = h.tenant_id AND y.id = h.run_id AND y.finished_at IS NULL)
       LIMIT 500 FOR UPDATE OF h SKIP LOCKED);
  END LOOP;
  DELETE FROM key_wait WHERE (tenant_id, run_id, path) IN (
    SELECT k.tenant_id, k.run_id, k.path FROM key_wait k
     WHERE k.at < clock_timestamp() - interval '1 minute' LIMIT 500 FOR UPDATE SKIP LOCKED);
END $$;
