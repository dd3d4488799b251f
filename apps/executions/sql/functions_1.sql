-- Every write of the engine. A change of meaning gets a new name (…_2), so that processes of two
-- releases can work side by side. Each sets the tenant itself: one round trip under row security.

-- A lane has something to claim. The shared lock keeps a claimer from clearing the flag between
-- our look at it and our commit.
CREATE FUNCTION engine_ready_1(p_tenant uuid, p_pool text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended(p_tenant::text || p_pool, 0));
  UPDATE lane SET has_ready = true
   WHERE tenant_id = p_tenant AND pool = p_pool AND NOT has_ready;
END $$;

-- T0. Facts: the columns of the run that do not change. The quota row is shared by all of a
-- tenant's starts, so it comes last.
CREATE FUNCTION executions_start_1(
  p_tenant uuid, p_run uuid, p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT * INTO r FROM jsonb_to_record(p_facts) AS f(
    workflow_id uuid, version_id uuid, version text, environment_id uuid, environment text,
    lineage_id uuid, retried_from_id uuid, installation_id uuid, trigger text, started_by_id uuid,
    priority smallint, pool text, slots smallint, timeout_seconds double precision,
    parameters jsonb, variables jsonb);
  INSERT INTO run (tenant_id, id, workflow_id, version_id, version, environment_id, environment,
      lineage_id, retried_from_id, installation_id, trigger, started_by_id, priority, pool, slots,
      deadline_at, parameters, variables)
    VALUES (p_tenant, p_run, r.workflow_id, r.version_id, coalesce(r.version, ''),
      r.environment_id, r.environment, coalesce(r.lineage_id, p_run), r.retried_from_id,
      r.installation_id, r.trigger, r.started_by_id, r.priority, r.pool, r.slots,
      clock_timestamp() + r.timeout_seconds * interval '1 second',
      coalesce(r.parameters, '{}'), coalesce(r.variables, '{}'));
  INSERT INTO run_event (tenant_id, run_id, seq, type, body)
    VALUES (p_tenant, p_run, 1, 'run.queued', p_event);
  -- Inside a tenant: higher priority as if it had come up to ten minutes earlier, so all age.
  INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
    VALUES (p_tenant, p_run, r.pool, r.slots,
      clock_timestamp() - (r.priority - 1) * interval '1 minute');
  IF r.timeout_seconds IS NOT NULL THEN
    INSERT INTO timer (tenant_id, run_id, kind, pool, slots, fire_at)
      SELECT p_tenant, p_run, 'deadline', r.pool, r.slots, deadline_at
        FROM run WHERE tenant_id = p_tenant AND id = p_run;
  END IF;
  IF NOT EXISTS (SELECT FROM lane WHERE tenant_id = p_tenant AND pool = r.pool
                   AND max_inflight = p_slots AND max_runs = p_runs AND weight = p_weight) THEN
    INSERT INTO lane (tenant_id, pool, max_inflight, max_runs, weight)
      VALUES (p_tenant, r.pool, p_slots, p_runs, p_weight)
      ON CONFLICT ON CONSTRAINT lane_pkey
      DO UPDATE SET max_inflight = EXCLUDED.max_inflight, max_runs = EXCLUDED.max_runs,
                    weight = EXCLUDED.weight;
  END IF;
  PERFORM engine_ready_1(p_tenant, r.pool);
  PERFORM tenancy_require_1(p_tenant, 'runs_per_month', 1);
END $$;

-- T1. Up to p_want run items of the cheapest unblocked lanes. Losing this commit loses nothing: the
-- token is random, and run.fence still names the older owner.
-- p_charged/p_ms: slot-milliseconds used since the last claim, by tenant (paid afterwards).
CREATE FUNCTION engine_claim_1(
  p_worker uuid, p_pool text, p_want int, p_charged uuid[], p_ms double precision[]
) RETURNS TABLE (
  item_id bigint, tenant_id uuid, run_id uuid, token uuid, head int, settled int, granted smallint,
  crashes int, has_inbox boolean, workflow_id uuid, version_id uuid, environment text,
  environment_id uuid, lineage_id uuid, installation_id uuid, parameters jsonb, variables jsonb,
  created_at timestamptz, deadline_at timestamptz, ready_at timestamptz
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  l record;
  room int;
  runs int;
  got int;
  next_vtime double precision;
  fresh uuid;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  IF p_charged IS NOT NULL THEN
    PERFORM engine_charge_1(p_pool, p_charged, p_ms);
  END IF;
  FOR l IN
    SELECT x.tenant_id, x.max_inflight, x.max_runs, x.weight FROM lane x
     WHERE x.pool = p_pool AND x.has_ready
       AND (x.blocked_until IS NULL OR x.blocked_until <= clock_timestamp())
     ORDER BY x.vtime LIMIT 4 FOR NO KEY UPDATE SKIP LOCKED
  LOOP
    EXIT WHEN p_want <= 0;
    PERFORM set_config('app.tenant', l.tenant_id::text, true);
    SELECT l.max_inflight - coalesce(sum(x.granted), 0), l.max_runs - count(*) INTO room, runs
      FROM work_item x
     WHERE x.pool = p_pool AND x.tenant_id = l.tenant_id AND x.worker_id IS NOT NULL;
    IF room <= 0 OR runs <= 0 THEN
      UPDATE lane x SET blocked_until = clock_timestamp() + interval '250 ms'
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
      CONTINUE;
    END IF;
    fresh := gen_random_uuid();
    RETURN QUERY
      WITH picked AS (
        SELECT x.id, x.slots, x.sort_key FROM work_item x
         WHERE x.pool = p_pool AND x.tenant_id = l.tenant_id AND x.worker_id IS NULL
           AND x.kind = 'run'
         ORDER BY x.sort_key, x.id LIMIT least(p_want, room, runs) FOR UPDATE SKIP LOCKED
      ), sized AS (
        SELECT p.id, p.slots, sum(p.slots) OVER (ORDER BY p.sort_key, p.id) AS upto FROM picked p
      ), chosen AS (
        SELECT s.id, least(s.slots, room - (s.upto - s.slots))::smallint AS granted
          FROM sized s WHERE s.upto - s.slots < room
      ), free AS (
        -- Whoever holds the run's row (an append, a cancellation) may wait for our item: we never
        -- wait for the run.
        SELECT y.id, c.id AS item_id, c.granted
          FROM chosen c JOIN work_item x ON x.id = c.id
          JOIN run y ON y.tenant_id = l.tenant_id AND y.id = x.run_id
           FOR NO KEY UPDATE OF y SKIP LOCKED
      ), fenced AS (
        UPDATE run y SET fence = fresh FROM free c
         WHERE y.tenant_id = l.tenant_id AND y.id = c.id
        RETURNING c.item_id, c.granted AS slots_granted, y.*
      ), leased AS (
        UPDATE work_item x
           SET worker_id = p_worker, token = fresh, granted = f.slots_granted,
               claims = x.claims + 1, settled_seen = f.settled,
               crashes = CASE WHEN f.settled > x.settled_seen THEN 0 ELSE x.crashes END
          FROM fenced f WHERE x.id = f.item_id
        RETURNING x.id AS item_id, x.crashes, x.sort_key
      )
      SELECT f.item_id, f.tenant_id, f.id, fresh, f.head, f.settled, f.slots_granted, d.crashes,
             EXISTS (SELECT FROM run_inbox i
                      WHERE i.tenant_id = f.tenant_id AND i.run_id = f.id),
             f.workflow_id, f.version_id, f.environment, f.environment_id, f.lineage_id,
             f.installation_id, f.parameters, f.variables, f.created_at, f.deadline_at, d.sort_key
        FROM fenced f JOIN leased d ON d.item_id = f.item_id;
    GET DIAGNOSTICS got = ROW_COUNT;
    p_want := p_want - got;
    IF got > 0 THEN
      -- An idle tenant keeps at most a second of credit over the next in the queue.
      SELECT min(x.vtime) INTO next_vtime FROM lane x
       WHERE x.pool = p_pool AND x.has_ready AND x.tenant_id <> l.tenant_id;
      UPDATE lane x
         SET vtime = greatest(x.vtime, next_vtime - 1000) + got / x.weight, blocked_until = NULL
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
    ELSIF pg_try_advisory_xact_lock(hashtextextended(l.tenant_id::text || p_pool, 0)) THEN
      UPDATE lane x SET has_ready = false
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool
         AND NOT EXISTS (SELECT FROM work_item y WHERE y.pool = p_pool
                          AND y.tenant_id = l.tenant_id AND y.worker_id IS NULL);
    END IF;
  END LOOP;
END $$;

-- Post-paid fairness: what a tenant's runs used moves its lane back; a slot has become free.
CREATE FUNCTION engine_charge_1(p_pool text, p_tenants uuid[], p_ms double precision[])
RETURNS void
LANGUAGE sql AS $$
  WITH paid AS (
    SELECT x.tenant_id, c.ms FROM lane x JOIN unnest(p_tenants, p_ms) AS c(tenant_id, ms)
        ON c.tenant_id = x.tenant_id
     WHERE x.pool = p_pool ORDER BY x.tenant_id FOR NO KEY UPDATE OF x
  )
  UPDATE lane x SET vtime = x.vtime + p.ms / x.weight, blocked_until = NULL
    FROM paid p WHERE x.tenant_id = p.tenant_id AND x.pool = p_pool
$$;

-- The rest of an append, after its compare-and-set: what leaves, waits, is consumed, is announced.
CREATE FUNCTION engine_change_1(p_tenant uuid, p_run uuid, p_token uuid, p_change jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  goes text := p_change ->> 'left';
  item work_item;
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
  IF p_change ? 'started' THEN
    INSERT INTO outbox (tenant_id, run_id, kind) VALUES (p_tenant, p_run, 'run.started');
  END IF;
  IF goes IS NULL THEN
    RETURN;
  ELSIF goes = 'FINISHED' THEN
    DELETE FROM work_item WHERE run_id = p_run;
    DELETE FROM timer WHERE run_id = p_run;
    DELETE FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run;
    INSERT INTO outbox (tenant_id, run_id, kind) VALUES (p_tenant, p_run, 'run.finished');
    RETURN;
  END IF;
  SELECT * INTO item FROM work_item WHERE run_id = p_run AND kind = 'run' AND token = p_token
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN; -- Reaped while we worked: it is ready already.
  END IF;
  IF goes = 'PARKED' THEN
    INSERT INTO timer AS t (tenant_id, run_id, kind, pool, slots, fire_at)
      VALUES (p_tenant, p_run, 'retry', item.pool, item.slots,
              (p_change ->> 'wakeAt')::timestamptz)
      ON CONFLICT ON CONSTRAINT timer_one DO UPDATE SET fire_at = EXCLUDED.fire_at;
    -- Whoever writes to the inbox locks the run first, as our compare-and-set did.
    IF NOT EXISTS (SELECT FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run) THEN
      DELETE FROM work_item WHERE id = item.id;
      RETURN;
    END IF;
  END IF;
  PERFORM engine_ready_1(p_tenant, item.pool);
  UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0, sort_key = clock_timestamp()
   WHERE id = item.id;
END $$;

-- The one writer of a run's history. False: another owner holds the fence, nothing was written.
CREATE FUNCTION engine_append_1(
  p_tenant uuid, p_run uuid, p_token uuid, p_head int, p_settled int,
  p_types text[], p_paths text[], p_attempts int[], p_bodies jsonb[], p_change jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  n int := cardinality(p_types);
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF p_change IS NULL THEN
    UPDATE run SET head = p_head + n, settled = settled + p_settled
     WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  ELSE
    UPDATE run SET head = p_head + n, settled = settled + p_settled,
        state = coalesce(p_change ->> 'state', state),
        started_at = CASE WHEN p_change ? 'started' THEN clock_timestamp() ELSE started_at END,
        finished_at = CASE WHEN p_change ->> 'left' = 'FINISHED' THEN clock_timestamp() END,
        result = p_change -> 'result', error = p_change -> 'error',
        attempts = coalesce((p_change ->> 'attempts')::int, attempts),
        cpu_seconds = coalesce((p_change ->> 'cpuSeconds')::double precision, cpu_seconds),
        peak_memory_bytes = coalesce((p_change ->> 'peakMemoryBytes')::bigint, peak_memory_bytes),
        bytes_in = coalesce((p_change ->> 'bytesIn')::bigint, bytes_in),
        bytes_out = coalesce((p_change ->> 'bytesOut')::bigint, bytes_out),
        cost_minor = coalesce((p_change ->> 'costMinor')::bigint, cost_minor)
     WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  END IF;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, p_run, p_head + e.o, e.type, e.path, e.attempt, e.body
      FROM unnest(p_types, p_paths, p_attempts, p_bodies)
           WITH ORDINALITY AS e(type, path, attempt, body, o);
  IF p_change IS NOT NULL THEN
    PERFORM engine_change_1(p_tenant, p_run, p_token, p_change);
  END IF;
  RETURN true;
END $$;

-- After the reply to an append was lost: where the run stands.
CREATE FUNCTION engine_head_1(p_tenant uuid, p_run uuid, OUT head int, OUT fence uuid)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT r.head, r.fence INTO head, fence FROM run r
   WHERE r.tenant_id = p_tenant AND r.id = p_run;
END $$;

CREATE FUNCTION engine_history_1(p_tenant uuid, p_run uuid, p_after int)
RETURNS TABLE (type text, path text, attempt int, body jsonb)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN QUERY SELECT e.type, e.path, e.attempt, e.body FROM run_event e
    WHERE e.tenant_id = p_tenant AND e.run_id = p_run AND e.seq > p_after ORDER BY e.seq;
END $$;

CREATE FUNCTION engine_inbox_1(p_tenant uuid, p_run uuid)
RETURNS TABLE (id uuid, kind text, body jsonb)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN QUERY SELECT i.id, i.kind, i.body FROM run_inbox i
    WHERE i.tenant_id = p_tenant AND i.run_id = p_run ORDER BY i.at, i.id LIMIT 1000;
END $$;

-- Lines of several runs of one tenant; ids are given in the order of arrival.
CREATE FUNCTION engine_log_1(
  p_tenant uuid, p_runs uuid[], p_paths text[], p_attempts int[], p_kinds text[], p_levels text[],
  p_messages text[], p_fields jsonb[], p_at timestamptz[]
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true), set_config('synchronous_commit', 'off', true);
  INSERT INTO run_log (tenant_id, run_id, path, attempt, kind, level, message, fields, at)
    SELECT p_tenant, l.* FROM unnest(p_runs, p_paths, p_attempts, p_kinds, p_levels, p_messages,
                                     p_fields, p_at) AS l;
END $$;

-- The same for pure steps of many runs of one tenant; returns the runs whose fence still held.
-- p_changes has one element per run: JSON null where there is none.
CREATE FUNCTION engine_append_batch_1(
  p_tenant uuid, p_runs uuid[], p_tokens uuid[], p_heads int[], p_counts int[], p_settled int[],
  p_changes jsonb[], p_event_runs uuid[], p_seqs int[], p_types text[], p_paths text[],
  p_attempts int[], p_bodies jsonb[]
) RETURNS SETOF uuid
LANGUAGE plpgsql AS $$
DECLARE
  held uuid[];
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  WITH given AS (
    SELECT * FROM unnest(p_runs, p_tokens, p_heads, p_counts, p_settled, p_changes)
                  AS g(run, token, head, n, settled, change)
  ), locked AS (
    SELECT y.id FROM run y JOIN given g ON g.run = y.id
     WHERE y.tenant_id = p_tenant ORDER BY y.id FOR NO KEY UPDATE OF y
  ), moved AS (
    UPDATE run y SET head = g.head + g.n, settled = y.settled + g.settled,
        state = coalesce(g.change ->> 'state', y.state),
        started_at = CASE WHEN g.change ? 'started' THEN clock_timestamp() ELSE y.started_at END,
        finished_at = CASE WHEN g.change ->> 'left' = 'FINISHED' THEN clock_timestamp() END,
        result = g.change -> 'result', error = g.change -> 'error',
        attempts = coalesce((g.change ->> 'attempts')::int, y.attempts),
        cpu_seconds = coalesce((g.change ->> 'cpuSeconds')::double precision, y.cpu_seconds),
        peak_memory_bytes =
          coalesce((g.change ->> 'peakMemoryBytes')::bigint, y.peak_memory_bytes),
        bytes_in = coalesce((g.change ->> 'bytesIn')::bigint, y.bytes_in),
        bytes_out = coalesce((g.change ->> 'bytesOut')::bigint, y.bytes_out),
        cost_minor = coalesce((g.change ->> 'costMinor')::bigint, y.cost_minor)
      FROM given g JOIN locked k ON k.id = g.run
     WHERE y.tenant_id = p_tenant AND y.id = g.run AND y.fence = g.token AND y.head = g.head
    RETURNING y.id
  )
  SELECT coalesce(array_agg(id), '{}') INTO held FROM moved;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, e.run, e.seq, e.type, e.path, e.attempt, e.body
      FROM unnest(p_event_runs, p_seqs, p_types, p_paths, p_attempts, p_bodies)
           AS e(run, seq, type, path, attempt, body)
     WHERE e.run = ANY (held);
  PERFORM engine_change_1(p_tenant, g.run, g.token, g.change)
     FROM unnest(p_runs, p_tokens, p_changes) AS g(run, token, change)
    WHERE g.change IS NOT NULL AND g.run = ANY (held);
  RETURN QUERY SELECT unnest(held);
END $$;

-- What others tell a run: an inbox row, and an item if it has none. Returns the state found; a
-- terminal run is left alone. The run's row is locked first, as an append does.
CREATE FUNCTION executions_tell_1(p_tenant uuid, p_run uuid, p_id uuid, p_kind text, p_body jsonb)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT state, pool, slots, finished_at INTO r FROM run
   WHERE tenant_id = p_tenant AND id = p_run FOR NO KEY UPDATE;
  IF NOT FOUND OR r.finished_at IS NOT NULL THEN
    RETURN r.state;
  END IF;
  INSERT INTO run_inbox (tenant_id, run_id, id, kind, body)
    VALUES (p_tenant, p_run, p_id, p_kind, p_body) ON CONFLICT DO NOTHING;
  PERFORM engine_ready_1(p_tenant, r.pool);
  INSERT INTO work_item AS w (tenant_id, run_id, pool, slots, has_mail)
    VALUES (p_tenant, p_run, r.pool, r.slots, true)
    ON CONFLICT ON CONSTRAINT work_item_one DO UPDATE SET has_mail = true;
  RETURN r.state;
END $$;

-- The lease of one process incarnation covers all its items. Returns the database's time, or null
-- when this incarnation is dead: it never comes back to life under this id. After a restart of the
-- database everybody has a lease's time to beat again.
CREATE FUNCTION engine_beat_1(p_worker uuid, p_seconds double precision) RETURNS timestamptz
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE worker SET lease_until = clock_timestamp() + p_seconds * interval '1 second'
   WHERE id = p_worker AND lease_until <> '-infinity'
     AND greatest(lease_until, pg_postmaster_start_time() + p_seconds * interval '1 second')
         > clock_timestamp();
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  RETURN clock_timestamp();
END $$;

-- For the supervisor that saw the process die: its items are ready within a second.
CREATE FUNCTION engine_worker_died_1(p_worker uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE worker SET lease_until = '-infinity' WHERE id = p_worker;
  RETURN FOUND;
END $$;

-- Items of dead workers become ready; every process calls this, none leads. A restart of the
-- database makes nobody dead before his first chance to beat again. Returns the pools to ring.
CREATE FUNCTION engine_reap_1(p_seconds double precision) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  item record;
BEGIN
  FOR item IN
    SELECT w.id, w.tenant_id, w.pool FROM work_item w LEFT JOIN worker k ON k.id = w.worker_id
     WHERE w.worker_id IS NOT NULL
       AND (k.id IS NULL OR k.lease_until = '-infinity'
            OR greatest(k.lease_until, pg_postmaster_start_time() + p_seconds * interval '1 second')
               < clock_timestamp())
     ORDER BY w.tenant_id, w.pool, w.id LIMIT 500 FOR UPDATE OF w SKIP LOCKED
  LOOP
    PERFORM engine_ready_1(item.tenant_id, item.pool);
    UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0, crashes = crashes + 1
     WHERE id = item.id;
    RETURN NEXT item.pool;
  END LOOP;
  DELETE FROM worker k
   WHERE k.lease_until < clock_timestamp() - interval '1 minute'
     AND NOT EXISTS (SELECT FROM work_item w WHERE w.worker_id = k.id);
END $$;

-- Due timers make their runs ready; a run that has an item already knows the time itself.
CREATE FUNCTION engine_timers_1() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  due record;
BEGIN
  FOR due IN
    DELETE FROM timer t USING (
      SELECT id FROM timer WHERE fire_at <= clock_timestamp()
       ORDER BY fire_at LIMIT 500 FOR UPDATE SKIP LOCKED) d
     WHERE t.id = d.id RETURNING t.*
  LOOP
    PERFORM engine_ready_1(due.tenant_id, due.pool);
    INSERT INTO work_item (tenant_id, run_id, pool, slots, sort_key)
      VALUES (due.tenant_id, due.run_id, due.pool, due.slots, due.fire_at)
      ON CONFLICT ON CONSTRAINT work_item_one DO NOTHING;
    RETURN NEXT due.pool;
  END LOOP;
END $$;

-- A process that stops in good order gives back what it has not started.
CREATE FUNCTION engine_release_1(p_worker uuid, p_items bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  item record;
BEGIN
  FOR item IN
    SELECT id, tenant_id, pool FROM work_item
     WHERE worker_id = p_worker AND (p_items IS NULL OR id = ANY (p_items))
     ORDER BY tenant_id, pool, id FOR UPDATE
  LOOP
    PERFORM engine_ready_1(item.tenant_id, item.pool);
    UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0 WHERE id = item.id;
  END LOOP;
END $$;

-- A living process drops one item that is still its own. Broken: something in the run broke the
-- slice, which counts like a death; otherwise only the lease was in doubt.
CREATE FUNCTION engine_give_up_1(p_item bigint, p_token uuid, p_broken boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  item record;
BEGIN
  SELECT tenant_id, pool INTO item FROM work_item WHERE id = p_item AND token = p_token;
  IF FOUND THEN
    PERFORM engine_ready_1(item.tenant_id, item.pool);
    UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0,
           crashes = crashes + p_broken::int
     WHERE id = p_item AND token = p_token;
  END IF;
END $$;

-- A state moves only along the table in engine/state.py, whoever writes.
CREATE FUNCTION run_state_moves_1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF old.state = new.state THEN
    RETURN new;
  END IF;
  IF old.finished_at IS NOT NULL OR new.state = 'QUEUED'
     OR (old.state = 'CANCELING' AND new.state NOT IN ('CANCELED', 'TIMED_OUT')) THEN
    RAISE EXCEPTION 'run: % to %', old.state, new.state USING ERRCODE = 'check_violation';
  END IF;
  RETURN new;
END $$;
CREATE TRIGGER run_state_moves BEFORE UPDATE OF state ON run
  FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION run_state_moves_1();
