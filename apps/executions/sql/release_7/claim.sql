-- T1. Up to p_want items (a run's, or what it gave out) of the cheapest unblocked lanes. Losing this
-- commit loses nothing: the token is random, and run.fence still names the older owner.
-- p_charged/p_ms: slot-milliseconds used since the last claim, by tenant (paid afterwards).
-- What is joined by its id is named as an array, too: without that the planner, who plans once and knows
-- no tenant, may walk through all runs of the tenant.
CREATE FUNCTION engine_claim_7(
  p_worker uuid, p_pool text, p_want int, p_charged uuid[], p_ms double precision[]
) RETURNS TABLE (
  item_id bigint, tenant_id uuid, run_id uuid, token uuid, head int, settled int, granted smallint,
  crashes int, has_inbox boolean, workflow_id uuid, version_id uuid, environment text,
  environment_id uuid, lineage_id uuid, installation_id uuid, parameters jsonb, variables jsonb,
  created_at timestamptz, deadline_at timestamptz, ready_at timestamptz, path text, attempt int,
  has_begun boolean, kind text, idx int, held boolean
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  l record;
  room int;
  most int;
  runs int;
  got int;
  pace double precision;
  at timestamptz;
  next_vtime double precision;
  fresh uuid;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  IF p_charged IS NOT NULL THEN
    -- A debt of nothing is one that its worker keeps for now: it says that a place is free again.
    WITH paid AS (
      SELECT x.tenant_id, c.ms FROM lane x JOIN unnest(p_charged, p_ms) AS c(tenant_id, ms)
          ON c.tenant_id = x.tenant_id
       WHERE x.pool = p_pool AND x.tenant_id = ANY (p_charged)
         AND (c.ms > 0 OR x.blocked_until IS NOT NULL)
       ORDER BY x.tenant_id FOR NO KEY UPDATE OF x
    )
    UPDATE lane x SET vtime = x.vtime + p.ms / x.weight, blocked_until = NULL
      FROM paid p
     WHERE x.tenant_id = p.tenant_id AND x.pool = p_pool AND x.tenant_id = ANY (p_charged);
  END IF;
  FOR l IN
    SELECT x.tenant_id, x.max_inflight, x.max_runs, x.weight, x.rate_per_s, x.burst, x.tat,
           x.blocked_until
      FROM lane x
     WHERE x.pool = p_pool AND x.has_ready
       AND (x.blocked_until IS NULL OR x.blocked_until <= clock_timestamp())
     ORDER BY x.vtime LIMIT 4 FOR NO KEY UPDATE SKIP LOCKED
  LOOP
    EXIT WHEN p_want <= 0;
    PERFORM set_config('app.tenant', l.tenant_id::text, true);
    -- Claimers of other pools count the same slots: one at a time.
    CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtextextended(l.tenant_id::text, 1));
    SELECT l.max_inflight - coalesce(sum(x.granted), 0),
           l.max_runs - count(*) FILTER (WHERE x.kind = 'run') INTO room, runs
      FROM work_item x WHERE x.tenant_id = l.tenant_id AND x.worker_id IS NOT NULL;
    IF room <= 0 THEN
      UPDATE lane x SET blocked_until = clock_timestamp() + interval '250 ms'
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
      CONTINUE;
    END IF;
    most := least(p_want, room);
    IF l.rate_per_s IS NOT NULL THEN
      -- GCRA: tat is when the bucket would be full again.
      pace := 1 / l.rate_per_s;
      at := clock_timestamp();
      most := least(most, floor(l.burst - greatest(0, extract(epoch FROM l.tat - at)) / pace)::int);
      IF most <= 0 THEN
        UPDATE lane x SET blocked_until = l.tat - (l.burst - 1) * pace * interval '1 second'
         WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
        CONTINUE;
      END IF;
    END IF;
    fresh := gen_random_uuid();
    RETURN QUERY
      WITH picked AS (
        SELECT x.id, x.run_id, x.kind, x.slots, x.sort_key FROM work_item x
         WHERE x.pool = p_pool AND x.tenant_id = l.tenant_id AND x.worker_id IS NULL
           AND (x.kind <> 'run' OR runs > 0)
         ORDER BY x.sort_key, x.id LIMIT most FOR UPDATE SKIP LOCKED
      ), sized AS (
        SELECT p.*, sum(p.slots) OVER o AS upto, count(*) FILTER (WHERE p.kind = 'run') OVER o AS nth
          FROM picked p WINDOW o AS (ORDER BY p.sort_key, p.id)
      ), chosen AS (
        SELECT s.id, s.run_id, s.kind, least(s.slots, room - (s.upto - s.slots))::smallint AS granted
          FROM sized s WHERE s.upto - s.slots < room AND (s.kind <> 'run' OR s.nth <= runs)
      ), free AS (
        -- Whoever holds the run's row (an append, a cancellation) may wait for our item: we never
        -- wait for the run.
        SELECT y.id, c.id AS item_id, c.granted
          FROM chosen c JOIN run y ON y.tenant_id = l.tenant_id AND y.id = c.run_id
         WHERE c.kind = 'run' AND y.id = ANY (ARRAY (SELECT run_id FROM chosen))
           FOR NO KEY UPDATE OF y SKIP LOCKED
      ), fenced AS (
        -- It begins here: a quick run's first append is its last.
        UPDATE run y SET fence = fresh, abi = 7,
               started_at = CASE WHEN y.held_key IS NULL
                                 THEN coalesce(y.started_at, clock_timestamp()) END
          FROM free c
         WHERE y.tenant_id = l.tenant_id AND y.id = c.id
           AND y.id = ANY (ARRAY (SELECT id FROM free))
        RETURNING c.item_id, c.granted AS slots_granted, y.*
      ), held AS (
        SELECT * FROM fenced
        UNION ALL
        SELECT c.id, c.granted, y.*
          FROM chosen c JOIN run y ON y.tenant_id = l.tenant_id AND y.id = c.run_id
         WHERE c.kind <> 'run' AND y.id = ANY (ARRAY (SELECT run_id FROM chosen WHERE kind <> 'run'))
      ), leased AS (
        UPDATE work_item x
           SET worker_id = p_worker, granted = f.slots_granted, claims = x.claims + 1,
               token = CASE x.kind WHEN 'run' THEN fresh ELSE gen_random_uuid() END,
               settled_seen = f.settled,
               crashes = CASE WHEN x.kind = 'run' AND f.settled > x.settled_seen THEN 0
                              ELSE x.crashes END
          FROM held f WHERE x.id = f.item_id AND x.id = ANY (ARRAY (SELECT item_id FROM held))
        RETURNING x.*
      )
      SELECT d.id, f.tenant_id, f.id, d.token, f.head, f.settled, f.slots_granted, d.crashes,
             CASE d.kind WHEN 'run' THEN EXISTS (SELECT FROM run_inbox i
                    WHERE i.tenant_id = f.tenant_id AND i.run_id = f.id) ELSE d.has_mail END,
             f.workflow_id, f.version_id, f.environment, f.environment_id, f.lineage_id,
             f.installation_id, f.parameters, f.variables, f.created_at, f.deadline_at, d.sort_key,
             CASE WHEN d.kind <> 'run' THEN d.path END, d.attempt, d.has_begun,
             d.kind, d.idx, f.held_key IS NOT NULL
        FROM held f JOIN leased d ON d.id = f.item_id;
    GET DIAGNOSTICS got = ROW_COUNT;
    p_want := p_want - got;
    IF got > 0 THEN
      -- An idle tenant keeps at most a second of credit over the next in the queue. Where nobody else
      -- waits its turn does not matter, and what its places cost is charged anyway: the lane, whose
      -- indexes every update writes anew, stays as it is.
      SELECT min(x.vtime) INTO next_vtime FROM lane x
       WHERE x.pool = p_pool AND x.has_ready AND x.tenant_id <> l.tenant_id;
      IF next_vtime IS NOT NULL OR l.rate_per_s IS NOT NULL OR l.blocked_until IS NOT NULL THEN
        UPDATE lane x
           SET vtime = greatest(x.vtime, next_vtime - 1000) + got / x.weight, blocked_until = NULL,
               tat = CASE WHEN l.rate_per_s IS NULL THEN x.tat
                          ELSE greatest(x.tat, at) + got * pace * interval '1 second' END
         WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
      END IF;
    ELSIF runs <= 0 THEN
      UPDATE lane x SET blocked_until = clock_timestamp() + interval '250 ms'
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
    ELSIF pg_try_advisory_xact_lock(hashtextextended(l.tenant_id::text || p_pool, 0)) THEN
      UPDATE lane x SET has_ready = false
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool
         AND NOT EXISTS (SELECT FROM work_item y WHERE y.pool = p_pool
                          AND y.tenant_id = l.tenant_id AND y.worker_id IS NULL);
    END IF;
  END LOOP;
END $$;
